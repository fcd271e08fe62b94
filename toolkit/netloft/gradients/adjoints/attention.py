"""Attention, as a function and as torch.nn's layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import Step, adjoint

__all__ = ["multihead_attention", "scaled_dot_product_attention"]


@adjoint("scaled_dot_product_attention")
def scaled_dot_product_attention(
    step: Step,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.scaled_dot_product_attention, with a mask that is added or none."""
    if attn_mask is not None or is_causal or enable_gqa:
        step.refuse("a mask, or groups of queries")
    (width,) = step.lengths_of("query", -1)
    found = _attended(grad, query, key, value, scale or 1 / math.sqrt(width))
    return dict(zip(("query", "key", "value"), found, strict=True))


def _attended(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Pull back through softmax(scale * query @ key.T) @ value, head by head."""
    share = (query * scale).matmul(key.transpose(-1, -2)).softmax(-1)
    weighted = grad.matmul(value.transpose(-1, -2)) * share
    scores = (weighted - share * weighted.sum(dim=-1, keepdim=True)) * scale
    return (
        scores.matmul(key),
        scores.transpose(-1, -2).matmul(query),
        share.transpose(-1, -2).matmul(grad),
    )


@adjoint("multihead_attention")
def multihead_attention(
    step: Step,
    grad: list[Tensor | None],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    module: nn.MultiheadAttention,
) -> Mapping[str, Tensor]:
    """torch.nn.MultiheadAttention: the projections, and what is between them."""
    masked = key_padding_mask is not None or attn_mask is not None or is_causal
    if masked or module.add_zero_attn or module.bias_k is not None:
        step.refuse("a mask, or keys of its own")
    if module.in_proj_weight is None or len(step.shape_of("query")) != 3:
        step.refuse("projections of several widths, or an input without a batch")
    if grad[0] is None or (len(grad) > 1 and grad[1] is not None):
        step.refuse("with respect to its weights")
    weights = module.in_proj_weight.chunk(3)
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    given = [x if module.batch_first else x.transpose(0, 1) for x in (query, key, value)]
    heads = [
        _heads(F.linear(x, w, b), module) for x, w, b in zip(given, weights, biases, strict=True)
    ]
    outer = grad[0] if module.batch_first else grad[0].transpose(0, 1)
    inner = _heads(outer.matmul(module.out_proj.weight), module)
    q, k, v = heads
    found = _attended(inner, q, k, v, 1 / math.sqrt(module.head_dim))
    pulled = [
        part.transpose(1, 2).flatten(2).matmul(weight)
        for part, weight in zip(found, weights, strict=True)
    ]
    back = [x if module.batch_first else x.transpose(0, 1) for x in pulled]
    return dict(zip(("query", "key", "value"), back, strict=True))


def _heads(x: Tensor, module: nn.MultiheadAttention) -> Tensor:
    """Turn (batch, length, width) into (batch, heads, length, width of a head)."""
    return torch.unflatten(x, 2, (module.num_heads, module.head_dim)).transpose(1, 2)
