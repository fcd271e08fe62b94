"""Activations."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import axis_of, chosen
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.selection import larger
from netloft_exporters.onnx.lowering.spatial import need

# pieces of straight lines


@lowering("relu")
def relu(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.relu to Relu; integers, which ONNX Runtime has no kernel for, to Max with 0."""
    if ctx.result.dtype.startswith("float"):
        return ctx.op("Relu", input)
    return larger(ctx, "Max", input, ctx.like(0))


@lowering("relu6", "hardtanh")
def hardtanh(
    ctx: Context, input: ir.Value, min_val: float | None = None, max_val: float | None = None
) -> ir.Value:
    """torch.nn.functional.relu6 and hardtanh to Clip."""
    least, most = (0, 6) if ctx.record.op == "relu6" else (-1, 1)
    low = ctx.like(least if min_val is None else min_val)
    return ctx.op("Clip", input, low, ctx.like(most if max_val is None else max_val))


@lowering("leaky_relu")
def leaky_relu(ctx: Context, input: ir.Value, negative_slope: float = 0.01) -> ir.Value:
    """torch.nn.functional.leaky_relu to LeakyRelu: alpha."""
    need(ctx, input)
    return ctx.op("LeakyRelu", input, alpha=float(negative_slope))


@lowering("rrelu")
def rrelu(
    ctx: Context,
    input: ir.Value,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
) -> ir.Value:
    """torch.nn.functional.rrelu in eval mode to LeakyRelu: alpha is the middle of the range."""
    if training:
        raise Unsupported("rrelu in training mode, which is random")
    return leaky_relu(ctx, input, (lower + upper) / 2)


@lowering("prelu")
def prelu(ctx: Context, input: ir.Value, weight: ir.Value) -> ir.Value:
    """torch.nn.functional.prelu to PRelu; a weight per channel gets its trailing axes."""
    need(ctx, input)
    rank, size = len(ctx.result.shape), math.prod(ctx.fixed(ctx.shape_of(weight)))
    shape = [size, *[1] * (rank - 2)] if size > 1 else [1] * min(rank, 1)
    return ctx.op("PRelu", input, ctx.reshape(weight, shape))


@lowering("threshold")
def threshold(ctx: Context, input: ir.Value, threshold: float, value: float) -> ir.Value:
    """torch.nn.functional.threshold to Where; to Max where what is below becomes the threshold."""
    if threshold == value and ctx.result.dtype.startswith("float"):
        return ctx.op("Max", input, ctx.like(value))
    below = ctx.op("LessOrEqual", input, ctx.like(threshold))
    return chosen(ctx, below, ctx.like(value), input, ctx.result.shape)


@lowering("hardshrink")
def hardshrink(ctx: Context, input: ir.Value, lambd: float = 0.5) -> ir.Value:
    """torch.nn.functional.hardshrink to Where; Shrink would lose NaN."""
    small = ctx.op("LessOrEqual", ctx.op("Abs", input), ctx.like(lambd))
    return ctx.op("Where", small, ctx.like(0), input)


@lowering("softshrink")
def softshrink(ctx: Context, input: ir.Value, lambd: float = 0.5) -> ir.Value:
    """torch.nn.functional.softshrink to Sub of a Clip; Shrink would lose NaN."""
    return ctx.op("Sub", input, ctx.op("Clip", input, ctx.like(-lambd), ctx.like(lambd)))


