"""Convolutions and their transposes, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.pad import padded
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import Lengths, batched, need, tuple_of, unbatched


@lowering("conv1d", "conv2d", "conv3d")
def conv(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None = None,
    stride: Lengths = 1,
    padding: Lengths | str = 0,
    dilation: Lengths = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> ir.Value:
    """torch.nn.functional.conv1d/2d/3d to Conv: strides, pads, dilations, group.

    The padding modes of the modules become a Pad before it.
    """
    need(ctx, input)
    kernel, n = _kernel(ctx, weight)
    dilations = tuple_of(dilation, n)
    pads = conv_pads(padding, kernel, dilations)
    value = batched(ctx, input, n + 2)
    if padding_mode != "zeros":
        value = padded(ctx, value, pads[:n], pads[n:], padding_mode)
        pads = [0] * (2 * n)
    made = ctx.op(
        "Conv",
        value,
        weight,
        bias,
        kernel_shape=kernel,
        strides=tuple_of(stride, n),
        pads=pads,
        dilations=dilations,
        group=tuple_of(groups, 1)[0],
    )
    return unbatched(ctx, made, input, n + 2)


def _kernel(ctx: Context, weight: ir.Value) -> tuple[list[int], int]:
    kernel = ctx.fixed(ctx.shape_of(weight)[2:])
    return kernel, len(kernel)


def conv_pads(padding: Lengths | str, kernel: list[int], dilations: list[int]) -> list[int]:
    """Return pads for all begins and then all ends; `same` puts the odd one at the end."""
    if padding == "valid":
        return [0] * (2 * len(kernel))
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        begin = [t // 2 for t in total]
        return [*begin, *(t - b for t, b in zip(total, begin, strict=True))]
    if not isinstance(padding, int | str) and len(padding) == 2 * len(kernel):
        return list(padding)  # a folded pad may differ at begin and end
    return tuple_of(padding, len(kernel)) * 2


@lowering("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None = None,
    stride: Lengths = 1,
    padding: Lengths = 0,
    output_padding: Lengths = 0,
    groups: int = 1,
    dilation: Lengths = 1,
) -> ir.Value:
    """torch.nn.functional.conv_transpose1d/2d/3d to ConvTranspose, with output_padding."""
    need(ctx, input)
    kernel, n = _kernel(ctx, weight)
    strides, begins, more = (tuple_of(each, n) for each in (stride, padding, output_padding))
    ends = list(begins)
    if any(m >= s for m, s in zip(more, strides, strict=True)):
        # ONNX Runtime refuses as much; a smaller pad at the end is the same
        ends, more = [end - m for end, m in zip(ends, more, strict=True)], [0] * n
    if min(ends) < 0:
        raise Unsupported("an output padding beyond the padding")
    made = ctx.op(
        "ConvTranspose",
        batched(ctx, input, n + 2),
        weight,
        bias,
        kernel_shape=kernel,
        strides=strides,
        pads=[*begins, *ends],
        output_padding=more,
        dilations=tuple_of(dilation, n),
        group=tuple_of(groups, 1)[0],
    )
    return unbatched(ctx, made, input, n + 2)


@lowering("conv_transpose_module")
def conv_transpose_module(
    ctx: Context,
    input: ir.Value,
    output_size: Sequence[int] | None = None,
    *,
    output_padding: Lengths = 0,
    **arguments: Any,
) -> ir.Value:
    """torch.nn.ConvTranspose1d/2d/3d to ConvTranspose; `output_size` to an output_padding."""
    if output_size is not None:
        output_padding = _output_padding(ctx, input, **arguments)
    made: ir.Value = conv_transpose(ctx, input, output_padding=output_padding, **arguments)
    return made


def _output_padding(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    stride: Lengths,
    padding: Lengths,
    dilation: Lengths,
    **_: Any,
) -> list[int]:
    """What is missing from the smallest size to the one that the graph knows."""
    kernel, n = _kernel(ctx, weight)
    given, wanted = (ctx.fixed(shape[-n:]) for shape in (ctx.shape_of(input), ctx.result.shape))
    return [
        out - ((size - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, out, k, s, p, d in zip(
            given,
            wanted,
            kernel,
            tuple_of(stride, n),
            tuple_of(padding, n),
            tuple_of(dilation, n),
            strict=True,
        )
    ]


@lowering("_weight_norm", "weight_norm")
def weight_norm(ctx: Context, v: ir.Value, g: ir.Value, dim: int = 0) -> ir.Value:
    """torch._weight_norm to Mul by g over ReduceL2 of every other axis."""
    rank = len(ctx.shape_of(v))
    axes = [axis for axis in range(rank) if dim == -1 or axis != dim % rank]
    norm = ctx.op("ReduceL2", v, ctx.ints(axes), keepdims=int(dim != -1))
    return ctx.op("Mul", v, ctx.op("Div", g, norm))


@lowering("parametrized_weight")
def parametrized_weight(ctx: Context, module: nn.Module) -> ir.Value:
    """A read of a weight with torch.nn.utils.parametrize to an initializer: it has no input."""
    value: torch.Tensor = module()
    path = ctx.record.module
    return ctx.derived(("value", path), f"{path}.value", value.detach().numpy, ctx.result)
