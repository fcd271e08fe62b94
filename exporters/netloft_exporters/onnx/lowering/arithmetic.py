"""Sums, products and powers of tensors and numbers, with torch's type promotion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import filled
from netloft_exporters.onnx.lowering.registry import LOWERINGS, lowering
from netloft_exporters.onnx.lowering.spatial import need

__all__ = ["scaled", "swapped"]


def swapped(name: str, function: Callable[..., ir.Value]) -> None:
    """Register `__radd__` and its kind: a function of two operands with these swapped."""

    def lower(ctx: Context, input: Any, other: Any) -> ir.Value:
        return function(ctx, other, input)

    lower.__doc__ = f"The operator with swapped operands. {function.__doc__}"
    LOWERINGS[name] = lower


def scaled(ctx: Context, value: ir.Value, factor: Any) -> ir.Value:
    """Return a value of the result's element type times a number."""
    if isinstance(factor, int | float) and factor == 1:
        return value
    return ctx.op("Mul", value, *ctx.operands(factor))


@lowering("add")
def add(ctx: Context, input: Any, other: Any, *, alpha: Any = 1) -> ir.Value:
    """torch.add to Add, `alpha` to a Mul of the second operand; on booleans it is Or."""
    a, b = ctx.operands(input, other)
    if ctx.result.dtype != "bool":
        return ctx.op("Add", a, scaled(ctx, b, alpha))
    return ctx.op("Or", a, b if alpha == 1 else ctx.op("And", b, *ctx.operands(alpha)))


@lowering("sub")
def sub(ctx: Context, input: Any, other: Any, *, alpha: Any = 1) -> ir.Value:
    """torch.sub to Sub, `alpha` to a Mul of the second operand."""
    a, b = ctx.operands(input, other)
    return ctx.op("Sub", a, scaled(ctx, b, alpha))


@lowering("rsub")
def rsub(ctx: Context, input: Any, other: Any, *, alpha: Any = 1) -> ir.Value:
    """torch.rsub to Sub with the operands swapped."""
    return sub(ctx, other, input, alpha=alpha)


@lowering("mul")
def mul(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.mul to Mul; on booleans it is And."""
    return ctx.op("And" if ctx.result.dtype == "bool" else "Mul", *ctx.operands(input, other))


@lowering("addcmul", "addcdiv")
def addcmul(ctx: Context, input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> ir.Value:
    """torch.addcmul and addcdiv to Mul or Div, Mul by `value`, and Add."""
    start, first, second = ctx.operands(input, tensor1, tensor2)
    op_type = "Mul" if ctx.record.op == "addcmul" else "Div"
    return ctx.op("Add", start, scaled(ctx, ctx.op(op_type, first, second), value))


@lowering("lerp")
def lerp(ctx: Context, input: ir.Value, end: ir.Value, weight: Any) -> ir.Value:
    """torch.lerp to Sub, Mul and Add, counted from the nearer end."""
    start, stop, share = ctx.operands(input, end, weight)
    way = ctx.op("Sub", stop, start)
    from_start = ctx.op("Add", start, ctx.op("Mul", share, way))
    if isinstance(weight, int | float) and abs(weight) < 0.5:
        return from_start
    left = ctx.op("Mul", way, ctx.op("Sub", ctx.like(1), share))
    from_stop = ctx.op("Sub", stop, left)
    if isinstance(weight, int | float):
        return from_stop
    near = ctx.op("Less", ctx.op("Abs", share), ctx.like(0.5))
    return ctx.op("Where", near, from_start, from_stop)


# powers


@lowering("pow")
def pow_(ctx: Context, input: Any, exponent: Any) -> ir.Value:
    """torch.pow to Pow; by a number to Mul, Sqrt or Reciprocal where torch does so."""
    if isinstance(input, ir.Value) and isinstance(exponent, int | float):
        made = _power_by_number(ctx, ctx.as_result(input), exponent)
        if made is not None:
            return made
    if not ctx.result.dtype.startswith("float"):
        raise Unsupported("integers to the power of a tensor, which ONNX Runtime takes as floats")
    return ctx.op("Pow", *ctx.operands(input, exponent))


@lowering("float_power")
def float_power(ctx: Context, input: Any, exponent: Any) -> ir.Value:
    """torch.float_power to Cast to float64 and Pow."""
    return pow_(ctx, input, exponent)


def _power_by_number(ctx: Context, value: ir.Value, exponent: float) -> ir.Value | None:
    if not ctx.result.dtype.startswith("float"):
        return _whole_power(ctx, value, int(exponent))
    if exponent in (-2, 2):
        made = ctx.op("Mul", value, value)
    elif exponent in (-0.5, 0.5):
        made = ctx.op("Sqrt", value)
    else:
        return ctx.op("Reciprocal", value) if exponent == -1 else None
    return made if exponent > 0 else ctx.op("Reciprocal", made)


def _whole_power(ctx: Context, base: ir.Value, exponent: int) -> ir.Value:
    """Multiply, so that large integers wrap round as torch's do."""
    if exponent == 0:
        return filled(ctx, 1, ctx.result.shape, ctx.result.dtype)
    made: ir.Value | None = None
    while exponent:
        if exponent % 2:
            made = base if made is None else ctx.op("Mul", made, base)
        exponent //= 2
        base = ctx.op("Mul", base, base) if exponent else base
    assert made is not None
    return made


@lowering("exp2")
def exp2(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.exp2 to Pow of 2."""
    return ctx.op("Pow", ctx.like(2), ctx.as_result(input))


@lowering("ldexp")
def ldexp(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.ldexp to Pow of 2 and Mul."""
    mantissa, exponent = ctx.operands(input, other)
    return ctx.op("Mul", mantissa, ctx.op("Pow", ctx.like(2), exponent))


@lowering("hypot")
def hypot(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.hypot to Sqrt of a sum of squares, in float64, where no square overflows.

    A side without end makes it infinite, whatever the other side is.
    """
    need(ctx, ctx.as_result(input))
    sides = [ctx.cast(side, "float64") for side in ctx.operands(input, other)]
    squares = [ctx.op("Mul", side, side) for side in sides]
    root = ctx.op("Sqrt", ctx.op("Add", *squares))
    endless = ctx.op("Or", *(ctx.op("IsInf", side) for side in sides))
    made = ctx.op("Where", endless, ctx.constant(math.inf, "float64"), root)
    return ctx.as_result(ctx.know(made, TensorInfo(ctx.result.shape, "float64")))


for _name, _function in (("radd", add), ("rmul", mul), ("rpow", pow_)):
    swapped(_name, _function)
