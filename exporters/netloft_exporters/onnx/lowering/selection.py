"""Values chosen from others, element by element: by a mask, by their size, by being a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, dtype_of
from netloft_exporters.onnx.lowering.logic import is_infinite, is_negative
from netloft_exporters.onnx.lowering.moves import chosen
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["larger"]

# by a mask


@lowering("where")
def where(ctx: Context, condition: ir.Value, input: Any, other: Any) -> ir.Value:
    """torch.where to Where."""
    mask = ctx.cast(condition, "bool")
    first, second = ctx.operands(input, other)
    return chosen(ctx, mask, first, second, ctx.result.shape)


@lowering("where_method")
def where_method(ctx: Context, input: ir.Value, condition: ir.Value, other: Any) -> ir.Value:
    """Tensor.where to Where."""
    return where(ctx, condition, input, other)


@lowering("masked_fill")
def masked_fill(ctx: Context, input: ir.Value, mask: ir.Value, value: Any) -> ir.Value:
    """Tensor.masked_fill to Where."""
    return where(ctx, mask, value, input)


# by their size


def larger(ctx: Context, op_type: str, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return the larger (Max) or smaller (Min) of two values, of the result's element type."""
    dtype = ctx.result.dtype
    if dtype == "bool":
        return ctx.op("Or" if op_type == "Max" else "And", a, b)
    if dtype != "int16":  # which ONNX Runtime has no kernel for
        return ctx.op(op_type, a, b)
    wide = ctx.op(op_type, ctx.cast(a, "int32"), ctx.cast(b, "int32"))
    return ctx.op("Cast", wide, to=ir.DataType.INT16)


@lowering("maximum", "minimum")
def maximum(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.maximum and torch.minimum to Max and Min."""
    op_type = "Max" if ctx.record.op == "maximum" else "Min"
    return larger(ctx, op_type, *ctx.operands(input, other))


@lowering("fmax", "fmin")
def fmax(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.fmax and torch.fmin to Max and Min, and to the other operand in place of NaN."""
    a, b = ctx.operands(input, other)
    made = larger(ctx, "Max" if ctx.record.op == "fmax" else "Min", a, b)
    if not ctx.result.dtype.startswith("float"):
        return made
    made = ctx.op("Where", ctx.op("IsNaN", a), b, made)
    return ctx.op("Where", ctx.op("IsNaN", b), a, made)


@lowering("clamp", "clamp_min", "clamp_max", "clip")
def clamp(ctx: Context, input: ir.Value, min: Any = None, max: Any = None) -> ir.Value:
    """torch.clamp between numbers to Clip, between tensors to Max and Min."""
    if ctx.record.op == "clamp_max":
        min, max = (None, max if min is None else min)
    value = ctx.as_result(input)
    low, high = (None if limit is None else ctx.operands(limit)[0] for limit in (min, max))
    numbers = all(v is None or _is_number(ctx, v) for v in (low, high))
    if numbers and ctx.result.dtype != "int16":
        return ctx.op("Clip", value, low, high)
    if low is not None:
        value = ctx.know(larger(ctx, "Max", value, low), ctx.result)
    return value if high is None else larger(ctx, "Min", value, high)


def _is_number(ctx: Context, value: ir.Value) -> bool:
    return ctx.array_of(value) is not None and not ctx.shape_of(value)


@lowering("heaviside")
def heaviside(ctx: Context, input: ir.Value, values: ir.Value) -> ir.Value:
    """torch.heaviside to Greater, and to Where of what is 0."""
    value, at_zero = ctx.operands(input, values)
    above = ctx.op("Cast", ctx.op("Greater", value, ctx.like(0)), to=dtype_of(ctx.result.dtype))
    return ctx.op("Where", ctx.op("Equal", value, ctx.like(0)), at_zero, above)


# by their sign


@lowering("copysign")
def copysign(ctx: Context, input: ir.Value, other: Any) -> ir.Value:
    """torch.copysign to Abs and Neg, and to Where of the sign, which -0 has too."""
    (value,) = ctx.operands(input)
    size = ctx.op("Abs", value)
    if isinstance(other, ir.Value):
        return ctx.op("Where", is_negative(ctx, other), ctx.op("Neg", size), size)
    return ctx.op("Neg", size) if np.signbit(other) else size


# by being a number


@lowering("nan_to_num")
def nan_to_num(
    ctx: Context,
    input: ir.Value,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> ir.Value:
    """torch.nan_to_num to Clip to the finite numbers and Where of IsNaN; others to IsInf."""
    if not ctx.result.dtype.startswith("float"):
        return input
    made = input
    if posinf is not None:
        made = ctx.op("Where", is_infinite(ctx, input, detect_negative=0), ctx.like(posinf), made)
    if neginf is not None:
        made = ctx.op("Where", is_infinite(ctx, input, detect_positive=0), ctx.like(neginf), made)
    if posinf is None or neginf is None:
        limits = np.finfo(ctx.result.dtype)
        low = ctx.like(float(limits.min)) if neginf is None else None
        high = ctx.like(float(limits.max)) if posinf is None else None
        made = ctx.op("Clip", made, low, high)
    return ctx.op("Where", ctx.op("IsNaN", input), ctx.like(nan or 0), made)
