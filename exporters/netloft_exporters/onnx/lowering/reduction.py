"""Sums, means and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.moves import axis_of, chosen, filled, product
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["Axes", "axes_of", "count_of", "reduced"]

Axes = int | Sequence[int] | None
"""torch's `dim`: one axis, several, or all of them."""

REDUCTIONS = {
    "mean": "ReduceMean", "sum": "ReduceSum", "prod": "ReduceProd", "logsumexp": "ReduceLogSumExp",
}  # fmt: skip

# What ONNX Runtime does not give as torch does; where torch has no answer, it has said so.
_OF_NOTHING = {
    "ReduceMean": math.nan, "ReduceProd": 1, "ReduceLogSumExp": -math.inf, "ReduceMin": 1,
}  # fmt: skip


def axes_of(ctx: Context, value: ir.Value, dim: Axes) -> list[int]:
    """Return the axes that a reduction is over, in order; no axes at all are all axes."""
    rank = len(ctx.shape_of(value))
    dims = [dim] if isinstance(dim, int) else list(dim or range(rank))
    return sorted({axis_of(d, rank) for d in dims}) if rank else []


def count_of(ctx: Context, value: ir.Value, axes: Sequence[int]) -> Dim:
    """Return how many elements are reduced to one."""
    return product([ctx.shape_of(value)[axis] for axis in axes])


def reduced(
    ctx: Context, op_type: str, value: ir.Value, axes: Sequence[int], keepdim: bool
) -> ir.Value:
    """Add a reduction of ONNX; one over no elements is a constant."""
    info = ctx.info_of(value)
    shape = tuple(
        1 if axis in axes else dim
        for axis, dim in enumerate(info.shape)
        if keepdim or axis not in axes
    )
    if 0 in info.shape:
        return filled(ctx, _OF_NOTHING.get(op_type, 0), shape, info.dtype)
    which = ctx.ints(axes) if len(axes) < len(info.shape) else None  # none given: all
    wide = _wide(ctx, op_type, info.dtype)
    made = ctx.op(op_type, ctx.cast(value, wide), which, keepdims=int(keepdim))
    return ctx.cast(ctx.know(made, TensorInfo(shape, wide)), info.dtype)


def _wide(ctx: Context, op_type: str, dtype: str) -> str:
    """Return an element type that there is a kernel for and that holds the same numbers."""
    if op_type in ("ReduceMax", "ReduceMin"):
        known = ("bool",) if ctx.opset >= 20 else ()
        return dtype if dtype in known else {"bool": "uint8", "int16": "int32"}.get(dtype, dtype)
    return "int32" if dtype in ("bool", "uint8", "int8", "int16") else dtype


@lowering(*REDUCTIONS)
def reduce(
    ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> ir.Value:
    """torch.mean, sum, prod and logsumexp to ReduceMean, ReduceSum, ReduceProd, ReduceLogSumExp."""
    axes = axes_of(ctx, input, dim)
    return reduced(ctx, REDUCTIONS[ctx.record.op], ctx.as_result(input), axes, keepdim)


@lowering("nansum")
def nansum(
    ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> ir.Value:
    """torch.nansum to Where of IsNaN, and ReduceSum."""
    value = ctx.as_result(_without_nan(ctx, input)[0])
    return reduced(ctx, "ReduceSum", value, axes_of(ctx, input, dim), keepdim)


@lowering("nanmean")
def nanmean(
    ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> ir.Value:
    """torch.nanmean to ReduceSum of what is a number, and of how many are."""
    axes = axes_of(ctx, input, dim)
    value, missing = _without_nan(ctx, input)
    total = reduced(ctx, "ReduceSum", ctx.as_result(value), axes, keepdim)
    there = ctx.know(ctx.op("Not", missing), ctx.info_of(missing))
    return ctx.op("Div", total, reduced(ctx, "ReduceSum", ctx.as_result(there), axes, keepdim))


def _without_nan(ctx: Context, input: ir.Value) -> tuple[ir.Value, ir.Value]:
    info = ctx.info_of(input)
    if not info.dtype.startswith("float"):
        return input, ctx.constant(False, "bool")
    missing = ctx.know(ctx.op("IsNaN", input), TensorInfo(info.shape, "bool"))
    return chosen(ctx, missing, ctx.constant(0, info.dtype), input, info.shape), missing


@lowering("count_nonzero")
def count_nonzero(ctx: Context, input: ir.Value, dim: Axes = None) -> ir.Value:
    """torch.count_nonzero to Cast to bool and back, and ReduceSum."""
    truth = ctx.cast(ctx.cast(input, "bool"), "int64")
    return reduced(ctx, "ReduceSum", truth, axes_of(ctx, input, dim), False)


@lowering("sum_to_size")
def sum_to_size(ctx: Context, input: ir.Value, *_: Any) -> ir.Value:
    """Tensor.sum_to_size to ReduceSum over what is longer than it is to be."""
    given, wanted = ctx.shape_of(input), ctx.result.shape
    more = len(given) - len(wanted)
    axes = [a for a, dim in enumerate(given) if a < more or dim != wanted[a - more]]
    value = ctx.as_result(input)
    total = reduced(ctx, "ReduceSum", value, axes, True) if axes else value
    return ctx.reshape(total, wanted)


# variance


@lowering("var", "std", "var_mean", "std_mean")
def var(
    ctx: Context,
    input: ir.Value,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """torch.var and std to ReduceSumSquare and ReduceL2 of what is left without the mean."""
    if isinstance(dim, bool):  # `x.var(False)`
        dim, unbiased = None, dim
    if correction is None:
        correction = 0 if unbiased is False else 1
    axes = axes_of(ctx, input, dim)
    mean = reduced(ctx, "ReduceMean", input, axes, True)
    rest = ctx.know(ctx.op("Sub", input, mean), ctx.info_of(input))
    root = ctx.record.op.startswith("std")
    spread = reduced(ctx, "ReduceL2" if root else "ReduceSumSquare", rest, axes, keepdim)
    made = ctx.op("Div", spread, _freedom(ctx, count_of(ctx, input, axes), correction, root))
    if not ctx.record.op.endswith("mean"):
        return made
    return made, ctx.reshape(mean, ctx.results[1].shape)


def _freedom(ctx: Context, count: Dim, correction: float, root: bool) -> ir.Value:
    """Return what a sum of squares is divided by: how many there are, less the correction."""
    dtype = ctx.results[0].dtype
    if isinstance(count, int):
        left = max(count - correction, 0)
        return ctx.constant(left**0.5 if root else left, dtype)
    left_over = ctx.op("Sub", ctx.scalar(count, dtype), ctx.constant(correction, dtype))
    positive = ctx.op("Max", left_over, ctx.constant(0, dtype))
    return ctx.op("Sqrt", positive) if root else positive
