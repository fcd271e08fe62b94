"""Operations on the axes of a picture: padding, resizing, and channels laid out as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netloft.onnx_graph.operands import Node

__all__ = ["pad", "resize", "shuffle"]

_Found = tuple[str, dict[str, object]]


def pad(node: Node) -> _Found:
    """A padding; PyTorch tells it from the last axis on, both ends of each."""
    attributes: dict[str, object] = {"mode": node.word("mode", "constant")}
    pads = node.numbers(1, "pads")
    value = node.constant(2)
    if value is not None and value.scalar is not None:
        attributes["value"] = value.scalar
    if pads is not None:
        half = len(pads) // 2
        both = [(pads[i], pads[i + half]) for i in range(half)]
        ends = _on_axes(node, both, node.numbers(3), (0, 0))[::-1]
        while len(ends) > 1 and ends[-1] == (0, 0):
            ends.pop()
        attributes["pad"] = tuple(int(n) for pair in ends for n in pair)
    return "pad", attributes


def resize(node: Node) -> _Found:
    """A picture made larger or smaller."""
    last = 1 if node.step.op_type == "Upsample" or len(node.step.reads) == 2 else 2
    scales, sizes = node.numbers(last, "scales"), node.numbers(3)
    attributes: dict[str, object] = {"mode": node.word("mode", "nearest")}
    axes = node.step.values.get("axes")
    own = axes if isinstance(axes, tuple) else None
    if scales:
        attributes["scale_factor"] = _spatial(node, scales, own, 1.0)
    elif sizes:
        attributes["size"] = _spatial(node, sizes, own, None)
    return "interpolate", attributes


def _spatial(
    node: Node, values: Sequence[Any], axes: Sequence[object] | None, otherwise: object
) -> tuple[Any, ...]:
    """Return the values of the axes behind batch and channels; all where it is not known which."""
    found = _on_axes(node, values, axes, otherwise)
    return tuple(found if axes and len(found) != node.rank() else found[2:])


def _on_axes(
    node: Node, values: Sequence[Any], axes: Sequence[object] | None, otherwise: object
) -> list[Any]:
    """Return a value for each axis of the operand, where a list is for some of them only."""
    rank = node.rank()
    if not axes or len(axes) != len(values):
        return list(values)
    whole = [int(axis) for axis in axes if isinstance(axis, int)]
    if len(whole) != len(axes) or not all(-rank <= axis < rank for axis in whole):
        return list(values)
    found: list[Any] = [otherwise] * rank
    for axis, value in zip(whole, values, strict=True):
        found[axis] = value
    return found


def shuffle(node: Node) -> _Found:
    """Channels laid out as a larger picture, or back."""
    up = node.step.op_type == "DepthToSpace"
    name = "upscale_factor" if up else "downscale_factor"
    return "pixel_shuffle" if up else "pixel_unshuffle", {name: node.integer("blocksize", 1)}
