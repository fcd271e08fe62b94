"""Activations."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("relu6", "hardtanh")
def hardtanh(
    ctx: Context, input: ir.Value, min_val: float | None = None, max_val: float | None = None
) -> ir.Value:
    """torch.nn.functional.relu6 and hardtanh to Clip."""
    low, high = (0.0, 6.0) if ctx.record.op == "relu6" else (min_val or -1.0, max_val or 1.0)
    if ctx.record.op == "hardtanh":
        low = -1.0 if min_val is None else min_val
        high = 1.0 if max_val is None else max_val
    return ctx.op("Clip", input, ctx.like(low), ctx.like(high))


@lowering("leaky_relu")
def leaky_relu(ctx: Context, input: ir.Value, negative_slope: float = 0.01) -> ir.Value:
    """torch.nn.functional.leaky_relu to LeakyRelu: alpha."""
    return ctx.op("LeakyRelu", input, alpha=float(negative_slope))


@lowering("elu")
def elu(ctx: Context, input: ir.Value, alpha: float = 1.0) -> ir.Value:
    """torch.nn.functional.elu to Elu: alpha."""
    return ctx.op("Elu", input, alpha=float(alpha))


@lowering("celu")
def celu(ctx: Context, input: ir.Value, alpha: float = 1.0) -> ir.Value:
    """torch.nn.functional.celu to Celu: alpha."""
    return ctx.op("Celu", input, alpha=float(alpha))


@lowering("selu")
def selu(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.selu to Selu, with torch's own constants."""
    return ctx.op("Selu", input, alpha=1.6732632423543772, gamma=1.0507009873554805)


@lowering("gelu")
def gelu(ctx: Context, input: ir.Value, approximate: str = "none") -> ir.Value:
    """torch.nn.functional.gelu to Gelu: approximate (opset 20), or to Erf before it."""
    if ctx.opset >= 20:
        return ctx.op("Gelu", input, approximate=approximate)
    if approximate != "none":
        raise Unsupported("the tanh form of gelu before opset 20")
    erf = ctx.op("Erf", ctx.op("Mul", input, ctx.like(math.sqrt(0.5))))
    half = ctx.op("Mul", input, ctx.like(0.5))
    return ctx.op("Mul", half, ctx.op("Add", erf, ctx.like(1.0)))


@lowering("silu")
def silu(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.silu to Sigmoid and Mul."""
    return ctx.op("Mul", input, ctx.op("Sigmoid", input))


@lowering("hardsigmoid")
def hardsigmoid(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.hardsigmoid to HardSigmoid: alpha 1/6, beta 1/2."""
    return ctx.op("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@lowering("hardswish")
def hardswish(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.hardswish to HardSwish."""
    return ctx.op("HardSwish", input)


@lowering("mish")
def mish(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.mish to Mish."""
    return ctx.op("Mish", input)


@lowering("softplus")
def softplus(ctx: Context, input: ir.Value, beta: float = 1.0, threshold: float = 20.0) -> ir.Value:
    """torch.nn.functional.softplus to Softplus; past the threshold it is the identity in both."""
    if beta != 1.0 or threshold != 20.0:
        raise Unsupported("softplus with beta or threshold")
    return ctx.op("Softplus", input)


@lowering("logsigmoid")
def logsigmoid(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.nn.functional.logsigmoid to -Softplus(-x)."""
    return ctx.op("Neg", ctx.op("Softplus", ctx.op("Neg", input)))


@lowering("softmax", "log_softmax")
def softmax(
    ctx: Context, input: ir.Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> ir.Value:
    """torch.softmax and log_softmax to Softmax and LogSoftmax: axis."""
    if dim is None or dtype is not None:
        raise Unsupported("softmax without an axis, or into another element type")
    return ctx.op("Softmax" if ctx.record.op == "softmax" else "LogSoftmax", input, axis=dim)


@lowering("prelu")
def prelu(ctx: Context, input: ir.Value, weight: ir.Value) -> ir.Value:
    """torch.nn.functional.prelu to PRelu; a weight per channel gets its trailing axes."""
    rank, size = len(ctx.result.shape), ctx.size_of(weight, 0)
    if size > 1 and rank > 2:
        weight = ctx.op("Reshape", weight, ctx.ints([size, *[1] * (rank - 2)]))
    return ctx.op("PRelu", input, weight)
