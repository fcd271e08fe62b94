"""Logarithms, exponentials and angles that ONNX lacks, exact where the plain formula is not."""

from __future__ import annotations

import math

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.logic import is_negative
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import need

# logarithms and exponentials


@lowering("log2", "log10")
def log2(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.log2 and log10 to Log and Div in float64, which leaves whole results whole."""
    wide = ctx.cast(ctx.as_result(input), "float64")
    base = ctx.constant(math.log(2 if ctx.record.op == "log2" else 10), "float64")
    made = ctx.op("Div", ctx.op("Log", wide), base)
    return ctx.as_result(ctx.know(made, TensorInfo(ctx.result.shape, "float64")))


@lowering("log1p")
def log1p(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.log1p to Log of `1 + x`, and to what rounding that sum took away.

    `log(1 + x)` alone loses every digit of a small x.
    """
    value = ctx.as_result(input)
    above = ctx.op("Add", value, ctx.like(1))
    kept = ctx.op("Sub", above, ctx.like(1))
    lost = ctx.op("Div", ctx.op("Sub", value, kept), above)
    # nothing is lost of an infinity or of -1, where that would be NaN
    lost = ctx.op("Where", ctx.op("Equal", value, kept), ctx.like(0), lost)
    return ctx.op("Add", ctx.op("Log", above), lost)


@lowering("expm1")
def expm1(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.expm1 to `tanh(x / 2) * (exp(x) + 1)`: Tanh, Exp, Add and Mul.

    `exp(x) - 1` alone loses every digit of a small x.
    """
    value = ctx.as_result(input)
    half = ctx.op("Tanh", ctx.op("Mul", value, ctx.like(0.5)))
    return ctx.op("Mul", half, ctx.op("Add", ctx.op("Exp", value), ctx.like(1)))


@lowering("logaddexp", "logaddexp2")
def logaddexp(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.logaddexp and logaddexp2 to the larger one, by Max, and Softplus of the gap."""
    a, b = ctx.operands(input, other)
    need(ctx, a)
    gap = ctx.op("Neg", ctx.op("Abs", ctx.op("Sub", a, b)))
    # two equal infinities have no difference, and no gap
    gap = ctx.op("Where", ctx.op("Equal", a, b), ctx.like(0), gap)
    if ctx.record.op == "logaddexp":
        more = ctx.op("Softplus", gap)
    else:
        wide = ctx.op("Softplus", ctx.op("Mul", gap, ctx.like(math.log(2))))
        more = ctx.op("Div", wide, ctx.like(math.log(2)))
    return ctx.op("Add", ctx.op("Max", a, b), more)


@lowering("logit")
def logit(ctx: Context, input: ir.Value, eps: float | None = None) -> ir.Value:
    """torch.logit to Log of a Div, `eps` to a Clip before it."""
    value = ctx.as_result(input)
    if eps is not None:
        if eps > 0.5:
            raise Unsupported("logit between limits that are swapped")
        value = ctx.op("Clip", value, ctx.like(eps), ctx.like(1 - eps))
    return ctx.op("Log", ctx.op("Div", value, ctx.op("Sub", ctx.like(1), value)))


@lowering("xlogy", "xlog1py")
def xlogy(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.xlogy and xlog1py to Log and Mul, and to 0 where the factor is, whatever the Log."""
    factor, value = ctx.operands(input, other)
    ctx.know(value, TensorInfo(ctx.shape_of(value), ctx.result.dtype))
    made = log1p(ctx, value) if ctx.record.op == "xlog1py" else ctx.op("Log", value)
    nothing = ctx.op("Equal", factor, ctx.like(0))
    there = ctx.op("Not", ctx.op("IsNaN", value))
    return ctx.op("Where", ctx.op("And", nothing, there), ctx.like(0), ctx.op("Mul", factor, made))


@lowering("entr")
def entr(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.special.entr to `-x * log(x)`: 0 at 0, and -inf below."""
    value, zero = ctx.as_result(input), ctx.like(0)
    inside = ctx.op("Mul", ctx.op("Neg", value), ctx.op("Log", value))
    made = ctx.op("Where", ctx.op("Equal", value, zero), zero, inside)
    return ctx.op("Where", ctx.op("Less", value, zero), ctx.like(-math.inf), made)


# angles


@lowering("sinc")
def sinc(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.sinc to Sin and Div, and to 1 at 0."""
    value = ctx.as_result(input)
    angle = ctx.op("Mul", value, ctx.like(math.pi))
    made = ctx.op("Div", ctx.op("Sin", angle), angle)
    return ctx.op("Where", ctx.op("Equal", value, ctx.like(0)), ctx.like(1), made)


@lowering("atan2")
def atan2(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.atan2 to Atan of the smaller side over the larger one, turned into its eighth by Where.

    So nothing overflows; two infinities are at 45 degrees, two zeros at none, and -0 is negative.
    """
    y, x = ctx.operands(input, other)
    need(ctx, y)
    high, wide = ctx.op("Abs", y), ctx.op("Abs", x)
    slope = ctx.op("Div", ctx.op("Min", high, wide), ctx.op("Max", high, wide))
    alike = ctx.op("Equal", high, wide)
    angle = ctx.op("Atan", ctx.op("Where", alike, ctx.op("Sign", wide), slope))
    turned = ctx.op("Sub", ctx.like(math.pi / 2), angle)
    angle = ctx.op("Where", ctx.op("Greater", high, wide), turned, angle)
    turned = ctx.op("Sub", ctx.like(math.pi), angle)
    angle = ctx.op("Where", is_negative(ctx, x), turned, angle)
    return ctx.op("Where", is_negative(ctx, y), ctx.op("Neg", angle), angle)
