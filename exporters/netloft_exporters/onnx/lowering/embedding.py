"""Embeddings."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering

_BAGS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}


@lowering("embedding")
def embedding(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    *_: Any,
    **__: Any,
) -> ir.Value:
    """torch.nn.functional.embedding to Gather; `padding_idx` matters to gradients alone."""
    if max_norm is not None:
        raise Unsupported("an embedding that rescales its weight (max_norm)")
    return ctx.op("Gather", weight, input, axis=0)


@lowering("embedding_bag")
def embedding_bag(
    ctx: Context,
    input: ir.Value,
    weight: ir.Value,
    offsets: ir.Value | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: ir.Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> ir.Value:
    """torch.nn.functional.embedding_bag to Gather and ReduceSum, ReduceMean or ReduceMax."""
    if offsets is not None or max_norm is not None or len(ctx.shape_of(input)) != 2:
        raise Unsupported("bags by offsets, or an embedding that rescales its weight")
    if padding_idx is not None:
        raise Unsupported("bags that leave an index out (padding_idx)")
    rows = ctx.op("Gather", weight, input, axis=0)
    if per_sample_weights is not None:
        factors = ctx.op("Unsqueeze", per_sample_weights, ctx.ints([2]))
        rows = ctx.op("Mul", rows, factors)
    return ctx.op(_BAGS[mode], rows, ctx.ints([1]), keepdims=0)


@lowering("embedding_bag_module")
def embedding_bag_module(
    ctx: Context,
    input: ir.Value,
    offsets: ir.Value | None = None,
    per_sample_weights: ir.Value | None = None,
    **arguments: Any,
) -> ir.Value:
    """torch.nn.EmbeddingBag to what torch.nn.functional.embedding_bag is lowered to."""
    made: ir.Value = embedding_bag(
        ctx, input, offsets=offsets, per_sample_weights=per_sample_weights, **arguments
    )
    return made
