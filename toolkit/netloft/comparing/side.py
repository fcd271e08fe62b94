"""One side of a comparison, and what is found of two operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netloft.comparing.compiled import Taken
from netloft.comparing.entry import Entry
from netloft.comparing.weights import Weights
from netloft.graph.graph import Graph

__all__ = ["Compared", "Row", "Side"]

Row = tuple[str, str, str]
"""What changed, before, and after."""


@dataclass(frozen=True)
class Side:
    """One graph with what there is to compare of it.

    Attributes:
        graph: The graph.
        entries: Its operations.
        weights: Its tensors.
        taken: What passes took away, where the other side is a file that they made.
        seen: Tensors that were compared: a tied one is told of once.
    """

    graph: Graph
    entries: Sequence[Entry]
    weights: Weights
    taken: Taken = field(default_factory=Taken)
    seen: set[object] = field(default_factory=set)

    @property
    def is_file(self) -> bool:
        """Whether it was read from a file."""
        return self.graph.file is not None


class Compared(NamedTuple):
    """What was found of two operations.

    Attributes:
        rows: What differs.
        whole: Whether all of it could be compared.
    """

    rows: tuple[Row, ...] = ()
    whole: bool = True
