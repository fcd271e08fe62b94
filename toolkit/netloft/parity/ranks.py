"""Indices of the largest: where several values are as large to rounding, any of theirs is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import fx

from netloft.graph.graph import Graph, annotation

__all__ = ["Ranking", "find_rankings", "regret"]

Array = npt.NDArray[Any]

_DIM = {"topk": 2, "sort": 1, "max": 1, "min": 1, "argsort": 1, "argmax": 1, "argmin": 1}
"""Operations that rank, and which of their arguments is the axis."""
_PAIRS = ("topk", "sort", "max", "min")
"""These give values and indices."""
_LISTS = ("topk", "sort", "argsort")
"""These keep the axis, and name each index once."""


@dataclass(frozen=True)
class Ranking:
    """An output that is the indices of a ranking.

    Attributes:
        node: Name of the graph node whose values are ranked.
        axis: Along which; None for all of them as one list.
        keeps: The axis is there in the result too.
        distinct: No index comes twice along it.
    """

    node: str
    axis: int | None
    keeps: bool
    distinct: bool


def find_rankings(graph: Graph) -> dict[str, Ranking]:
    """Return the outputs that are indices of a ranking, by name."""
    found = {}
    for output in graph.outputs:
        node = graph.node(output.node)
        ranking = _ranking(node) if output.info.dtype == "int64" else None
        if ranking is not None:
            found[output.name] = ranking
    return found


def _ranking(node: fx.Node) -> Ranking | None:
    op = annotation(node).op
    if op in ("getitem", "getattr") and node.args[1] in (1, "indices"):
        node = node.all_input_nodes[0]
        op = annotation(node).op
        if op not in _PAIRS:
            return None
    elif op in _PAIRS:
        return None
    if op not in _DIM or not node.args or not isinstance(node.args[0], fx.Node):
        return None
    given = dict(enumerate(node.args))
    known = annotation(node).attributes  # a node that was read from a file has no arguments
    usual = known.get("dim", None if op.startswith("arg") else -1)
    axis = node.kwargs.get("dim", given.get(_DIM[op], usual))
    if op == "argsort" and axis is None:
        axis = -1
    if not isinstance(axis, int | None):
        return None
    keepdim = node.kwargs.get("keepdim", given.get(2, _keeps_rank(node)))
    keeps = op in _LISTS or bool(keepdim)
    return Ranking(node.args[0].name, axis, keeps, op in _LISTS)


def _keeps_rank(node: fx.Node) -> bool:
    """Tell it of a node that was read from a file; of a traced one the argument tells."""
    here, given = annotation(node).shape, annotation(node.all_input_nodes[0]).shape
    return here is not None and given is not None and len(here) == len(given)


def regret(values: Array, actual: Array, expected: Array, ranking: Ranking) -> float:
    """Return how much smaller than the right values those are that other indices point at.

    Args:
        values: What is ranked.
        actual: Indices that a file gave.
        expected: Those of the reference.
        ranking: How they were made.

    Returns:
        The largest difference over the largest magnitude of all values; infinite where the indices
        are no ranking of anything.
    """
    given, wanted = (_picked(values, indices, ranking) for indices in (actual, expected))
    if given is None or wanted is None or given.shape != wanted.shape:
        return float("inf")
    gap, scale = float(np.abs(given - wanted).max()), float(np.abs(values).max())
    return gap / scale if scale else gap


def _picked(values: Array, indices: Array, ranking: Ranking) -> Array | None:
    axis, where = ranking.axis, indices
    if axis is None:
        values, axis, where = values.reshape(-1), 0, indices.reshape(-1)
    elif not ranking.keeps:
        where = np.expand_dims(indices, axis)
    if where.ndim != values.ndim or not where.size or not np.isfinite(values).all():
        return None
    if where.min() < 0 or where.max() >= values.shape[axis]:
        return None
    if ranking.distinct and (np.diff(np.sort(where, axis), axis=axis) == 0).any():
        return None
    found: Array = np.take_along_axis(values, where, axis)
    return found.reshape(indices.shape)
