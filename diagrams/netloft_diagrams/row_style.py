"""What the drawing tells a row: words on lines, skips, and how much room they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["RowStyle"]


@dataclass(frozen=True)
class RowStyle:
    """What a row asks of the drawing around it.

    Attributes:
        label: Text on the line that carries a value; empty for none.
        room: Length of a label along the flow.
        skips: Values that reach an item by a skip, by the item's key.
        merges: Keys of items that are circles, which lines enter from three sides.
        projections: Keys of boxes that project a skip.
        graphviz: Let Graphviz place the items even where the lanes would do.
        aside: Room that the word on a skip takes across a flow that runs down; else 0.
    """

    label: Callable[[str], str]
    room: Callable[[str], float]
    skips: Mapping[str, tuple[str, ...]]
    merges: frozenset[str]
    projections: frozenset[str] = frozenset()
    graphviz: bool = False
    aside: float = 0.0
