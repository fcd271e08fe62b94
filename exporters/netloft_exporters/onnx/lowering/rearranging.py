"""Elements moved along their axes: shifted, turned round, repeated one by one, and in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import (
    END,
    axis_of,
    cut,
    gathered,
    joined,
    permuted,
    product,
    sliced,
)
from netloft_exporters.onnx.lowering.pad import padded
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.shape import numbers_of
from netloft_exporters.onnx.lowering.spatial import batched, need, tuple_of, unbatched


@lowering("roll")
def roll(ctx: Context, input: ir.Value, shifts: Any, dims: Any = ()) -> ir.Value:
    """torch.roll to a Gather for each axis; along the last and an open one to Slices and Concat."""
    shape = ctx.shape_of(input)
    shifts, axes = numbers_of([shifts]), numbers_of([dims])
    if not axes or dims is None:
        flat = _rolled(ctx, ctx.reshape(input, (product(shape),)), shifts[0], 0)
        return ctx.reshape(flat, shape)
    for shift, axis in zip(shifts, axes, strict=True):
        input = _rolled(ctx, input, shift, axis_of(axis, len(shape)))
    return input


def _rolled(ctx: Context, value: ir.Value, shift: Any, axis: int) -> ir.Value:
    info = ctx.info_of(value)
    length = info.shape[axis] if info.shape else 1
    if not isinstance(length, int) or not isinstance(shift, int):
        size = ctx.length(length)
        point = ctx.op("Sub", size, ctx.op("Mod", ctx.length(shift), size))
    elif length == 0 or shift % length == 0:
        return value
    elif axis < len(info.shape) - 1:
        order = np.roll(np.arange(length), shift)
        return gathered(ctx, value, ctx.ints(order.tolist()), axis)
    else:  # ONNX Runtime gathers one element at a time there, 15 times slower
        point = ctx.ints([-shift % length])
    along, end = ctx.ints([axis]), ctx.ints([END])
    tail = ctx.know(ctx.op("Slice", value, point, end, along), info)
    head = ctx.know(ctx.op("Slice", value, ctx.ints([0]), point, along), info)
    return ctx.know(joined(ctx, [tail, head], axis), info)


def _flipped(ctx: Context, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    shape = ctx.shape_of(value)
    # from the last element to before the first
    cuts = {axis_of(axis, len(shape)): (-1, -END, -1) for axis in axes if shape}
    return sliced(ctx, value, cuts, shape)


@lowering("flip")
def flip(ctx: Context, input: ir.Value, *args: Any, dims: Sequence[int] = ()) -> ir.Value:
    """torch.flip to Slice with step -1."""
    return _flipped(ctx, input, numbers_of(args) or dims)


@lowering("fliplr", "flipud")
def fliplr(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.fliplr and flipud to Slice with step -1."""
    return _flipped(ctx, input, [1 if ctx.record.op == "fliplr" else 0])


@lowering("rot90")
def rot90(ctx: Context, input: ir.Value, k: int = 1, dims: Sequence[int] = (0, 1)) -> ir.Value:
    """torch.rot90 to Slice with step -1 and Transpose."""
    order = list(range(len(ctx.shape_of(input))))
    first, second = (axis_of(dim, len(order)) for dim in dims)
    if k % 2 == 0:
        return _flipped(ctx, input, dims) if k % 4 else input
    order[first], order[second] = second, first
    return permuted(ctx, _flipped(ctx, input, [second if k % 4 == 1 else first]), order)


