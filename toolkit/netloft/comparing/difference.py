"""What differs between two graphs, as records and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from netloft.comparing.entry import Entry
from netloft.defaults import JSON_FORMAT
from netloft.graph.graph import Graph

__all__ = ["KINDS", "Change", "Difference"]

KINDS = ("same", "changed", "added", "removed", "uncompared")

_SIGNS = {"changed": "~", "added": "+", "removed": "-", "uncompared": "?"}

NOT_COMPARED = "not compared: their arguments have no common form; netloft verify compares results"


@dataclass(frozen=True)
class Change:
    """One operation of either side, or of both.

    Attributes:
        kind: `same`, `changed`, `added`, `removed`, or `uncompared` for two of which nothing was
            found to differ, and not all could be compared.
        a: The operation in the first graph; None for one that was added.
        b: The operation in the second graph; None for one that was removed.
        what: What changed: a hyper-parameter or a weight, before, and after.
        reason: Why it is no surprise, such as a norm that was folded; else empty.
        whole: Whether all of it could be compared. What a layer was written out as is not.
    """

    kind: str
    a: Entry | None
    b: Entry | None
    what: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""
    whole: bool = True

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
        told += [self.reason] if self.reason else []
        if self.kind == "uncompared" and not self.reason.endswith("not compared"):
            told.append("not compared")
        return "; ".join(told)

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
        """Tell whether nothing was found to differ; `proven` says whether all was compared."""
        return all(change.kind in ("same", "uncompared") for change in self.changes)

    @property
    def uncompared(self) -> tuple[Change, ...]:
        """What could not be compared, or not all of it."""
        return tuple(change for change in self.changes if not change.whole)

    @property
    def proven(self) -> bool:
        """Tell whether everything was compared and nothing differs."""
        return self.equal and not self.uncompared

    @property
    def counts(self) -> dict[str, int]:
        """Number of operations of each kind."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS}

    @property
    def unexplained(self) -> tuple[Change, ...]:
        """What differs without a reason that is known."""
        return tuple(
            c for c in self.changes if c.kind not in ("same", "uncompared") and not c.reason
        )

    def text(self) -> str:
        """Return the counts, then a line for each difference."""
        return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        counts = self.counts
        open_ones = counts.pop("uncompared")
        told = [f"{count} {kind}" for kind, count in counts.items()]
        yield ", ".join([*told, *([f"{open_ones} {NOT_COMPARED}"] if open_ones else [])])
        listed = [change for change in self.changes if change.kind != "same"]
        differ = [change for change in listed if change.kind != "uncompared"]
        if any(change.reason for change in differ):
            explained = len(differ) - len(self.unexplained)
            yield f"{explained} explained, {len(self.unexplained)} unexplained"
        for change in listed:
            yield str(change)

    def to_json(self) -> dict[str, Any]:
        """Return the record for programs."""
        return {
            "format": JSON_FORMAT,
            "a": self.a.name,
            "b": self.b.name,
            "equal": self.equal,
            "proven": self.proven,
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
        "compared": change.whole,
    }
