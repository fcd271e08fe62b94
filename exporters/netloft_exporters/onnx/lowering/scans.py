"""Sums, products and extremes of all elements so far."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.extremes import extreme
from netloft_exporters.onnx.lowering.moves import axis_of, chosen
from netloft_exporters.onnx.lowering.reduction import reduced
from netloft_exporters.onnx.lowering.registry import lowering

LONGEST = 256
"""Length up to which what ONNX has no scan for is done for each element with all before it."""


@lowering("cumsum")
def cumsum(ctx: Context, input: ir.Value, dim: int, *, dtype: Any = None) -> ir.Value:
    """torch.cumsum to CumSum: axis."""
    value, rank = ctx.as_result(input), len(ctx.shape_of(input))
    if not rank:
        return value
    return ctx.op("CumSum", value, ctx.constant(axis_of(dim, rank), "int64"))


@lowering("cumprod")
def cumprod(ctx: Context, input: ir.Value, dim: int, *, dtype: Any = None) -> ir.Value:
    """torch.cumprod to Where of a triangle and ReduceProd."""
    value = ctx.as_result(input)
    if not ctx.shape_of(value):
        return value
    so_far, axis = _so_far(ctx, value, dim, 1)
    return reduced(ctx, "ReduceProd", so_far, [axis], False)


@lowering("logcumsumexp")
def logcumsumexp(ctx: Context, input: ir.Value, dim: int) -> ir.Value:
    """torch.logcumsumexp to Where of a triangle and ReduceLogSumExp."""
    if not ctx.shape_of(input):
        return input
    so_far, axis = _so_far(ctx, input, dim, -math.inf)
    return reduced(ctx, "ReduceLogSumExp", so_far, [axis], False)


@lowering("cummax", "cummin")
def cummax(ctx: Context, input: ir.Value, dim: int) -> tuple[ir.Value, ir.Value]:
    """torch.cummax and cummin to Where of a triangle, ReduceMax and ArgMax of the last such."""
    largest, dtype = ctx.record.op == "cummax", ctx.info_of(input).dtype
    if not dtype.startswith("float"):
        raise Unsupported(f"{ctx.record.op} of {dtype}")
    if not ctx.shape_of(input):
        return input, ctx.constant(0, "int64")
    so_far, axis = _so_far(ctx, input, dim, -math.inf if largest else math.inf)
    op_type = "ArgMax" if largest else "ArgMin"
    index = ctx.op(op_type, so_far, axis=axis, keepdims=0, select_last_index=1)
    return extreme(ctx, so_far, [axis], False, largest), index


def _so_far(ctx: Context, value: ir.Value, dim: int, neutral: float) -> tuple[ir.Value, int]:
    """Return for each element all those up to it, along a new axis, and which axis that is."""
    info = ctx.info_of(value)
    axis = axis_of(dim, len(info.shape))
    length = ctx.size_of(value, axis)
    if length > LONGEST:
        raise Unsupported(f"{ctx.record.op} along {length} elements")
    before, after = info.shape[:axis], info.shape[axis + 1 :]
    triangle = np.tri(length, dtype=np.bool_).reshape(length, length, *[1] * len(after))
    apart = ctx.reshape(value, (*before, 1, length, *after))
    shape = (*before, length, length, *after)
    mask, other = ctx.constant(triangle, "bool"), ctx.constant(neutral, info.dtype)
    return chosen(ctx, mask, apart, other, shape), axis + 1
