"""Indexing."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering

_END = 2**62


@lowering("getitem")
def getitem(ctx: Context, input: Any, index: Any) -> Any:
    """`x[index]`: a part of a tuple, or Slice and Reshape of a tensor with ints and slices."""
    if isinstance(input, tuple | list):
        return input[index]
    items = list(index) if isinstance(index, tuple) else [index]
    rank = len(ctx.shape_of(input))
    items = _without_ellipsis(items, rank)
    starts, ends, axes, steps = [], [], [], []
    axis = 0
    for item in items:
        if item is None:
            continue
        if isinstance(item, int) and not isinstance(item, bool):
            starts.append(item)
            ends.append(item + 1 if item != -1 else _END)
            steps.append(1)
            axes.append(axis)
        elif isinstance(item, slice):
            _check_slice(item)
            if item != slice(None):
                starts.append(item.start or 0)
                ends.append(_END if item.stop is None else item.stop)
                steps.append(item.step or 1)
                axes.append(axis)
        else:
            raise Unsupported("indexing with tensors, lists or sizes that follow the batch")
        axis += 1
    value = input
    if axes:
        parts = (ctx.ints(values) for values in (starts, ends, axes, steps))
        value = ctx.op("Slice", value, *parts)
    if any(not isinstance(item, slice) for item in items):
        value = ctx.op("Reshape", value, ctx.dims(ctx.result.shape), allowzero=1)
    return value


def _without_ellipsis(items: list[Any], rank: int) -> list[Any]:
    if not any(item is Ellipsis for item in items):
        return items
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    taken = sum(1 for item in items if item is not None and item is not Ellipsis)
    return [*items[:at], *[slice(None)] * (rank - taken), *items[at + 1 :]]


def _check_slice(item: slice) -> None:
    bounds = (item.start, item.stop, item.step)
    if not all(bound is None or type(bound) is int for bound in bounds):
        raise Unsupported("a slice whose bounds follow the batch")


@lowering("select")
def select(ctx: Context, input: ir.Value, dim: int, index: int) -> ir.Value:
    """torch.select to Gather of one index: axis."""
    return ctx.op("Gather", input, ctx.constant(index, "int64"), axis=dim)
