"""Comparisons, questions, truth and bits."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.arithmetic import swapped
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import filled
from netloft_exporters.onnx.lowering.registry import LOWERINGS, lowering

__all__ = ["is_infinite", "is_negative"]

# comparisons

COMPARISONS = {
    "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual",
}  # fmt: skip


def _comparison(op_type: str) -> Any:
    def lower(ctx: Context, input: Any, other: Any) -> ir.Value:
        return ctx.op(op_type, *(_ordered(ctx, v) for v in ctx.promoted(input, other)))

    lower.__doc__ = f"torch's comparison to {op_type}, with torch's type promotion."
    return lower


def _ordered(ctx: Context, value: ir.Value) -> ir.Value:
    """ONNX compares no truths by size."""
    return ctx.cast(value, "uint8") if ctx.info_of(value).dtype == "bool" else value


LOWERINGS.update({name: _comparison(op) for name, op in COMPARISONS.items()})


@lowering("eq")
def eq(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.eq to Equal, with torch's type promotion."""
    return ctx.op("Equal", *ctx.promoted(input, other))


@lowering("ne")
def ne(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.ne to Not of Equal."""
    return ctx.op("Not", eq(ctx, input, other))


@lowering("isclose")
def isclose(
    ctx: Context,
    input: ir.Value,
    other: ir.Value,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> ir.Value:
    """torch.isclose to Sub, Abs and LessOrEqual; infinities to Equal."""
    a, b = ctx.promoted(input, other)
    dtype = ctx.info_of(a).dtype
    if not dtype.startswith("float"):
        raise Unsupported("isclose of integers")
    close = ctx.op("Equal", a, b)
    if equal_nan:
        both = ctx.op("And", ctx.op("IsNaN", a), ctx.op("IsNaN", b))
        close = ctx.op("Or", close, both)
    if rtol == 0 and atol == 0:
        return close
    apart = ctx.op("Abs", ctx.op("Sub", a, b))
    share = ctx.op("Abs", ctx.op("Mul", ctx.constant(rtol, dtype), b))
    near = ctx.op("LessOrEqual", apart, ctx.op("Add", ctx.constant(atol, dtype), share))
    finite = ctx.op("Less", apart, ctx.constant(float("inf"), dtype))
    return ctx.op("Or", close, ctx.op("And", finite, near))


# questions


@lowering("isnan")
def isnan(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.isnan to IsNaN; no integer is NaN."""
    if not ctx.info_of(input).dtype.startswith("float"):
        return filled(ctx, False, ctx.result.shape, "bool")
    return ctx.op("IsNaN", input)


# which infinities are left out
_ONE_SIDED: dict[str, dict[str, int]] = {
    "isinf": {},
    "isposinf": {"detect_negative": 0},
    "isneginf": {"detect_positive": 0},
}


@lowering(*_ONE_SIDED)
def isinf(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.isinf, isposinf and isneginf to IsInf: detect_negative, detect_positive."""
    if not ctx.info_of(input).dtype.startswith("float"):
        return filled(ctx, False, ctx.result.shape, "bool")
    return is_infinite(ctx, input, **_ONE_SIDED[ctx.record.op])


def is_infinite(ctx: Context, value: ir.Value, **sides: int) -> ir.Value:
    """Tell where a value is infinite; `IsInf` takes float16 from opset 20 on."""
    if ctx.opset < 20 and ctx.info_of(value).dtype == "float16":
        value = ctx.cast(value, "float32")
    return ctx.op("IsInf", value, **sides)


@lowering("isfinite")
def isfinite(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.isfinite to Less: the size of a finite number is below infinity."""
    dtype = ctx.info_of(input).dtype
    if not dtype.startswith("float"):
        return filled(ctx, True, ctx.result.shape, "bool")
    return ctx.op("Less", ctx.op("Abs", input), ctx.constant(float("inf"), dtype))


@lowering("isreal")
def isreal(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.isreal to a constant."""
    return filled(ctx, True, ctx.result.shape, "bool")


@lowering("signbit")
def signbit(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.signbit to Less than 0, or Less of Reciprocal where -0 is one too."""
    return is_negative(ctx, input)


def is_negative(ctx: Context, value: ir.Value) -> ir.Value:
    """Tell whether a value has its sign set, as -0 has."""
    dtype = ctx.info_of(value).dtype
    if dtype in ("bool", "uint8"):
        return filled(ctx, False, ctx.shape_of(value), "bool")
    zero = ctx.constant(0, dtype)
    below = ctx.op("Less", value, zero)
    if not dtype.startswith("float"):
        return below
    return ctx.op("Or", below, ctx.op("Less", ctx.op("Reciprocal", value), zero))


# truth


@lowering("logical_and", "logical_or", "logical_xor")
def logical_and(ctx: Context, input: Any, other: Any) -> ir.Value:
    """torch.logical_and, or and xor to And, Or and Xor of Casts to bool."""
    op_type = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}[ctx.record.op]
    return ctx.op(op_type, *(ctx.cast(value, "bool") for value in (input, other)))


@lowering("logical_not")
def logical_not(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.logical_not to Not of a Cast to bool."""
    return ctx.op("Not", ctx.cast(input, "bool"))


# bits

_BITS = {
    "bitwise_and": ("And", "BitwiseAnd"), "and": ("And", "BitwiseAnd"),
    "bitwise_or": ("Or", "BitwiseOr"), "or": ("Or", "BitwiseOr"),
    "bitwise_xor": ("Xor", "BitwiseXor"), "xor": ("Xor", "BitwiseXor"),
}  # fmt: skip


def _bits(of_truth: str, of_integers: str) -> Any:
    def lower(ctx: Context, input: Any, other: Any) -> ir.Value:
        op_type = of_truth if ctx.result.dtype == "bool" else of_integers
        return ctx.op(op_type, *ctx.operands(input, other))

    lower.__doc__ = f"torch's operation of the same name to {of_integers}, or {of_truth} of truths."
    return lower


LOWERINGS.update({name: _bits(*pair) for name, pair in _BITS.items()})
for _name in ("and", "or", "xor"):
    swapped(f"r{_name}", LOWERINGS[_name])


@lowering("bitwise_not", "invert")
def bitwise_not(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.bitwise_not to BitwiseNot, or Not of truths."""
    return ctx.op("Not" if ctx.result.dtype == "bool" else "BitwiseNot", input)


_WIDTH = {"uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 64}


@lowering("bitwise_left_shift", "lshift")
def left_shift(ctx: Context, input: ir.Value, other: Any) -> ir.Value:
    """torch.bitwise_left_shift by a number to Mul; what is shifted out is lost in both."""
    bits = _shift(ctx, other)
    return ctx.op("Mul", *ctx.operands(input, _wrapped(2**bits, ctx.result.dtype)))


@lowering("bitwise_right_shift", "rshift")
def right_shift(ctx: Context, input: ir.Value, other: Any) -> ir.Value:
    """torch.bitwise_right_shift by a number to BitwiseAnd, which clears the bits, and Div."""
    dtype, bits = ctx.result.dtype, _shift(ctx, other)
    width = _WIDTH[dtype]
    if bits >= width - 1 and dtype != "uint8":  # all that is left is the sign
        return ctx.op("Sub", ctx.like(0), ctx.cast(_below_zero(ctx, input), dtype))
    (value,) = ctx.operands(input)
    cleared = ctx.op("BitwiseAnd", value, ctx.like(_wrapped(-(2**bits), dtype)))
    return ctx.op("Div", cleared, ctx.like(2**bits))


def _below_zero(ctx: Context, input: ir.Value) -> ir.Value:
    (value,) = ctx.operands(input)
    return ctx.know(ctx.op("Less", value, ctx.like(0)), TensorInfo(ctx.result.shape, "bool"))


def _shift(ctx: Context, other: Any) -> int:
    width = _WIDTH.get(ctx.result.dtype)
    if not isinstance(other, int) or width is None:
        raise Unsupported("a shift by what is computed, or of floats")
    if not 0 <= other < width:
        raise Unsupported(f"a shift of {ctx.result.dtype} by {other}")
    return other


def _wrapped(number: int, dtype: str) -> int:
    """Return a number as the element type holds it."""
    width = _WIDTH[dtype]
    number %= 2**width
    return number - 2**width if dtype != "uint8" and number >= 2 ** (width - 1) else number
