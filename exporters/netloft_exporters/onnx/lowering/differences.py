"""Differences of neighbours, and areas under them."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.moves import axis_of, broadcast_shape, cut, joined
from netloft_exporters.onnx.lowering.reduction import reduced
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("diff")
def diff(
    ctx: Context,
    input: ir.Value,
    n: int = 1,
    dim: int = -1,
    prepend: ir.Value | None = None,
    append: ir.Value | None = None,
) -> ir.Value:
    """torch.diff to Slice, Slice and Sub, `n` times; Xor of truths."""
    if n == 0:
        return input
    axis = axis_of(dim, len(ctx.shape_of(input)))
    parts = [part for part in (prepend, input, append) if part is not None]
    value = joined(ctx, [ctx.as_result(part) for part in parts], axis)
    for _ in range(n):
        value = _step(ctx, "Xor" if ctx.result.dtype == "bool" else "Sub", value, axis)
    return value


def _step(ctx: Context, op_type: str, value: ir.Value, axis: int) -> ir.Value:
    """Join each element but the first with the one before."""
    later, sooner = cut(ctx, value, axis, 1, None), cut(ctx, value, axis, 0, -1)
    return ctx.know(ctx.op(op_type, later, sooner), ctx.info_of(later))


@lowering("trapezoid", "trapz")
def trapezoid(
    ctx: Context, y: ir.Value, x: ir.Value | None = None, *, dx: float = 1, dim: int = -1
) -> ir.Value:
    """torch.trapezoid to Slices, Add, Mul and ReduceSum."""
    areas, axis = _areas(ctx, y, x, dx, dim)
    return reduced(ctx, "ReduceSum", areas, [axis], False)


@lowering("cumulative_trapezoid")
def cumulative_trapezoid(
    ctx: Context, y: ir.Value, x: ir.Value | None = None, *, dx: float = 1, dim: int = -1
) -> ir.Value:
    """torch.cumulative_trapezoid to Slices, Add, Mul and CumSum."""
    areas, axis = _areas(ctx, y, x, dx, dim)
    return ctx.op("CumSum", areas, ctx.constant(axis, "int64"))


def _areas(
    ctx: Context, y: ir.Value, x: ir.Value | None, dx: Any, dim: int
) -> tuple[ir.Value, int]:
    """Return the area between each two neighbours, and the axis that they are on."""
    rank = len(ctx.shape_of(y))
    axis = axis_of(dim, rank)
    height = _step(ctx, "Add", ctx.as_result(y), axis)
    width = ctx.constant(dx / 2, ctx.result.dtype)
    if x is not None:
        x = ctx.as_result(x)
        # points of one axis are along `dim`
        shape = ctx.shape_of(x)
        upright = x if len(shape) > 1 else ctx.reshape(x, (*shape, *[1] * (rank - axis - 1)))
        along = axis if len(shape) == rank else axis_of(dim, len(shape)) if len(shape) > 1 else 0
        gaps = _step(ctx, "Sub", upright, along)
        width = ctx.know(ctx.op("Mul", gaps, ctx.like(0.5)), ctx.info_of(gaps))
    shape = broadcast_shape([ctx.shape_of(height), ctx.shape_of(width)])
    made = ctx.op("Mul", height, width)
    return ctx.know(made, TensorInfo(shape, ctx.result.dtype)), axis + len(shape) - rank
