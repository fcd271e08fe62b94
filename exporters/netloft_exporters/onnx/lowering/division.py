"""Division, what is left of it, and rounding, with torch's signs."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.arithmetic import swapped
from netloft_exporters.onnx.lowering.context import Context, dtype_of
from netloft_exporters.onnx.lowering.registry import lowering

# division


@lowering("div")
def div(ctx: Context, input: Any, other: Any, *, rounding_mode: str | None = None) -> ir.Value:
    """torch.div to Div; `trunc` cuts the fraction off, `floor` is floor_divide."""
    if rounding_mode == "floor":
        return floor_divide(ctx, input, other)
    quotient = ctx.op("Div", *ctx.operands(input, other))
    # on integers, Div cuts the fraction off by itself
    floats = ctx.result.dtype.startswith("float")
    return _trunc(ctx, quotient) if rounding_mode and floats else quotient


@lowering("floor_divide", "floordiv")
def floor_divide(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.floor_divide and `//` to Div and Mod, rounded down as in Python."""
    a, b = ctx.operands(input, other)
    if ctx.result.dtype.startswith("float"):
        return _floor_of_floats(ctx, a, b)
    if ctx.result.dtype == "uint8":
        return ctx.op("Div", a, b)
    divisor = _number(ctx, b)
    if divisor is not None and divisor > 0 and divisor & (divisor - 1) == 0:
        return ctx.op("Div", ctx.op("BitwiseAnd", a, ctx.like(-divisor)), b)
    # what C's division cuts off, less what is left below Python's, is 0 or one divisor
    gap = ctx.op("Sub", ctx.op("Mod", a, b, fmod=1), ctx.op("Mod", a, b))
    return ctx.op("Add", ctx.op("Div", a, b), ctx.op("Div", gap, b))


def _floor_of_floats(ctx: Context, a: ir.Value, b: ir.Value) -> ir.Value:
    """Divide what the remainder leaves, as torch does: `1 // 0.1` is 9, and its Floor 10."""
    rest = ctx.op("Mod", a, b, fmod=1)
    whole = ctx.op("Round", ctx.op("Div", ctx.op("Sub", a, rest), b))
    below = ctx.op("Cast", _signs_differ(ctx, rest, b), to=dtype_of(ctx.result.dtype))
    made = ctx.op("Sub", whole, below)
    return made if _number(ctx, b) else _unless_zero(ctx, b, made, ctx.op("Div", a, b))


def _unless_zero(ctx: Context, b: ir.Value, made: ir.Value, otherwise: ir.Value) -> ir.Value:
    return ctx.op("Where", ctx.op("Equal", b, ctx.like(0)), otherwise, made)


def _signs_differ(ctx: Context, rest: ir.Value, divisor: ir.Value) -> ir.Value:
    """Tell whether a remainder is not 0 and has another sign than the divisor."""
    number, zero = _number(ctx, divisor), ctx.like(0)
    if number:
        return ctx.op("Less" if number > 0 else "Greater", rest, zero)
    return ctx.op("Less", ctx.op("Mul", ctx.op("Sign", rest), divisor), zero)


def _number(ctx: Context, value: ir.Value) -> Any:
    """Return what a constant of one element holds; None for any other value."""
    array = ctx.array_of(value)
    return array.item() if array is not None and array.size == 1 else None


# what is left


@lowering("remainder", "mod")
def remainder(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.remainder and `%` to Mod, with the divisor's sign as in Python."""
    a, b = ctx.operands(input, other)
    if not ctx.result.dtype.startswith("float"):
        return ctx.op("Mod", a, b)
    rest = ctx.op("Mod", a, b, fmod=1)
    return ctx.op("Where", _signs_differ(ctx, rest, b), ctx.op("Add", rest, b), rest)


@lowering("fmod")
def fmod(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.fmod to Mod: fmod 1."""
    return ctx.op("Mod", *ctx.operands(input, other), fmod=1)


@lowering("frac")
def frac(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.frac to Mod by 1: fmod 1."""
    return ctx.op("Mod", input, ctx.like(1), fmod=1)


# rounding


@lowering("ceil", "floor")
def floor(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.floor and ceil to Floor and Ceil; integers stay as they are."""
    if not ctx.result.dtype.startswith("float"):
        return input
    return ctx.op("Floor" if ctx.record.op == "floor" else "Ceil", input)


@lowering("trunc")
def trunc(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.trunc to Floor of Abs, with the Sign put back."""
    return _trunc(ctx, input) if ctx.result.dtype.startswith("float") else input


def _trunc(ctx: Context, value: ir.Value) -> ir.Value:
    return ctx.op("Mul", ctx.op("Sign", value), ctx.op("Floor", ctx.op("Abs", value)))


@lowering("round")
def round_(ctx: Context, input: ir.Value, *, decimals: int = 0) -> ir.Value:
    """torch.round to Round, halves to even in both; `decimals` to Mul and Div around it."""
    if not ctx.result.dtype.startswith("float"):
        return input
    if decimals == 0:
        return ctx.op("Round", input)
    factor = ctx.like(10.0 ** abs(decimals))
    before, after = ("Mul", "Div") if decimals > 0 else ("Div", "Mul")
    return ctx.op(after, ctx.op("Round", ctx.op(before, input, factor)), factor)


for _name, _function in (("rdiv", div), ("rfloordiv", floor_divide), ("rmod", remainder)):
    swapped(_name, _function)
