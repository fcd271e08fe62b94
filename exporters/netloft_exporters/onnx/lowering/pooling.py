"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.convolution import Lengths, tuple_of
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    ctx: Context,
    input: ir.Value,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> ir.Value:
    """torch.nn.functional.max_pool to MaxPool: kernel_shape, strides, pads, ceil_mode."""
    if return_indices:
        raise Unsupported("max pooling that returns indices")
    n = int(ctx.record.op[-2])
    return ctx.op(
        "MaxPool",
        input,
        kernel_shape=tuple_of(kernel_size, n),
        strides=_stride(stride, kernel_size, n),
        pads=tuple_of(padding, n) * 2,
        dilations=tuple_of(dilation, n),
        ceil_mode=int(ceil_mode),
    )


@lowering("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    ctx: Context,
    input: ir.Value,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ir.Value:
    """torch.nn.functional.avg_pool to AveragePool, and divisor_override to a Mul after it."""
    if ceil_mode:
        # the runtimes do not agree on what the last, partial window is divided by
        raise Unsupported("average pooling with ceil_mode")
    n = int(ctx.record.op[-2])
    kernel = tuple_of(kernel_size, n)
    if divisor_override is not None:
        count_include_pad = True
    mean = ctx.op(
        "AveragePool",
        input,
        kernel_shape=kernel,
        strides=_stride(stride, kernel_size, n),
        pads=tuple_of(padding, n) * 2,
        count_include_pad=int(count_include_pad),
    )
    if divisor_override is None:
        return mean
    return ctx.op("Mul", mean, ctx.like(math.prod(kernel) / divisor_override))


def _stride(stride: Lengths | None, kernel_size: Lengths, n: int) -> list[int]:
    empty = stride is None or (not isinstance(stride, int) and not stride)
    return tuple_of(kernel_size if empty or stride is None else stride, n)


@lowering("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(
    ctx: Context, input: ir.Value, output_size: int | Sequence[int | None]
) -> ir.Value:
    """torch.nn.functional.adaptive_avg_pool to ReduceMean, or to AveragePool where sizes divide."""
    n = int(ctx.record.op[-2])
    given, wanted = _spatial(ctx, input, n), ctx.fixed(ctx.result.shape[-n:])
    if given == wanted:
        return input
    if all(size == 1 for size in wanted):
        return ctx.op("ReduceMean", input, ctx.ints([-d for d in range(n, 0, -1)]), keepdims=1)
    if any(a % b for a, b in zip(given, wanted, strict=True)):
        raise Unsupported("adaptive pooling to a size that does not divide")
    kernel = [a // b for a, b in zip(given, wanted, strict=True)]
    return ctx.op("AveragePool", input, kernel_shape=kernel, strides=kernel)


@lowering("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max_pool(
    ctx: Context,
    input: ir.Value,
    output_size: int | Sequence[int | None],
    return_indices: bool = False,
) -> ir.Value:
    """torch.nn.functional.adaptive_max_pool to MaxPool where sizes divide."""
    n = int(ctx.record.op[-2])
    given, wanted = _spatial(ctx, input, n), ctx.fixed(ctx.result.shape[-n:])
    if return_indices or any(a % b for a, b in zip(given, wanted, strict=True)):
        raise Unsupported("adaptive max pooling to a size that does not divide, or with indices")
    kernel = [a // b for a, b in zip(given, wanted, strict=True)]
    return ctx.op("MaxPool", input, kernel_shape=kernel, strides=kernel)


def _spatial(ctx: Context, input: ir.Value, n: int) -> list[int]:
    return ctx.fixed(ctx.shape_of(input)[-n:])
