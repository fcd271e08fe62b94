"""How wide a row is, told without laying it out."""

from __future__ import annotations

from collections.abc import Sequence

from netloft_diagrams.geometry import Placed
from netloft_diagrams.lanes import Edge, assign_columns
from netloft_diagrams.row import ARROW, LEAD

__all__ = ["least_width", "width_of_one"]


def least_width(items: Sequence[Placed]) -> float:
    """Return the width of items in one row if no line had a label or changed its lane."""
    maker = {name: p.item.key for p in items for name in p.item.gives}
    keys = [p.item.key for p in items]
    edges = [Edge(n, maker[n], p.item.key) for p in items for n in p.item.reads if n in maker]
    wide: dict[int, float] = {}
    for key, column in assign_columns(keys, edges).items():
        width = next(p.width for p in items if p.item.key == key)
        wide[column] = max(wide.get(column, 0.0), width)
    return sum(wide.values()) + (LEAD + ARROW) * len(wide)


def width_of_one(placed: Placed, reads: Sequence[str], gives: Sequence[str]) -> float | None:
    """Return the width of a row of one item, which most rows that are weighed are.

    None where a line may change its lane, so that the row has to be laid out to know.
    """
    given = placed.item.gives
    straight = all(net in placed.ins and placed.ins[net] == placed.base for net in reads)
    if len(reads) > 1 or len(gives) > 1 or not straight or {*reads} & {*given}:
        return None
    if not {*gives} <= {*given} or (not reads and placed.item.reads):
        return None
    return (LEAD + ARROW if reads else 0.0) + placed.width + (LEAD + 2.0 if gives else 0.0)