@lowering("hardsigmoid")
def hardsigmoid(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.hardsigmoid to HardSigmoid: alpha 1/6, beta 1/2."""
    need(ctx, input)
    return ctx.op("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@lowering("hardswish")
def hardswish(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.hardswish to HardSwish."""
    need(ctx, input)
    return ctx.op("HardSwish", input)


# exponentials


@lowering("elu")
def elu(ctx: Context, input: ir.Value, alpha: float = 1.0) -> ir.Value:
    """torch.nn.functional.elu to Elu: alpha."""
    need(ctx, input)
    return ctx.op("Elu", input, alpha=float(alpha))


@lowering("celu")
def celu(ctx: Context, input: ir.Value, alpha: float = 1.0) -> ir.Value:
    """torch.nn.functional.celu to Celu: alpha."""
    need(ctx, input, ("float32",))
    return ctx.op("Celu", input, alpha=float(alpha))


@lowering("selu")
def selu(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.selu to Selu, with torch's own constants."""
    need(ctx, input)
    return ctx.op("Selu", input, alpha=1.6732632423543772, gamma=1.0507009873554805)


@lowering("gelu")
def gelu(ctx: Context, input: ir.Value, approximate: str = "none") -> ir.Value:
    """torch.nn.functional.gelu to Gelu: approximate; before opset 20 to Erf or Tanh."""
    need(ctx, input)
    if ctx.opset >= 20:
        return ctx.op("Gelu", input, approximate=approximate)
    if approximate == "none":
        # with Div and in this order ONNX Runtime knows it and makes one kernel of it
        inner = ctx.op("Erf", ctx.op("Div", input, ctx.like(math.sqrt(2))))
    else:
        cube = ctx.op("Mul", ctx.op("Pow", input, ctx.like(3)), ctx.like(0.044715))
        bent = ctx.op("Mul", ctx.op("Add", input, cube), ctx.like(math.sqrt(2 / math.pi)))
        inner = ctx.op("Tanh", bent)
    sides = ctx.op("Mul", input, ctx.op("Add", inner, ctx.like(1)))
    return ctx.op("Mul", sides, ctx.like(0.5))


@lowering("silu")
def silu(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.silu to Sigmoid and Mul."""
    return ctx.op("Mul", input, ctx.op("Sigmoid", input))


@lowering("glu")
def glu(ctx: Context, input: ir.Value, dim: int = -1) -> ir.Value:
    """torch.nn.functional.glu to Split in two, Sigmoid of the second and Mul."""
    axis = axis_of(dim, len(ctx.result.shape))
    size = ctx.size_of(input, axis) // 2
    first, second = ctx.ops("Split", input, ctx.ints([size, size]), outputs=2, axis=axis)
    return ctx.op("Mul", first, ctx.op("Sigmoid", second))


@lowering("mish")
def mish(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.mish to Mish."""
    need(ctx, input)
    return ctx.op("Mish", input)


@lowering("tanhshrink")
def tanhshrink(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.tanhshrink to Tanh and Sub."""
    value = ctx.as_result(input)
    return ctx.op("Sub", value, ctx.op("Tanh", value))


STRAIGHT = 15.0
"""From here on, softplus is the identity in float32: `log1p(exp(-15)) / 15` is below 2**-25."""


@lowering("softplus")
def softplus(ctx: Context, input: ir.Value, beta: float = 1.0, threshold: float = 20.0) -> ir.Value:
    """torch.nn.functional.softplus to Softplus, `beta` to Mul and Div, `threshold` to Where."""
    need(ctx, input)
    steep = input if beta == 1 else ctx.op("Mul", input, ctx.like(beta))
    made = ctx.op("Softplus", steep)
    made = made if beta == 1 else ctx.op("Div", made, ctx.like(beta))
    if threshold >= STRAIGHT:
        return made
    return ctx.op("Where", ctx.op("Greater", steep, ctx.like(threshold)), input, made)


@lowering("logsigmoid", "log_sigmoid")
def logsigmoid(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.logsigmoid to -Softplus(-x), which is exact at both ends."""
    need(ctx, input)
    return ctx.op("Neg", ctx.op("Softplus", ctx.op("Neg", input)))


# over an axis


@lowering("softmax", "log_softmax", "softmin")
def softmax(
    ctx: Context, input: ir.Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> ir.Value:
    """torch.softmax, log_softmax and softmin (of the negative) to Softmax and LogSoftmax: axis."""
    value, shape = ctx.as_result(input), ctx.result.shape
    if dim is None:  # what torch.nn.functional takes, with a warning
        dim = 0 if len(shape) in (0, 1, 3) else 1
    if ctx.record.op == "softmin":
        value = ctx.know(ctx.op("Neg", value), ctx.result)
    op_type = "LogSoftmax" if ctx.record.op == "log_softmax" else "Softmax"
    value = ctx.reshape(value, shape or (1,))
    made = ctx.know(ctx.op(op_type, value, axis=dim), ctx.info_of(value))
    return ctx.reshape(made, shape)


@lowering("softmax2d")
def softmax2d(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.Softmax2d to Softmax over the channels: axis -3."""
    return ctx.op("Softmax", input, axis=-3)