@lowering("repeat_interleave")
def repeat_interleave(
    ctx: Context, input: ir.Value, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> ir.Value:
    """torch.repeat_interleave to Gather; along the last and an open axis to Reshape and Tile."""
    if dim is None:
        input = ctx.reshape(input, (product(ctx.shape_of(input)),))
    shape = ctx.shape_of(input) or (1,)
    axis, input = axis_of(dim or 0, len(shape)), ctx.reshape(input, shape)
    counts = ctx.array_of(repeats) if isinstance(repeats, ir.Value) else repeats
    if counts is None:
        raise Unsupported("repeats that are computed")
    each = isinstance(counts, int | str)
    if isinstance(shape[axis], int) and not (each and axis == len(shape) - 1):
        if isinstance(counts, str):
            raise Unsupported("repeats that follow the batch")
        order = np.repeat(np.arange(ctx.size_of(input, axis)), counts)
        return gathered(ctx, input, ctx.ints(order.tolist()), axis)
    if not isinstance(counts, int | str):
        raise Unsupported("repeats of each item of an open axis")
    before, after = shape[: axis + 1], shape[axis + 1 :]
    times = ctx.dims([*[1] * len(before), counts, *[1] * len(after)])
    made = ctx.op("Tile", ctx.reshape(input, (*before, 1, *after)), times)
    info = TensorInfo((*before, counts, *after), ctx.result.dtype)
    return ctx.reshape(ctx.know(made, info), ctx.result.shape)


# windows


@lowering("unfold")
def unfold(ctx: Context, input: ir.Value, *args: Any, **names: Any) -> ir.Value:
    """Tensor.unfold to Gather and Transpose; F.unfold to Pad, Gather and Slices."""
    if len(ctx.result.shape) > len(ctx.shape_of(input)):
        return _windows(ctx, input, *args, **names)
    return _columns(ctx, input, *args, **names)


def _windows(ctx: Context, input: ir.Value, dimension: int, size: int, step: int) -> ir.Value:
    shape = ctx.shape_of(input) or (1,)
    axis, input = axis_of(dimension, len(shape)), ctx.reshape(input, shape)
    length = ctx.size_of(input, axis)
    starts = range(0, length - size + 1, step)
    if size == step:  # side by side
        whole = cut(ctx, input, axis, 0, len(starts) * size)
        found = ctx.reshape(whole, (*shape[:axis], len(starts), size, *shape[axis + 1 :]))
    else:
        index = ctx.constant(np.add.outer(starts, np.arange(size)), "int64")
        found = gathered(ctx, input, index, axis)
    order = [a for a in range(len(shape) + 1) if a != axis + 1]
    made = permuted(ctx, found, [*order, axis + 1])
    return ctx.reshape(made, ctx.result.shape)


def _columns(
    ctx: Context,
    input: ir.Value,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> ir.Value:
    kernel, gaps, pads, strides = (tuple_of(v, 2) for v in (kernel_size, dilation, padding, stride))
    given = ctx.shape_of(input)
    height, width = (n + 2 * p for n, p in zip(ctx.fixed(given[-2:]), pads, strict=True))
    value = padded(ctx, input, pads, pads, "constant")
    ctx.know(value, TensorInfo((*given[:-2], height, width), ctx.info_of(input).dtype))
    starts = range(0, height - gaps[0] * (kernel[0] - 1), strides[0])
    rows = np.add.outer(np.arange(kernel[0]) * gaps[0], starts)
    found = gathered(ctx, value, ctx.constant(rows, "int64"), len(given) - 2)
    # a Slice for each column of the kernel, as a Gather along the last axis is slow
    last = width - gaps[1] * (kernel[1] - 1)
    shape = (*ctx.shape_of(found)[:-1], len(range(0, last, strides[1])))
    parts = [
        sliced(ctx, found, {len(given): (j * gaps[1], j * gaps[1] + last, strides[1])}, shape)
        for j in range(kernel[1])
    ]
    return ctx.reshape(joined(ctx, parts, len(given) - 1), ctx.result.shape)


@lowering("fold")
def fold(
    ctx: Context,
    input: ir.Value,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> ir.Value:
    """torch.nn.functional.fold to Col2Im: dilations, pads, strides."""
    need(ctx, input)
    made = ctx.op(
        "Col2Im",
        batched(ctx, input, 3),
        ctx.ints(tuple_of(output_size, 2)),
        ctx.ints(tuple_of(kernel_size, 2)),
        dilations=tuple_of(dilation, 2),
        pads=tuple_of(padding, 2) * 2,
        strides=tuple_of(stride, 2),
    )
    return unbatched(ctx, made, input, 3)
