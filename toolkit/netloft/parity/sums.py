"""Long plain sums: PyTorch adds them up in a tree, a runtime need not."""

from __future__ import annotations

import math

from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation

__all__ = ["least_of_equal_sums", "least_of_sum"]

_UNIT = 2.0**-24
"""Unit roundoff of float32."""


def least_of_sum(node: fx.Node) -> float:
    """Return the scaled error that float32 makes of a node's sum when it adds term by term.

    Each of the n additions rounds by at most the unit roundoff of the sum so far, which grows
    evenly; errors of random sign then add up to `u * sqrt(n / 3)` of the result. PyTorch's own
    error says nothing of that, since it adds in a tree: `u * log2(n)` at most.

    Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, ch. 4.

    Returns:
        A scaled error; 0 for what is no plain sum or mean.
    """
    return _UNIT * math.sqrt(_terms(node) / 3)


def least_of_equal_sums(graph: Graph, factor: float) -> float:
    """Return the noise floor of a network whose long sums add equal terms, as zeros make them.

    Errors of equal terms are alike and do not cancel: half of all additions end in the last binade
    and are off by up to half a unit there, `n * u / 2` of the result. That much is to pass.

    Args:
        graph: The network; its longest plain sum counts.
        factor: How many times the floor passes.
    """
    most = max((_terms(node) for node, _ in graph), default=0.0)
    return _UNIT * most / 2 / factor


def _terms(node: fx.Node) -> float:
    """Return how many terms a plain sum or mean has; 0 for what is none."""
    record = annotation(node)
    if record.op not in ("mean", "sum") and "avg_pool" not in record.op:
        return 0.0
    given = annotation(node.all_input_nodes[0]).value if node.all_input_nodes else None
    if not isinstance(given, TensorInfo) or not isinstance(record.value, TensorInfo):
        return 0.0
    return _items(given) / max(_items(record.value), 1)


def _items(info: TensorInfo) -> int:
    """Return the elements of an item: lengths that are open are left out on both sides."""
    return math.prod(length for length in info.shape if isinstance(length, int))
