"""Lengths of vectors and distances between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.extremes import extreme
from netloft_exporters.onnx.lowering.moves import broadcast_shape
from netloft_exporters.onnx.lowering.reduction import Axes, axes_of, reduced
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["vector_norm"]

_ONE_NODE = {1: "ReduceL1", 2: "ReduceL2"}


def vector_norm(
    ctx: Context, value: ir.Value, ord: float, axes: Sequence[int], keepdim: bool
) -> ir.Value:
    """Return the `ord`-norm over some axes, of a value that is of floating point."""
    if ord in _ONE_NODE:
        return reduced(ctx, _ONE_NODE[int(ord)], value, axes, keepdim)
    info = ctx.info_of(value)
    if ord == 0:
        there = ctx.cast(ctx.cast(value, "bool"), info.dtype)
        return reduced(ctx, "ReduceSum", there, axes, keepdim)
    size = ctx.know(ctx.op("Abs", value), info)
    if math.isinf(ord):
        return extreme(ctx, size, list(axes), keepdim, ord > 0)
    powers = ctx.know(ctx.op("Pow", size, ctx.constant(ord, info.dtype)), info)
    total = reduced(ctx, "ReduceSum", powers, axes, keepdim)
    return ctx.know(ctx.op("Pow", total, ctx.constant(1 / ord, info.dtype)), ctx.info_of(total))


@lowering("norm", "linalg_norm")
def norm(
    ctx: Context,
    input: ir.Value,
    p: Any = None,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    ord: Any = None,
    dtype: Any = None,
) -> ir.Value:
    """torch.norm and torch.linalg.norm to ReduceL1, ReduceL2, ReduceMax or ReduceSum of powers."""
    ord = p if ord is None else ord
    matrix = ctx.record.op == "linalg_norm" and ord is not None
    pairs = dim is None or (not isinstance(dim, int) and len(dim) == 2)
    if matrix and pairs and (dim is not None or len(ctx.shape_of(input)) == 2) and ord != "fro":
        raise Unsupported(f"the norm {ord} of a matrix")
    if ord in (None, "fro"):
        ord = 2
    if not isinstance(ord, int | float):
        raise Unsupported(f"the norm {ord}")
    return vector_norm(ctx, ctx.as_result(input), ord, axes_of(ctx, input, dim), keepdim)


@lowering("linalg_vector_norm")
def linalg_vector_norm(
    ctx: Context,
    x: ir.Value,
    ord: float = 2,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> ir.Value:
    """torch.linalg.vector_norm to ReduceL1, ReduceL2, ReduceMax or ReduceSum of powers."""
    return vector_norm(ctx, ctx.as_result(x), ord, axes_of(ctx, x, dim), keepdim)


@lowering("dist")
def dist(ctx: Context, input: ir.Value, other: ir.Value, p: float = 2) -> ir.Value:
    """torch.dist to Sub and the norm of all."""
    first, second = ctx.operands(input, other)
    apart = ctx.op("Sub", first, second)
    shape = broadcast_shape([ctx.shape_of(first), ctx.shape_of(second)])
    ctx.know(apart, TensorInfo(shape, ctx.result.dtype))
    return vector_norm(ctx, apart, p, range(len(shape)), False)
