"""Normalisation in eval mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import axis_of, filled, permuted, product
from netloft_exporters.onnx.lowering.norms import vector_norm
from netloft_exporters.onnx.lowering.reduction import Axes, axes_of
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import batched, need, unbatched

__all__ = ["layer_normalised"]

TINY = 2.0**-16
"""An epsilon that adds up to exactly 1 with `1 - TINY`, and that cuDNN does not find too small."""


def _each(ctx: Context, number: float, size: int) -> ir.Value:
    """Return a vector of one number, in the element type of the result."""
    return ctx.constant(np.full(size, number), ctx.result.dtype)


# with statistics that are known


@lowering("batch_norm")
def batch_norm(
    ctx: Context,
    input: ir.Value,
    running_mean: ir.Value | None,
    running_var: ir.Value | None,
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> ir.Value:
    """torch.nn.functional.batch_norm to BatchNormalization: epsilon.

    Without running statistics, those of the batch are an InstanceNormalization's over the batch
    turned into one long axis.
    """
    if running_mean is None or running_var is None:
        return _by_the_batch(ctx, input, weight, bias, eps)
    if training:
        raise Unsupported("batch norm that updates its statistics")
    size = ctx.size_of(running_mean, 0)
    if size == 0:
        raise Unsupported("batch norm of no channels")
    scale = weight if weight is not None else _each(ctx, 1, size)
    shift = bias if bias is not None else _each(ctx, 0, size)
    return ctx.op("BatchNormalization", input, scale, shift, running_mean, running_var, epsilon=eps)


def _by_the_batch(
    ctx: Context, input: ir.Value, weight: ir.Value | None, bias: ir.Value | None, eps: float
) -> ir.Value:
    info = ctx.info_of(input)
    order = [1, 0, *range(2, len(info.shape))]
    turned = permuted(ctx, input, order)
    shape = ctx.shape_of(turned)
    made = _instance(ctx, ctx.reshape(turned, (1, shape[0], product(shape[1:]))), weight, bias, eps)
    return permuted(ctx, ctx.reshape(made, shape), order)


# with statistics of each item


def _instance(
    ctx: Context, value: ir.Value, weight: ir.Value | None, bias: ir.Value | None, eps: float
) -> ir.Value:
    """Normalise each channel of each item: `(batch, channels, …)`."""
    need(ctx, value)
    size = ctx.size_of(value, 1)
    scale = weight if weight is not None else _each(ctx, 1, size)
    shift = bias if bias is not None else _each(ctx, 0, size)
    made = ctx.op("InstanceNormalization", value, scale, shift, epsilon=eps)
    return ctx.know(made, ctx.info_of(value))


@lowering("instance_norm")
def instance_norm(
    ctx: Context,
    input: ir.Value,
    running_mean: ir.Value | None = None,
    running_var: ir.Value | None = None,
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> ir.Value:
    """torch.nn.functional.instance_norm to InstanceNormalization: epsilon.

    With running statistics it is a batch norm.
    """
    if not use_input_stats:
        return batch_norm(ctx, input, running_mean, running_var, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        raise Unsupported("instance norm that updates its statistics")
    return _instance(ctx, input, weight, bias, eps)


@lowering("instance_norm_module")
def instance_norm_module(
    ctx: Context,
    input: ir.Value,
    running_mean: ir.Value | None,
    running_var: ir.Value | None,
    weight: ir.Value | None,
    bias: ir.Value | None,
    eps: float,
    track_running_stats: bool,
    rank: str,
) -> ir.Value:
    """torch.nn.InstanceNorm1d, 2d and 3d to what their function is; the batch may be missing."""
    value = batched(ctx, input, int(rank))
    own = not track_running_stats
    made = instance_norm(ctx, value, running_mean, running_var, weight, bias, own, eps=eps)
    return unbatched(ctx, made, input, int(rank))


@lowering("group_norm")
def group_norm(
    ctx: Context,
    input: ir.Value,
    num_groups: int,
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    eps: float = 1e-5,
) -> ir.Value:
    """torch.nn.functional.group_norm to InstanceNormalization of the groups: epsilon.

    Weight and bias go to a BatchNormalization that does no more than multiply and add: one pass
    over the data where Mul and Add are two.
    """
    batch, channels, *rest = ctx.shape_of(input)
    if channels == num_groups and rest:
        return _instance(ctx, input, weight, bias, eps)
    size = ctx.size_of(input, 1)
    grouped = (batch, num_groups, product([size // num_groups, *rest]))
    made = _instance(ctx, ctx.reshape(input, grouped), None, None, eps)
    made = ctx.reshape(made, ctx.shape_of(input))
    if weight is None and bias is None:
        return made
    mean, variance = _each(ctx, 0, size), _each(ctx, 1 - TINY, size)
    return batch_norm(ctx, made, mean, variance, weight, bias, eps=TINY)


@lowering("layer_norm")
def layer_norm(
    ctx: Context,
    input: ir.Value,
    normalized_shape: Sequence[int],
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    eps: float = 1e-5,
) -> ir.Value:
    """torch.nn.functional.layer_norm to LayerNormalization: axis, epsilon."""
    return layer_normalised(ctx, input, list(normalized_shape), weight, bias, eps)


def layer_normalised(
    ctx: Context,
    value: ir.Value,
    shape: Sequence[int],
    weight: ir.Value | None,
    bias: ir.Value | None,
    eps: float,
) -> ir.Value:
    """Normalise over the last axes, which have this shape."""
    info = ctx.info_of(value)
    scale = weight if weight is not None else filled(ctx, 1, ctx.fixed(shape), info.dtype)
    made = ctx.op("LayerNormalization", value, scale, bias, axis=-len(shape), epsilon=eps)
    return ctx.know(made, info)


@lowering("rms_norm")
def rms_norm(
    ctx: Context,
    input: ir.Value,
    normalized_shape: Sequence[int],
    weight: ir.Value | None = None,
    eps: float | None = None,
) -> ir.Value:
    """torch.nn.functional.rms_norm to RMSNormalization: axis, epsilon (opset 23).

    Before it, to Pow, ReduceMean, Add, Sqrt, Div and Mul, which ONNX Runtime makes one kernel of.
    """
    need(ctx, input)
    shape, dtype = list(normalized_shape), ctx.result.dtype
    least = float(np.finfo(dtype).eps) if eps is None else eps
    if ctx.opset >= 23:
        scale = weight if weight is not None else filled(ctx, 1, ctx.fixed(shape), dtype)
        return ctx.op("RMSNormalization", input, scale, axis=-len(shape), epsilon=least)
    axes = ctx.ints(range(-len(shape), 0))
    mean = ctx.op("ReduceMean", ctx.op("Pow", input, ctx.like(2)), axes, keepdims=1)
    root = ctx.op("Sqrt", ctx.op("Add", mean, ctx.like(least)))
    made = ctx.op("Div", input, root)
    return made if weight is None else ctx.op("Mul", made, weight)


# by what is near


@lowering("local_response_norm")
def local_response_norm(
    ctx: Context,
    input: ir.Value,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> ir.Value:
    """torch.nn.functional.local_response_norm to AveragePool of the squares, and Pow.

    ONNX Runtime's LRN moves its window by adding one square and subtracting another, which loses
    small values beside large ones.
    """
    need(ctx, input)
    batch, channels, *rest = ctx.shape_of(input)
    squares = ctx.know(ctx.op("Mul", input, input), ctx.info_of(input))
    pads = [size // 2, 0, (size - 1) // 2, 0]
    sheet = ctx.reshape(squares, (batch, 1, channels, product(rest)))
    mean = ctx.op("AveragePool", sheet, kernel_shape=[size, 1], pads=pads, count_include_pad=1)
    mean = ctx.reshape(ctx.know(mean, ctx.info_of(sheet)), ctx.result.shape)
    base = ctx.op("Add", ctx.op("Mul", mean, ctx.like(alpha)), ctx.like(k))
    return ctx.op("Div", input, ctx.op("Pow", base, ctx.like(beta)))


@lowering("normalize")
def normalize(
    ctx: Context, input: ir.Value, p: float = 2.0, dim: Axes = 1, eps: float = 1e-12
) -> ir.Value:
    """torch.nn.functional.normalize to ReduceL2 (or what its norm is), Clip and Div."""
    return _to_length_one(ctx, input, p, dim, eps)


def _to_length_one(ctx: Context, value: ir.Value, p: float, dim: Axes, eps: float) -> ir.Value:
    length = vector_norm(ctx, value, p, axes_of(ctx, value, dim), True)
    return ctx.op("Div", value, ctx.op("Clip", length, ctx.like(eps)))


@lowering("cosine_similarity")
def cosine_similarity(
    ctx: Context, x1: ir.Value, x2: ir.Value, dim: int = 1, eps: float = 1e-8
) -> ir.Value:
    """torch.nn.functional.cosine_similarity to Mul and ReduceSum of both at a length of one."""
    shapes = [ctx.shape_of(value) or (1,) for value in (x1, x2)]
    values = [ctx.reshape(v, s) for v, s in zip(ctx.operands(x1, x2), shapes, strict=True)]
    rank = max(map(len, shapes))
    axis = axis_of(dim, rank) - rank  # from behind: one may have fewer axes
    if any(len(s) < -axis or s[axis] != shapes[0][axis] for s in shapes):
        raise Unsupported("a cosine of vectors one of which is repeated")
    made = ctx.op("Mul", *(_to_length_one(ctx, value, 2, axis, eps) for value in values))
    return ctx.op("ReduceSum", made, ctx.ints([axis]), keepdims=0)
