"""Operations that work on each element by itself and that ONNX has too."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.registry import LOWERINGS, lowering
from netloft_exporters.onnx.lowering.spatial import need

# Float operations that ONNX has under another name, operand for operand.
UNARY = {
    "cos": "Cos", "exp": "Exp", "log": "Log", "reciprocal": "Reciprocal", "sigmoid": "Sigmoid",
    "sin": "Sin", "sqrt": "Sqrt", "tanh": "Tanh",
}  # fmt: skip

# ONNX Runtime has no float64 kernels of these.
UNARY_SINGLE = {
    "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh", "atan": "Atan",
    "atanh": "Atanh", "cosh": "Cosh", "erf": "Erf", "sinh": "Sinh", "softsign": "Softsign",
    "tan": "Tan",
}  # fmt: skip


def _unary(op_type: str, *, single: bool) -> Any:
    def lower(ctx: Context, input: ir.Value) -> ir.Value:
        value = ctx.as_result(input)
        if single:
            need(ctx, value)
        return ctx.op(op_type, value)

    lower.__doc__ = f"torch's operation of the same name to {op_type}."
    return lower


LOWERINGS.update({name: _unary(op, single=False) for name, op in UNARY.items()})
LOWERINGS.update({name: _unary(op, single=True) for name, op in UNARY_SINGLE.items()})


@lowering("abs")
def abs_(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.abs to Abs."""
    return ctx.op("Abs", input)


@lowering("neg")
def neg(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.neg to Neg; unsigned integers, which wrap round, to Sub from 0."""
    if ctx.result.dtype == "uint8":
        return ctx.op("Sub", ctx.like(0), input)
    return ctx.op("Neg", input)


@lowering("sign")
def sign(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.sign and sgn to Sign; NaN, which has no sign in torch, to 0."""
    if ctx.result.dtype == "bool":
        return input
    made = ctx.op("Sign", input)
    if not ctx.result.dtype.startswith("float"):
        return made
    return ctx.op("Where", ctx.op("IsNaN", input), ctx.like(0), made)


@lowering("rsqrt")
def rsqrt(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.rsqrt to Reciprocal of Sqrt."""
    return ctx.op("Reciprocal", ctx.op("Sqrt", ctx.as_result(input)))


@lowering("square")
def square(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.square to Mul of a value with itself."""
    value = ctx.as_result(input)
    return ctx.op("Mul", value, value)


@lowering("deg2rad", "rad2deg")
def deg2rad(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.deg2rad and rad2deg to Mul."""
    factor = math.pi / 180 if ctx.record.op == "deg2rad" else 180 / math.pi
    return ctx.op("Mul", ctx.as_result(input), ctx.like(factor))


_CASTS = (
    "to", "type", "type_as", "float", "double", "half", "int", "long", "short", "char", "byte",
    "bool",
)  # fmt: skip


@lowering(*_CASTS)
def to(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Tensor.to, type, float, long and the like to Cast, whose floats lose their fraction too."""
    return ctx.as_result(input)
