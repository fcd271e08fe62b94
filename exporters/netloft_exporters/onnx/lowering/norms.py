"""Vectors: their lengths, distances and products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.extremes import extreme
from netloft_exporters.onnx.lowering.moves import (
    axis_of,
    broadcast_shape,
    expanded,
    gathered,
    permuted,
)
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
    value, rank = ctx.as_result(input), len(ctx.shape_of(input))
    pair = dim is None or (not isinstance(dim, int) and len(dim) == 2)
    if ctx.record.op == "linalg_norm" and ord is not None and pair and (dim or rank == 2):
        return _matrix_norm(ctx, value, ord, dim or (0, 1), keepdim)
    if ord in (None, "fro"):
        ord = 2
    if not isinstance(ord, int | float):
        raise Unsupported(f"the norm {ord}")
    return vector_norm(ctx, value, ord, axes_of(ctx, value, dim), keepdim)


@lowering("linalg_matrix_norm")
def matrix_norm(
    ctx: Context,
    A: ir.Value,  # noqa: N803 - torch's name
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> ir.Value:
    """torch.linalg.matrix_norm to ReduceL2, or to ReduceL1 and ReduceMax or ReduceMin."""
    return _matrix_norm(ctx, ctx.as_result(A), ord, dim, keepdim)


def _matrix_norm(ctx: Context, value: ir.Value, ord: Any, dim: Any, keepdim: bool) -> ir.Value:
    rows, columns = (axis_of(d, len(ctx.shape_of(value))) for d in dim)
    if ord == "fro":
        return vector_norm(ctx, value, 2, sorted((rows, columns)), keepdim)
    if not isinstance(ord, int | float) or (abs(ord) != 1 and not math.isinf(ord)):
        raise Unsupported(f"the norm {ord} of a matrix")
    summed, left = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = reduced(ctx, "ReduceL1", value, [summed], True)
    made = extreme(ctx, sums, [left], True, ord > 0)
    return made if keepdim else ctx.reshape(made, ctx.result.shape)


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


# distances


@lowering("dist")
def dist(ctx: Context, input: ir.Value, other: ir.Value, p: float = 2) -> ir.Value:
    """torch.dist to Sub and the norm of all."""
    apart = _difference(ctx, *ctx.operands(input, other))
    return vector_norm(ctx, apart, p, range(len(ctx.shape_of(apart))), False)


@lowering("pairwise_distance")
def pairwise_distance(
    ctx: Context,
    x1: ir.Value,
    x2: ir.Value,
    p: float = 2.0,
    eps: float = 1e-6,
    keepdim: bool = False,
) -> ir.Value:
    """torch.nn.functional.pairwise_distance to Sub, Add of eps, and the norm of the last axis."""
    apart = _difference(ctx, *ctx.operands(x1, x2))
    apart = ctx.know(ctx.op("Add", apart, ctx.like(eps)), ctx.info_of(apart))
    return vector_norm(ctx, apart, p, [len(ctx.shape_of(apart)) - 1], keepdim)


@lowering("cdist")
def cdist(
    ctx: Context, x1: ir.Value, x2: ir.Value, p: float = 2.0, compute_mode: Any = None
) -> ir.Value:
    """torch.cdist to Sub and the norm; many Euclidean ones to MatMul and Sqrt, as in torch."""
    (*lead, rows, width), (*other, columns, _) = ctx.shape_of(x1), ctx.shape_of(x2)
    many = any(isinstance(count, str) or count > _FEW for count in (rows, columns))
    never = compute_mode in (2, "donot_use_mm_for_euclid_dist")
    # ONNX Runtime's MatMul does not broadcast to an empty batch
    alike = lead == other or all(isinstance(n, int) and n > 0 for n in (*lead, *other))
    if p == 2 and alike and (many or compute_mode in (1, "use_mm_for_euclid_dist")) and not never:
        return _by_product(ctx, x1, x2)
    apart = _difference(
        ctx,
        ctx.reshape(x1, (*lead, rows, 1, width)),
        ctx.reshape(x2, (*other, 1, columns, width)),
    )
    return vector_norm(ctx, apart, p, [len(ctx.shape_of(apart)) - 1], False)


_FEW = 25
"""Vectors up to which torch.cdist subtracts; past it, it multiplies matrices."""


def _by_product(ctx: Context, x1: ir.Value, x2: ir.Value) -> ir.Value:
    """Return sqrt(a² - 2ab + b²), which is no less than zero but for rounding."""
    rank = len(ctx.shape_of(x2))
    turned = permuted(ctx, x2, [*range(rank - 2), rank - 1, rank - 2])
    squares = reduced(ctx, "ReduceSumSquare", x1, [len(ctx.shape_of(x1)) - 1], True)
    others = reduced(ctx, "ReduceSumSquare", turned, [rank - 2], True)
    product = ctx.op("MatMul", ctx.op("Mul", x1, ctx.like(-2)), turned)
    total = ctx.op("Add", ctx.op("Add", product, squares), others)
    return ctx.op("Sqrt", ctx.op("Max", total, ctx.like(0)))


def _difference(ctx: Context, first: ir.Value, second: ir.Value) -> ir.Value:
    shape = broadcast_shape([ctx.shape_of(first), ctx.shape_of(second)])
    return ctx.know(ctx.op("Sub", first, second), TensorInfo(shape, ctx.result.dtype))


@lowering("cross", "linalg_cross")
def cross(ctx: Context, input: ir.Value, other: ir.Value, dim: int | None = None) -> ir.Value:
    """torch.cross and torch.linalg.cross to Gather, Mul and Sub."""
    shape = ctx.result.shape
    if ctx.record.op == "linalg_cross":
        dim = -1 if dim is None else dim
    elif dim is None:
        dim = shape.index(3)
        if any(isinstance(length, str) for length in shape[:dim]):
            raise Unsupported("a cross product along whichever axis has three elements")
    axis = axis_of(dim, len(shape))
    first, second = (expanded(ctx, value, shape) for value in ctx.operands(input, other))
    next_, last = ctx.ints([1, 2, 0]), ctx.ints([2, 0, 1])
    left, right = (
        ctx.op("Mul", gathered(ctx, first, a, axis), gathered(ctx, second, b, axis))
        for a, b in ((next_, last), (last, next_))
    )
    return ctx.op("Sub", left, right)
