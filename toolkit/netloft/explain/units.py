"""Which axis of a value tells its units apart: the second of pictures, the last of tokens.

A convolution gives (batch, channels, height, width), a linear layer (batch, …, channels), and what
comes behind them keeps the order until something turns it: torchvision's Swin and ConvNeXt work on
(batch, height, width, channels). A shape alone does not say which it is, so each value is followed
from the layer that made its units; where that cannot be done, nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation
from netloft.passes.views import axes_order

__all__ = ["unit_axes", "units_of"]

_LAST = ("linear", "bilinear", "multihead_attention", "embedding", "shifted_window_attention")
"""Operations whose results have their units at the end."""
_KEPT = ("norm", "pool", "activation", "identity", "pad", "merge", "resample")
"""Families that leave each unit where it is, if there are as many axes as before."""
_SLICED = ("getitem", "narrow", "split", "chunk", "roll", "flip", "expand", "expand_as", "cat")
"""Operations that do as well; of several results each does."""
_RESHAPED = ("reshape", "flatten", "unflatten")

Shape = Sequence[object]


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
    record = annotation(node)
    shape = record.shape
    if node.op in ("get_attr", "output"):
        return None
    if node.op == "placeholder" or record.family == "conv" or (shape and len(shape) == 2):
        return 1
    if record.op in _LAST:
        return len(_shape_or_operands(node)) - 1
    operand = _operand(node, known)
    if operand is None:
        return None
    given, made = _shape_or_operands(operand), shape or _shape_or_operands(operand)
    order = axes_order(node) if annotation(operand).shape else None
    if order is not None:
        return order.index(known[operand])
    if record.op in _RESHAPED:
        return _reshaped(known[operand], given, made)
    kept = record.family in _KEPT or record.op in _SLICED
    return known[operand] if kept and len(given) == len(made) else None


def _operand(node: fx.Node, known: Mapping[fx.Node, int]) -> fx.Node | None:
    """Return the operand whose units the result has: of several, one that is not stretched."""
    operands = [operand for operand in node.all_input_nodes if operand in known]
    alike = [each for each in operands if annotation(each).shape == annotation(node).shape]
    return next(iter(alike or operands), None)


def _shape_or_operands(node: fx.Node) -> Shape:
    """Return a value's shape; of several values, that of what they were made of."""
    shape = annotation(node).shape
    if shape is not None:
        return shape
    return next((annotation(n).shape or () for n in node.all_input_nodes), ())


def _reshaped(axis: int, given: Shape, made: Shape) -> int | None:
    """Return where an axis is after a reshape; None where it is lost, or could be at two places."""
    behind = list(given[axis:])
    found = set()
    if list(given[: axis + 1]) == list(made[: axis + 1]):
        found.add(axis)
    if len(behind) < len(made) and behind == list(made[len(made) - len(behind) :]):
        found.add(len(made) - len(behind))
    return found.pop() if len(found) == 1 else None
