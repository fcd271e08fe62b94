"""Attention, as a function and as a layer, with every mask."""

from __future__ import annotations

from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

HEADS, SEQUENCE = (1, 4, 7, 8), (1, 7, 12)
CAUSAL = torch.ones(7, 7, dtype=torch.bool).tril()
EMPTY_ROW = CAUSAL.clone()
EMPTY_ROW[3] = False
SLOPE = torch.linspace(-2, 2, 49).reshape(7, 7)


class Attend(nn.Module):
    """A layer called on a sequence as query, key and value, or as what `inputs` makes of it."""

    def __init__(self, layer: nn.Module, inputs: Any = None, weights: bool = False, **masks: Any):
        super().__init__()
        self.layer, self.inputs, self.weights, self.masks = layer, inputs, weights, masks

    def forward(self, x: Tensor) -> Any:
        given = self.inputs(x) if self.inputs else (x, x, x)
        masks = {name: make(x) if callable(make) else make for name, make in self.masks.items()}
        made = self.layer(*given, need_weights=self.weights, **masks)
        return made if self.weights else made[0]


class Cross(nn.Module):
    """A layer of its own widths for keys and values."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(12, 3, kdim=5, vdim=4, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layer(x, x[:, :4, :5], x[:, 1:5, 3:7])[0]
        return made


class Function(nn.Module):
    """The function behind the layer, on a sequence whose first axis is time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(12, 4)

    def forward(self, x: Tensor) -> Any:
        own, turned = self.layer, x.transpose(0, 1)
        return F.multi_head_attention_forward(
            turned, turned, turned, 12, 4, own.in_proj_weight, own.in_proj_bias, None, None, False,
            0.0, own.out_proj.weight, own.out_proj.bias, training=False,
        )  # fmt: skip


def mha(**options: Any) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(12, 4, **{"batch_first": True, **options})


def padding(x: Tensor) -> Tensor:
    """Hide some keys by the data, and all of them now and then."""
    return x[:, :, 0] > 0.3


