"""Normalisation in eval mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("batch_norm")
def batch_norm(
    ctx: Context,
    input: ir.Value,
    running_mean: ir.Value | None,
    running_var: ir.Value | None,
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> ir.Value:
    """torch.nn.functional.batch_norm to BatchNormalization: epsilon; statistics are the running."""
    if running_mean is None or running_var is None or training:
        raise Unsupported("batch norm with the batch's own statistics")
    size = ctx.size_of(running_mean, 0)
    scale = weight if weight is not None else ctx.constant([1.0] * size, ctx.result.dtype)
    shift = bias if bias is not None else ctx.constant([0.0] * size, ctx.result.dtype)
    return ctx.op("BatchNormalization", input, scale, shift, running_mean, running_var, epsilon=eps)


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
    axis = -len(list(normalized_shape))
    scale = weight
    if scale is None:
        ones = np.ones(list(normalized_shape))
        scale = ctx.constant(ones, ctx.result.dtype)
    return ctx.op("LayerNormalization", input, scale, bias, axis=axis, epsilon=eps)
