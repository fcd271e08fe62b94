"""What is kept of each pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from netloft.passes.edit import Note

__all__ = ["PassRow", "Passed"]

from netloft.graph.graph import Graph


@dataclass(frozen=True)
class PassRow:
    """What one pass did, for the report.

    Attributes:
        name: The pass.
        nodes_before: Nodes that it was given.
        nodes_after: Nodes that it left.
        status: `applied`, `nothing to do` or `rolled back`.
        proof: What shows that the function is still the same.
        difference: Largest scaled difference of an output, before and after; None where it was not
            run.
        ms_before: Milliseconds of one run of the proof before the pass, the faster of two; None
            where it was not timed.
        ms_after: Likewise after it.
        seconds: Of the pass itself, without its proof.
        notes: What was done to a node, by its name.
        removed: Names of the nodes that it took away.
    """

    name: str
    nodes_before: int
    nodes_after: int
    proof: str
    status: str = "applied"
    difference: float | None = None
    ms_before: float | None = None
    ms_after: float | None = None
    seconds: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passed:
    """A graph after its passes.

    Attributes:
        graph: The graph; without writes in place.
        rows: One for each pass, in order.
        notes: What was done, node by node.
        removed: By name of a node that is gone, the pass that took it away.
    """

    graph: Graph
    rows: tuple[PassRow, ...]
    notes: tuple[Note, ...]
    removed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: Graph,
        rows: Sequence[PassRow],
        notes: Sequence[Note],
        removed: Mapping[str, str],
    ) -> Passed:
        """Return the record, with each row told what its pass did to which node."""
        told = [
            replace(
                row,
                notes={note.node: note.text for note in notes if note.by == row.name},
                removed=tuple(sorted(node for node, by in removed.items() if by == row.name)),
            )
            for row in rows
        ]
        return cls(graph, tuple(told), tuple(notes), removed)