def two(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x, x[:, 2:], x[:, 2:]


def three(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x, x[:, 2:] * 2, x[:, 2:]


def time_first(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    turned = x.transpose(0, 1)
    return turned, turned, turned


def sdpa(x: Tensor, **options: Any) -> Tensor:
    return F.scaled_dot_product_attention(x, x[:, :, 1:] * 0.7, x.flip(3)[:, :, 1:], **options)


ROWS = [
    Row("attention", sdpa, HEADS),
    Row("attention with a scale", lambda x: sdpa(x, scale=0.3), HEADS),
    Row("attention without a scale", lambda x: sdpa(x, scale=1.0), HEADS),
    Row("attention on three axes", lambda x: F.scaled_dot_product_attention(x, x, x), SEQUENCE),
    Row("causal attention", lambda x: sdpa(x, is_causal=True), HEADS),
    Row(
        "causal attention, long",
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        (1, 1, 140, 4),
    ),
    Row("attention with a known mask", lambda x: sdpa(x, attn_mask=CAUSAL[:, :6]), HEADS),
    Row("attention with a row of nothing", lambda x: sdpa(x, attn_mask=EMPTY_ROW[:, :6]), HEADS),
    Row("attention with a bias", lambda x: sdpa(x, attn_mask=SLOPE[:, :6].to(x)), HEADS),
    Row(
        "attention with a bias of -inf",
        lambda x: sdpa(
            x, attn_mask=torch.zeros(7, 6).masked_fill(~EMPTY_ROW[:, :6], float("-inf")).to(x)
        ),
        HEADS,
    ),
    Row(
        "attention with a computed mask",
        lambda x: sdpa(x, attn_mask=(x[:, :, 1:, :1] > 0).mT),
        HEADS,
    ),
    Row(
        "attention with a computed bias", lambda x: sdpa(x, attn_mask=x[:, :, 1:, :1].mT * 3), HEADS
    ),
    Row(
        "attention with a computed bias of -inf",
        lambda x: sdpa(
            x, attn_mask=x[:, :, 1:, 0].masked_fill(x[:, :, 1:, 0] > 0, float("-inf"))[:, :, None]
        ),
        HEADS,
    ),
    Row(
        "attention of few heads for many",
        lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, 2:] * 2, enable_gqa=True),
        HEADS,
    ),
    Row(
        "causal attention of few heads for many",
        lambda x: F.scaled_dot_product_attention(
            x, x[:, :2], x[:, 2:] * 2, enable_gqa=True, is_causal=True
        ),
        HEADS,
    ),
    Row("multi-head attention", Attend(mha()), SEQUENCE),
    Row(
        "multi-head attention of three heads",
        Attend(nn.MultiheadAttention(12, 3, batch_first=True)),
        SEQUENCE,
    ),
    Row("multi-head attention without bias", Attend(mha(bias=False)), SEQUENCE),
    Row("multi-head attention, time first", Attend(mha(batch_first=False), time_first), SEQUENCE),
    Row("multi-head attention along the batch", Attend(mha(batch_first=False)), SEQUENCE),
    Row("multi-head attention of keys and values", Attend(mha(), two), SEQUENCE),
    Row("multi-head attention of three", Attend(mha(), three), SEQUENCE),
    Row("multi-head attention of other widths", Cross(), SEQUENCE),
    Row("multi-head attention of other widths without bias", Cross(bias=False), SEQUENCE),
    Row("multi-head attention of one item", Attend(mha(), lambda x: (x.mean(0),) * 3), SEQUENCE),
    Row("multi-head attention and its weights", Attend(mha(), weights=True), SEQUENCE),
    Row(
        "multi-head attention and the weights of each head",
        Attend(mha(), weights=True, average_attn_weights=False),
        SEQUENCE,
    ),
    Row("multi-head attention with padding", Attend(mha(), key_padding_mask=padding), SEQUENCE),
    Row(
        "multi-head attention with padding, time first",
        Attend(mha(batch_first=False), time_first, key_padding_mask=padding),
        SEQUENCE,
    ),
    Row(
        "multi-head attention with padding, and its weights",
        Attend(mha(), weights=True, key_padding_mask=padding),
        SEQUENCE,
    ),
    Row("multi-head attention with a mask", Attend(mha(), attn_mask=~CAUSAL), SEQUENCE),
    Row(
        "multi-head attention with both masks",
        Attend(
            mha(), three, attn_mask=~EMPTY_ROW[:, :5], key_padding_mask=lambda x: x[:, 2:, 0] > 0
        ),
        SEQUENCE,
    ),
    Row(
        "multi-head attention with a mask for each head",
        Attend(mha(), attn_mask=lambda x: (x[:, :, :7] > 1).repeat_interleave(4, 0)),
        SEQUENCE,
    ),
    Row(
        "multi-head attention with a bias", Attend(mha(), attn_mask=lambda x: SLOPE.to(x)), SEQUENCE
    ),
    Row(
        "multi-head attention called causal",
        Attend(mha(), attn_mask=~CAUSAL, is_causal=True),
        SEQUENCE,
    ),
    Row(
        "multi-head attention of three heads called causal",
        Attend(nn.MultiheadAttention(12, 3), time_first, attn_mask=~CAUSAL, is_causal=True),
        SEQUENCE,
    ),
    Row(
        "multi-head attention with more keys",
        Attend(
            mha(add_bias_kv=True, add_zero_attn=True), attn_mask=~CAUSAL, key_padding_mask=padding
        ),
        SEQUENCE,
    ),
    Row(
        "multi-head attention with more keys, time first",
        Attend(mha(add_bias_kv=True, batch_first=False), time_first),
        SEQUENCE,
    ),
    Row("the function of multi-head attention", Function(), SEQUENCE),
]
