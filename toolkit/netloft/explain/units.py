"""Which axis of a value tells its units apart: the second of pictures, the last of tokens.

A convolution gives (batch, channels, height, width), a linear layer (batch, …, channels), and what
comes behind them keeps the order until something turns it: torchvision's Swin and ConvNeXt work on
(batch, height, width, channels). A shape alone does not say which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation
from netloft.passes.views import axes_order

__all__ = ["unit_axes", "units_of"]

_SECOND = ("conv", "pool")
"""Families whose results have their channels behind the batch."""
_SECOND_NORMS = ("batch_norm", "group_norm", "instance_norm", "local_response_norm")
_LAST = ("linear", "attention", "embedding")
"""Families whose results have them at the end."""
_LAST_NORMS = ("layer_norm", "rms_norm")
_RESHAPES = ("reshape", "flatten", "unflatten", "squeeze", "unsqueeze")


def unit_axes(graph: Graph) -> Mapping[fx.Node, int]:
    """Return the axis of each value's units, counted from the first.

    Without values of no such axis, and without those whose first axis is not the batch: Swin folds
    its windows into that.

    Args:
        graph: Without writes in place.
    """
    found: dict[fx.Node, int] = {}
    for node, _ in graph:
        axis = _axis(node, found)
        if axis is not None:
            found[node] = axis
    batch = graph.inputs[0].info.shape[:1]
    return {n: axis for n, axis in found.items() if (annotation(n).shape or ())[:1] == batch}


def units_of(node: fx.Node, axes: Mapping[fx.Node, int]) -> int:
    """Return how many units a value has; 0 where it is none of real numbers that has any.

    Args:
        node: Gives (batch, units), or such with up to two axes of places.
        axes: Of the values; see `unit_axes`.
    """
    value = annotation(node).value
    if not isinstance(value, TensorInfo) or not value.dtype.startswith("float"):
        return 0
    if node not in axes or not 2 <= len(value.shape) <= 4:
        return 0
    length = value.shape[axes[node]] if axes[node] > 0 else 0
    return length if isinstance(length, int) else 0


def _axis(node: fx.Node, known: Mapping[fx.Node, int]) -> int | None:
    record, rank = annotation(node), len(annotation(node).shape or ())
    if rank == 2 or node.op == "placeholder":
        return 1
    if record.family in _SECOND or record.op in _SECOND_NORMS:
        return 1
    if record.op in _LAST_NORMS:
        return rank - 1 if len(_normalised(record.attributes)) == 1 else _passed(node, known)
    if record.family in _LAST:
        return rank - 1 if rank else -1
    return _passed(node, known)


def _normalised(attributes: Mapping[str, object]) -> Sequence[object]:
    shape = attributes.get("normalized_shape", ())
    return shape if isinstance(shape, tuple | list) else (shape,)


def _passed(node: fx.Node, known: Mapping[fx.Node, int]) -> int | None:
    """Return where the units of the first operand that has some come to stand."""
    for operand in node.all_input_nodes:
        if operand in known:
            given, made = annotation(operand).shape, annotation(node).shape
            if given is None or made is None:  # one of several results
                return known[operand] if made is None else known[operand] % len(made)
            return _moved(node, known[operand] % len(given), given, made)
    return None


def _moved(node: fx.Node, axis: int, given: Sequence[object], made: Sequence[object]) -> int | None:
    order = axes_order(node)
    if order is not None:
        return order.index(axis)
    if len(given) == len(made) and annotation(node).op not in _RESHAPES:
        return axis
    if list(given[: axis + 1]) == list(made[: axis + 1]):
        return axis
    behind = list(given[axis:])
    return len(made) - len(behind) if behind == list(made[-len(behind) :]) else None
