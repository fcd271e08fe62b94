"""What differs between two graphs, as records and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from netloft.comparing.entry import Entry
from netloft.graph.graph import Graph

__all__ = ["KINDS", "Change", "Difference"]

KINDS = ("same", "changed", "added", "removed")

_SIGNS = {"changed": "~", "added": "+", "removed": "-"}


@dataclass(frozen=True)
class Change:
    """One operation of either side, or of both.

    Attributes:
        kind: `same`, `changed`, `added` or `removed`.
        a: The operation in the first graph; None for one that was added.
        b: The operation in the second graph; None for one that was removed.
        what: What changed: a hyper-parameter or a weight, before, and after.
        reason: Why it is no surprise, such as a norm that was folded; else empty.
    """

    kind: str
    a: Entry | None
    b: Entry | None
    what: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""

    @property
    def entry(self) -> Entry:
        """The operation, as the second graph has it where it does."""
        found = self.b or self.a
        assert found is not None
        return found

    @property
    def words(self) -> str:
        """What changed and why, in words."""
        told = [_told(*row) for row in self.what]
        return "; ".join([*told, self.reason] if self.reason else told)

    def __str__(self) -> str:
        entry = self.entry
        where = f"  {entry.source}" if entry.source else ""
        words = f": {self.words}" if self.words else ""
        return f"{_SIGNS.get(self.kind, ' ')} {entry}{where}{words}"


def _told(name: str, before: str, after: str) -> str:
    return f"{name} {before} → {after}" if before else f"{name} {after}"


@dataclass(frozen=True)
class Difference:
    """Two graphs, aligned.

    Attributes:
        a: The first graph.
        b: The second.
        changes: Every operation of either, in the order of the second; what was removed stands
            where it stood.
    """

    a: Graph = field(repr=False)
    b: Graph = field(repr=False)
    changes: tuple[Change, ...]

    @property
    def equal(self) -> bool:
        """Tell whether nothing differs."""
        return all(change.kind == "same" for change in self.changes)

    @property
    def counts(self) -> dict[str, int]:
        """Number of operations of each kind."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS}

    @property
    def unexplained(self) -> tuple[Change, ...]:
        """What differs without a reason that is known."""
        return tuple(c for c in self.changes if c.kind != "same" and not c.reason)

    def text(self) -> str:
        """Return the counts, then a line for each difference."""
        return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        yield ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        differ = [change for change in self.changes if change.kind != "same"]
        if any(change.reason for change in differ):
            explained = len(differ) - len(self.unexplained)
            yield f"{explained} explained, {len(self.unexplained)} unexplained"
        for change in differ:
            yield str(change)

    def to_json(self) -> dict[str, Any]:
        """Return the record for programs."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "equal": self.equal,
            "counts": self.counts,
            "unexplained": len(self.unexplained),
            "changes": [_facts(change) for change in self.changes if change.kind != "same"],
        }


def _facts(change: Change) -> dict[str, Any]:
    sides = {name: entry for name, entry in (("a", change.a), ("b", change.b)) if entry}
    return {
        "kind": change.kind,
        **{
            name: {
                "module": entry.path,
                "operation": entry.op,
                "nodes": list(entry.node),
                "source": str(entry.source or ""),
            }
            for name, entry in sides.items()
        },
        "what": [{"name": n, "before": old, "after": new} for n, old, new in change.what],
        "reason": change.reason,
    }
