"""Convolutions and their transposes, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering

Lengths = int | Sequence[int]


def tuple_of(value: Lengths, n: int) -> list[int]:
    """Return one int as n of them, and a sequence as a list."""
    return [value] * n if isinstance(value, int) else list(value) * (n // len(value))


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
) -> ir.Value:
    """torch.nn.functional.conv1d/2d/3d to Conv: strides, pads, dilations, group."""
    kernel = ctx.fixed(ctx.shape_of(weight)[2:])
    n = len(kernel)
    dilations = tuple_of(dilation, n)
    return ctx.op(
        "Conv",
        input,
        weight,
        bias,
        kernel_shape=kernel,
        strides=tuple_of(stride, n),
        pads=conv_pads(padding, kernel, dilations),
        dilations=dilations,
        group=groups,
    )


def conv_pads(padding: Lengths | str, kernel: list[int], dilations: list[int]) -> list[int]:
    """Return pads for all begins and then all ends; `same` puts the odd one at the end."""
    if padding == "valid":
        return [0] * (2 * len(kernel))
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        begin = [t // 2 for t in total]
        return [*begin, *(t - b for t, b in zip(total, begin, strict=True))]
    if isinstance(padding, str):
        raise Unsupported(f"padding {padding!r}")
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
    kernel = ctx.fixed(ctx.shape_of(weight)[2:])
    n = len(kernel)
    return ctx.op(
        "ConvTranspose",
        input,
        weight,
        bias,
        kernel_shape=kernel,
        strides=tuple_of(stride, n),
        pads=tuple_of(padding, n) * 2,
        output_padding=tuple_of(output_padding, n),
        dilations=tuple_of(dilation, n),
        group=groups,
    )
