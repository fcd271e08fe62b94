"""What became of an operation between two graphs: the record that a box carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netloft.comparing import Change

__all__ = ["KINDS", "MARK", "Mark"]

MARK = "netloft_mark"
"""Where a node's meta holds its mark."""

KINDS = ("added", "removed", "changed")
"""What is marked; what is the same is pale."""


@dataclass(frozen=True)
class Mark:
    """What became of an operation.

    Attributes:
        kind: `same`, `changed`, `added` or `removed`.
        words: What changed, short enough for a box.
        told: What changed, in full.
    """

    kind: str = "same"
    words: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @classmethod
    def of(cls, change: Change | None, node: str) -> Mark:
        """Return the mark of a node; of several of one operation the first has the words.

        Args:
            change: What became of its operation; None for what computes with lengths.
            node: Its name.
        """
        if change is None or change.kind == "same":
            return cls()
        if change.kind == "uncompared":
            return cls(words=("not compared",), told=(change.words,))
        if change.entry.node[0] != node:
            return cls(change.kind)
        rows = [_short(*row) for row in change.what if row[0] != "module"]
        rows += ["renamed"] * any(row[0] == "module" for row in change.what)
        rows += [_reason(change.reason)] if change.reason else []
        return cls(change.kind, tuple(rows), (change.words,) if change.words else ())

    def joins(self, other: Mark) -> bool:
        """Tell whether two operations may share a box: not what is there with what is not."""
        both = {self.kind, other.kind}
        return len(both) == 1 or both == {"same", "changed"}

    @classmethod
    def over(cls, marks: Iterable[Mark]) -> Mark:
        """Return the mark of a box that holds several operations."""
        found = list(marks)
        kinds = {mark.kind for mark in found}
        kind = kinds.pop() if len(kinds) == 1 else "changed" if kinds else "same"
        words = dict.fromkeys(word for mark in found for word in mark.words)
        return cls(kind, tuple(words), tuple(t for mark in found for t in mark.told))

    @classmethod
    def within(cls, marks: Iterable[Mark]) -> Mark:
        """Return the mark of a module that is not opened: what is inside, counted."""
        inside = list(marks)
        found = Counter(mark.kind for mark in inside)
        if set(found) <= {"same"}:
            count = sum("not compared" in mark.words for mark in inside)
            return cls(words=(f"{count} not compared",) if count else ())
        kind = next(iter(found)) if len(found) == 1 else "changed"
        return cls(kind, tuple(f"{found[k]} {k}" for k in KINDS if found[k]))


def _short(name: str, before: str, after: str) -> str:
    if name.endswith(" differs in"):
        return f"{name.removesuffix(' differs in')}: {after.partition(' values')[0]} differ"
    if name == "operation":
        return f"was {before}"
    if name.endswith(" shape"):
        return f"{name.removesuffix(' shape')} was {before}"
    return f"{name} {before} → {after}"


def _reason(reason: str) -> str:
    """Leave names out: equal blocks with equal changes are drawn once."""
    told = reason.removeprefix("before, ")
    if told.endswith(" folded in"):
        return "norm folded in" if told != "a padding folded in" else "padding folded in"
    if told.startswith("folded into "):
        return "folded away"
    return "written out" if "written out" in told else "no effect"
