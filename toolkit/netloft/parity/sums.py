"""Long plain sums: PyTorch adds them up in a tree, a runtime need not."""

from __future__ import annotations

import math

from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import annotation

__all__ = ["least_of_sum"]

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
    record = annotation(node)
    if record.op not in ("mean", "sum") and "avg_pool" not in record.op:
        return 0.0
    given = annotation(node.all_input_nodes[0]).value if node.all_input_nodes else None
    if not isinstance(given, TensorInfo) or not isinstance(record.value, TensorInfo):
        return 0.0
    terms = _items(given) / max(_items(record.value), 1)
    return _UNIT * math.sqrt(terms / 3)


def _items(info: TensorInfo) -> int:
    """Return the elements of an item: lengths that are open are left out on both sides."""
    return math.prod(length for length in info.shape if isinstance(length, int))
