"""Arithmetic, comparisons and the other operations that work on each element by itself."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import LOWERINGS, lowering

# Float operations that ONNX has under another name, operand for operand.
UNARY = {
    "acos": "Acos", "asin": "Asin", "atan": "Atan", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh",
    "erf": "Erf", "exp": "Exp", "floor": "Floor", "log": "Log", "reciprocal": "Reciprocal",
    "round": "Round", "sigmoid": "Sigmoid", "sin": "Sin", "sinh": "Sinh", "softsign": "Softsign",
    "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip

# These take integers too.
UNARY_ANY = {"abs": "Abs", "neg": "Neg", "relu": "Relu", "sign": "Sign"}

COMPARISONS = {"eq": "Equal", "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less",
               "le": "LessOrEqual"}  # fmt: skip


def _unary(op_type: str, *, floats_only: bool) -> Any:
    def lower(ctx: Context, input: ir.Value) -> ir.Value:
        return ctx.op(op_type, ctx.as_result(input) if floats_only else input)

    lower.__doc__ = f"torch's operation of the same name to {op_type}."
    return lower


def _comparison(op_type: str) -> Any:
    def lower(ctx: Context, input: Any, other: Any) -> ir.Value:
        return ctx.op(op_type, *ctx.promoted(input, other))

    lower.__doc__ = f"torch's comparison to {op_type}, with torch's type promotion."
    return lower


LOWERINGS.update({name: _unary(op, floats_only=True) for name, op in UNARY.items()})
LOWERINGS.update({name: _unary(op, floats_only=False) for name, op in UNARY_ANY.items()})
LOWERINGS.update({name: _comparison(op) for name, op in COMPARISONS.items()})


@lowering("add")
def add(ctx: Context, input: Any, other: Any, *, alpha: float = 1) -> ir.Value:
    """torch.add to Add, `alpha` to a Mul of the second operand; on booleans it is Or."""
    if ctx.result.dtype == "bool":
        return ctx.op("Or", *ctx.operands(input, other))
    a, b = ctx.operands(input, other)
    return ctx.op("Add", a, b if alpha == 1 else ctx.op("Mul", b, ctx.like(alpha)))


@lowering("sub")
def sub(ctx: Context, input: Any, other: Any, *, alpha: float = 1) -> ir.Value:
    """torch.sub to Sub, `alpha` to a Mul of the second operand."""
    a, b = ctx.operands(input, other)
    return ctx.op("Sub", a, b if alpha == 1 else ctx.op("Mul", b, ctx.like(alpha)))


@lowering("rsub")
def rsub(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.rsub to Sub with the operands swapped."""
    return ctx.op("Sub", *ctx.operands(other, input))


@lowering("mul")
def mul(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.mul to Mul; on booleans it is And."""
    return ctx.op("And" if ctx.result.dtype == "bool" else "Mul", *ctx.operands(input, other))


@lowering("div")
def div(ctx: Context, input: Any, other: Any, *, rounding_mode: str | None = None) -> ir.Value:
    """torch.div to Div; `floor` adds Floor. Integers divide as floats, as in torch."""
    if rounding_mode not in (None, "floor") or (
        rounding_mode and (not ctx.result.dtype.startswith("float"))
    ):
        raise Unsupported(f"division with rounding mode {rounding_mode} on {ctx.result.dtype}")
    quotient = ctx.op("Div", *ctx.operands(input, other))
    return ctx.op("Floor", quotient) if rounding_mode else quotient


@lowering("pow")
def pow_(ctx: Context, input: Any, exponent: Any) -> ir.Value:
    """torch.pow to Pow; a square to Mul."""
    if exponent == 2 and isinstance(input, ir.Value):
        return ctx.op("Mul", input, input)
    return ctx.op("Pow", *ctx.operands(input, exponent))


@lowering("maximum", "minimum")
def extreme(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.maximum and torch.minimum to Max and Min."""
    return ctx.op("Max" if ctx.record.op == "maximum" else "Min", *ctx.operands(input, other))


@lowering("rsqrt")
def rsqrt(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.rsqrt to Reciprocal of Sqrt."""
    return ctx.op("Reciprocal", ctx.op("Sqrt", ctx.as_result(input)))


@lowering("clamp", "clamp_min", "clamp_max", "clip")
def clamp(ctx: Context, input: ir.Value, min: Any = None, max: Any = None) -> ir.Value:
    """torch.clamp to Clip; the limits are numbers."""
    if ctx.record.op == "clamp_max":
        min, max = None, min
    if isinstance(min, ir.Value) or isinstance(max, ir.Value):
        raise Unsupported("clamp between tensors")
    low = None if min is None else ctx.like(min)
    high = None if max is None else ctx.like(max)
    return ctx.op("Clip", ctx.as_result(input), low, high)


@lowering("where")
def where(ctx: Context, condition: ir.Value, input: Any, other: Any) -> ir.Value:
    """torch.where to Where."""
    return ctx.op("Where", condition, *ctx.operands(input, other))


@lowering("masked_fill")
def masked_fill(ctx: Context, input: ir.Value, mask: ir.Value, value: Any) -> ir.Value:
    """Tensor.masked_fill to Where."""
    return ctx.op("Where", mask, *ctx.operands(value, input))
