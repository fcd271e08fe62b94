"""The record that every kind of overlay fills: a number or a word for each node of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from netloft.graph.graph import Graph

__all__ = ["Inputs", "Maker", "Overlay", "Unit", "threads_told"]

Unit = Literal["s", "multiply-adds", "parameters", "bytes", "times", "word"]
Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Overlay:
    """What is known of each node, to be laid over a drawing.

    Attributes:
        kind: Name in `netloft.overlays.OVERLAYS`.
        title: What the numbers are and where they come from.
        unit: `s` (seconds), `multiply-adds`, `parameters`, `bytes`, `times` (a ratio), or `word`.
        gather: What several nodes have together: their `sum`, their `max`, or `each` word of them.
        values: By name of the node; one that is missing has none.
        total: What a share is a share of; 0 where shares mean nothing.
        full: The value that gets the darkest colour; 0 for the largest that is drawn.
        notes: What a reader must know to trust the numbers.
        details: More words by name of the node, for its tooltip.
        tell: Names of nodes to what else is known of them together, line by line, for a tooltip;
            None for nothing.
    """

    kind: str
    title: str
    unit: Unit
    gather: Literal["sum", "max", "each"]
    values: Mapping[str, float | str]
    total: float = 0.0
    full: float = 0.0
    notes: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[Sequence[str]], tuple[str, ...]] | None = None


Maker = Callable[[Graph, Inputs | None], Overlay]
"""A graph, and inputs where it has to run, to what is known of its nodes."""


def threads_told(number: int) -> str:
    """Return a number of threads in words."""
    return f"{number} thread{'s' if number != 1 else ''}"
