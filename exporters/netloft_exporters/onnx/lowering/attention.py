"""Attention: softmax of the products of queries and keys, times values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import SMALL, Context, Unsupported
from netloft_exporters.onnx.lowering.moves import permuted
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["Mask", "attended", "causal_mask", "mask_of", "weights_of"]


@dataclass(frozen=True)
class Mask:
    """What hides keys from queries.

    Attributes:
        bias: What is added to the scores.
        kept: What the weights are multiplied by after softmax; None where it would change nothing.
    """

    bias: ir.Value
    kept: ir.Value | None = None


@lowering("scaled_dot_product_attention")
def scaled_dot_product_attention(
    ctx: Context,
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    attn_mask: ir.Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> ir.Value:
    """torch.nn.functional.scaled_dot_product_attention to Mul, MatMul, Add, Softmax and MatMul."""
    if dropout_p != 0:
        raise Unsupported("attention with dropout")
    if is_causal and attn_mask is not None:
        raise Unsupported("causal attention with a mask besides")
    shape, features = ctx.shape_of(query), ctx.size_of(query, -1)
    rows, columns, dtype = shape[-2], ctx.shape_of(key)[-2], ctx.result.dtype
    factor = 1 / math.sqrt(features) if scale is None else scale
    mask = None if attn_mask is None else mask_of(ctx, attn_mask, dtype, shown=True, safe=True)
    if is_causal:
        mask = Mask(causal_mask(ctx, rows, columns, dtype))
    scaled = query if factor == 1 else ctx.op("Mul", query, ctx.like(factor))
    ctx.know(scaled, ctx.info_of(query))
    turned = _turned(ctx, key)
    shared = enable_gqa and ctx.shape_of(key)[-3] != shape[-3]
    if shared:
        return _by_shared_heads(ctx, scaled, turned, value, mask)
    return attended(ctx, weights_of(ctx, scaled, turned, mask), value)


def _turned(ctx: Context, key: ir.Value) -> ir.Value:
    order = list(range(len(ctx.shape_of(key))))
    return permuted(ctx, key, [*order[:-2], order[-1], order[-2]])


def _by_shared_heads(
    ctx: Context, query: ir.Value, turned: ir.Value, value: ir.Value, mask: Mask | None
) -> ir.Value:
    """Put the queries that share a head of keys below each other: nothing is copied."""
    info = ctx.info_of(query)
    *lead, heads, rows, features = info.shape
    own = ctx.size_of(turned, -3)
    below = _times(rows, ctx.fixed([heads])[0] // own)
    columns = ctx.shape_of(turned)[-1]
    scores = ctx.op("MatMul", ctx.reshape(query, (*lead, own, below, features)), turned)
    ctx.know(scores, TensorInfo((*lead, own, below, columns), info.dtype))
    if mask is None:
        weights = ctx.op("Softmax", scores, axis=-1)
    else:
        by_head = ctx.reshape(scores, (*lead, heads, rows, columns))
        weights = ctx.reshape(_softmax(ctx, by_head, mask), (*lead, own, below, columns))
    made = ctx.op("MatMul", weights, value)
    ctx.know(made, TensorInfo((*lead, own, below, ctx.shape_of(value)[-1]), info.dtype))
    return ctx.reshape(made, ctx.result.shape)


def _times(dim: Dim, number: int) -> Dim:
    return dim * number if isinstance(dim, int) else f"{number}*({dim})"


def weights_of(ctx: Context, query: ir.Value, turned: ir.Value, mask: Mask | None) -> ir.Value:
    """Return the weights of each query for each key.

    Args:
        ctx: Where to write.
        query: `(…, queries, features)`, scaled.
        turned: The keys, `(…, features, keys)`.
        mask: What hides keys.
    """
    info = ctx.info_of(query)
    scores = ctx.op("MatMul", query, turned)
    ctx.know(scores, TensorInfo((*info.shape[:-1], ctx.shape_of(turned)[-1]), info.dtype))
    return _softmax(ctx, scores, mask)


def _softmax(ctx: Context, scores: ir.Value, mask: Mask | None) -> ir.Value:
    info = ctx.info_of(scores)
    biased = scores if mask is None else ctx.op("Add", scores, mask.bias)
    weights = ctx.know(ctx.op("Softmax", biased, axis=-1), info)
    if mask is None or mask.kept is None:
        return weights
    return ctx.know(ctx.op("Mul", weights, mask.kept), info)


def attended(ctx: Context, weights: ir.Value, value: ir.Value) -> ir.Value:
    """Return the weighted sums of the values."""
    info = ctx.info_of(weights)
    made = ctx.op("MatMul", weights, value)
    return ctx.know(made, TensorInfo((*info.shape[:-1], ctx.shape_of(value)[-1]), info.dtype))


# masks


def mask_of(
    ctx: Context, mask: ir.Value, dtype: str, *, shown: bool = False, safe: bool = False
) -> Mask:
    """Return what a mask of truths, or of what is added, does to scores.

    Args:
        ctx: Where to write.
        mask: Broadcasts to `(…, queries, keys)`.
        dtype: Element type of the scores.
        shown: Truth shows a key; it hides it otherwise.
        safe: A query that sees no key gets weights of 0, as torch's own attention gives it; it gets
            NaN otherwise, as softmax gives it.
    """
    truths = ctx.info_of(mask).dtype == "bool"
    array = ctx.array_of(mask)
    if array is not None:
        return _known_mask(ctx, array if not truths or shown else ~array, dtype, safe)
    if not truths:
        bias = ctx.cast(mask, dtype)
        return _computed_bias(ctx, bias, dtype) if safe else Mask(bias)
    zero, hidden = ctx.constant(0, dtype), ctx.constant(_low(dtype) if safe else -np.inf, dtype)
    info = TensorInfo(ctx.shape_of(mask), dtype)
    bias = ctx.op("Where", mask, *((zero, hidden) if shown else (hidden, zero)))
    ctx.know(bias, info)
    if not safe:
        return Mask(bias)
    seen = mask if shown else ctx.know(ctx.op("Not", mask), ctx.info_of(mask))
    return Mask(bias, ctx.cast(seen, dtype))


def _low(dtype: str) -> float:
    """Return what hides a key and leaves softmax of a whole row of it a number."""
    return float(np.finfo(dtype).min) / 2


def _known_mask(ctx: Context, array: npt.NDArray[np.generic], dtype: str, safe: bool) -> Mask:
    """Return a mask whose contents are known: whether a row is empty can be seen."""
    bias = np.where(array, 0.0, -np.inf) if array.dtype == bool else array.astype(np.float64)
    seen = bias > -np.inf
    if not safe or seen.any(-1).all():
        return Mask(ctx.constant(bias, dtype))
    return Mask(ctx.constant(np.maximum(bias, _low(dtype)), dtype), ctx.constant(seen, dtype))


def _computed_bias(ctx: Context, bias: ir.Value, dtype: str) -> Mask:
    info, low = ctx.info_of(bias), ctx.constant(_low(dtype), dtype)
    seen = ctx.op("Greater", bias, low)
    seen = ctx.cast(ctx.know(seen, TensorInfo(info.shape, "bool")), dtype)
    return Mask(ctx.know(ctx.op("Max", bias, low), info), seen)


def causal_mask(ctx: Context, rows: Dim, columns: Dim, dtype: str) -> ir.Value:
    """Return what hides from each query the keys that come after it."""
    shape = (rows, columns)
    if isinstance(rows, int) and isinstance(columns, int) and rows * columns <= SMALL:
        hidden = np.triu(np.full((rows, columns), -np.inf), 1)
        return ctx.constant(hidden, dtype)
    below = ctx.reshape(_numbers(ctx, rows), (rows, 1))
    later = ctx.op("Less", below, _numbers(ctx, columns))
    made = ctx.op("Where", later, ctx.constant(-np.inf, dtype), ctx.constant(0, dtype))
    return ctx.know(made, TensorInfo(shape, dtype))


def _numbers(ctx: Context, length: Dim) -> ir.Value:
    if isinstance(length, int):
        return ctx.ints(range(length))
    first, step = ctx.constant(0, "int64"), ctx.constant(1, "int64")
    made = ctx.op("Range", first, ctx.scalar(length), step)
    return ctx.know(made, TensorInfo((length,), "int64"))
