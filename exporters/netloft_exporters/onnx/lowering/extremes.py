"""Largest and smallest elements, their indices, and any and all."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import product
from netloft_exporters.onnx.lowering.reduction import Axes, axes_of, reduced
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.selection import larger

__all__ = ["extreme"]

# ONNX Runtime has no kernels of ArgMax for these
_THROUGH = {"int16": "int32", "bool": "uint8"}


@lowering("amax", "amin")
def amax(ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False) -> ir.Value:
    """torch.amax and amin to ReduceMax and ReduceMin: axes; NaN, which those lose, is put back."""
    largest = ctx.record.op == "amax"
    return extreme(ctx, input, axes_of(ctx, input, dim), keepdim, largest)


@lowering("max", "min")
def max_(
    ctx: Context, input: ir.Value, dim: Any = None, keepdim: bool = False, *, other: Any = None
) -> Any:
    """torch.max and min to ReduceMax and ArgMax (Min likewise); of two tensors to Max and Min."""
    largest = ctx.record.op == "max"
    second = dim if isinstance(dim, ir.Value) else other
    if second is not None:
        return larger(ctx, "Max" if largest else "Min", *ctx.operands(input, second))
    if dim is None:
        return extreme(ctx, input, axes_of(ctx, input, None), keepdim, largest)
    axes = axes_of(ctx, input, dim)
    return (
        extreme(ctx, input, axes, keepdim, largest),
        _index_of_extreme(ctx, input, axes, keepdim, largest),
    )


@lowering("aminmax")
def aminmax(
    ctx: Context, input: ir.Value, *, dim: int | None = None, keepdim: bool = False
) -> tuple[ir.Value, ir.Value]:
    """torch.aminmax to ReduceMin and ReduceMax."""
    axes = axes_of(ctx, input, dim)
    return (
        extreme(ctx, input, axes, keepdim, False),
        extreme(ctx, input, axes, keepdim, True),
    )


def extreme(
    ctx: Context, value: ir.Value, axes: list[int], keepdim: bool, largest: bool
) -> ir.Value:
    """Return the largest or the smallest element over some axes, NaN where there is one."""
    op_type, dtype = "ReduceMax" if largest else "ReduceMin", ctx.info_of(value).dtype
    made = reduced(ctx, op_type, value, axes, keepdim)
    if not dtype.startswith("float"):
        return made
    # the sum of sizes is no smaller than any element, and it is NaN where ReduceMax may lose one
    bound = reduced(ctx, "ReduceL1", value, axes, keepdim)
    both = ctx.op("Max", made, ctx.op("Neg", bound)) if largest else ctx.op("Min", made, bound)
    return ctx.know(both, ctx.info_of(made))


# indices


@lowering("argmax", "argmin")
def argmax(
    ctx: Context, input: ir.Value, dim: int | None = None, keepdim: bool = False
) -> ir.Value:
    """torch.argmax and argmin to ArgMax and ArgMin: axis, keepdims; the first one counts."""
    axes = axes_of(ctx, input, dim)
    if dim is None:
        input, axes = ctx.reshape(input, (product(ctx.shape_of(input)),)), [0]
    made = _index_of_extreme(ctx, input, axes, keepdim, ctx.record.op == "argmax")
    return ctx.reshape(made, ctx.result.shape)


def _index_of_extreme(
    ctx: Context, value: ir.Value, axes: list[int], keepdim: bool, largest: bool
) -> ir.Value:
    info = ctx.info_of(value)
    if not axes:  # of a number
        return ctx.constant(0, "int64")
    if 0 in info.shape:
        raise Unsupported("the largest of no elements")
    (axis,) = axes
    shape = [*info.shape[:axis], *[1] * keepdim, *info.shape[axis + 1 :]]
    op_type, wide = "ArgMax" if largest else "ArgMin", _THROUGH.get(info.dtype, info.dtype)
    made = ctx.op(op_type, ctx.cast(value, wide), axis=axis, keepdims=int(keepdim))
    return ctx.know(made, TensorInfo(tuple(shape), "int64"))


# truth


@lowering("any")
def any_(ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False) -> ir.Value:
    """torch.any to Cast to bool and ReduceMax."""
    axes = axes_of(ctx, input, dim)
    return ctx.as_result(reduced(ctx, "ReduceMax", ctx.cast(input, "bool"), axes, keepdim))


@lowering("all")
def all_(ctx: Context, input: ir.Value, dim: Axes = None, keepdim: bool = False) -> ir.Value:
    """torch.all to Cast to bool and ReduceMin."""
    axes = axes_of(ctx, input, dim)
    return ctx.as_result(reduced(ctx, "ReduceMin", ctx.cast(input, "bool"), axes, keepdim))
