"""Operations of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import Lengths, need, tuple_of


@lowering("drop_block2d", "drop_block3d")
def drop_block(
    ctx: Context,
    input: ir.Value,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-6,
    training: bool = True,
) -> ir.Value:
    """torchvision.ops.drop_block2d and drop_block3d in eval mode to nothing at all."""
    if training and p:
        raise Unsupported("dropout in training mode")
    return input


@lowering("deform_conv2d")
def deform_conv2d(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    offset: ir.Value,
    mask: ir.Value,
    bias: ir.Value,
    *geometry: int,
) -> ir.Value:
    """torch.ops.torchvision.deform_conv2d to DeformConv: strides, pads, dilations, groups."""
    need(ctx, input, ("float32",))
    if ctx.opset < 19 or len(geometry) != 9:
        raise Unsupported("a deformable convolution before opset 19")
    *lengths, groups, offset_groups = tuple_of(geometry[:8], 8)
    stride, padding, dilation = lengths[:2], lengths[2:4], lengths[4:]
    use_mask = geometry[8]
    return ctx.op(
        "DeformConv",
        input,
        weight,
        offset,
        bias,
        mask if use_mask else None,
        kernel_shape=ctx.fixed(ctx.shape_of(weight)[2:]),
        strides=stride,
        pads=padding * 2,
        dilations=dilation,
        group=groups,
        offset_group=offset_groups,
    )


@lowering("roi_align")
def roi_align(
    ctx: Context, input: ir.Value, boxes: ir.Value | Sequence[ir.Value], *args: Any, **kwargs: Any
) -> ir.Value:
    """torchvision.ops.roi_align to RoiAlign: its boxes without the index of their picture."""
    need(ctx, input, ("float32",))
    if not isinstance(boxes, ir.Value):
        raise Unsupported("boxes as a list")
    if len(args) == 5:  # as torch.ops.torchvision has them
        scale, height, width, *rest = args
        args = ((height, width), scale, *rest)
    index, corners = ctx.ops("Split", boxes, ctx.ints([1, 4]), outputs=2, axis=1)
    pictures = ctx.op("Cast", ctx.op("Squeeze", index, ctx.ints([1])), to=ir.DataType.INT64)
    return ctx.op("RoiAlign", input, corners, pictures, **_bins(*args, **kwargs))


def _bins(
    output_size: Lengths,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> dict[str, Any]:
    height, width = tuple_of(output_size, 2)
    return {
        "output_height": height,
        "output_width": width,
        "sampling_ratio": max(sampling_ratio, 0),
        "spatial_scale": float(spatial_scale),
        "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
    }
