"""The transformer of torch.nn, whole and in its layers."""

from __future__ import annotations

from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn

__all__ = ["ROWS"]

SEQUENCE = (1, 7, 12)
HIDDEN = torch.ones(7, 7, dtype=torch.bool).triu(1)
BIAS = torch.zeros(7, 7).masked_fill(HIDDEN, float("-inf"))
EMPTY_ROW = HIDDEN.clone()
EMPTY_ROW[3] = True


class Call(nn.Module):
    """A layer called on a sequence, on another one, and with masks that may follow the data."""

    def __init__(self, layer: nn.Module, memory: bool = False, **masks: Any) -> None:
        super().__init__()
        self.layer, self.memory, self.masks = layer, memory, masks

    def forward(self, x: Tensor) -> Tensor:
        masks = {name: make(x) if callable(make) else make for name, make in self.masks.items()}
        made: Tensor = self.layer(x, *([x[:, :5] * 2] if self.memory else []), **masks)
        return made


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(12, 4, 16, **{"batch_first": True, **options})


def decoder_layer(**options: Any) -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(12, 4, 16, **{"batch_first": True, **options})


def encoder(**options: Any) -> nn.TransformerEncoder:
    layer = encoder_layer(**options)
    return nn.TransformerEncoder(layer, 2, nn.LayerNorm(12), enable_nested_tensor=False)


def nested() -> nn.TransformerEncoder:
    return nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=True)


def padding(x: Tensor) -> Tensor:
    """Hide some keys by the data."""
    return x[:, :, 0] > 1


ROWS = [
    Row("encoder layer", encoder_layer(), SEQUENCE),
    Row("encoder layer with norms first", encoder_layer(norm_first=True, bias=False), SEQUENCE),
    Row("encoder layer with gelu", encoder_layer(activation="gelu", layer_norm_eps=0.1), SEQUENCE),
    Row("encoder layer with a layer between", encoder_layer(activation=nn.SiLU()), SEQUENCE),
    Row("encoder layer with a function between", encoder_layer(activation=torch.tanh), SEQUENCE),
    Row("encoder layer along the batch", encoder_layer(batch_first=False), SEQUENCE),
    Row("encoder layer with a mask", Call(encoder_layer(), src_mask=HIDDEN), SEQUENCE),
    Row(
        "encoder layer called causal",
        Call(encoder_layer(), src_mask=BIAS, is_causal=True),
        SEQUENCE,
    ),
    Row("encoder layer with an empty row", Call(encoder_layer(), src_mask=EMPTY_ROW), SEQUENCE),
    Row(
        "encoder layer of three heads with an empty row",
        Call(nn.TransformerEncoderLayer(12, 3, 16, batch_first=True), src_mask=EMPTY_ROW),
        SEQUENCE,
    ),
    Row(
        "encoder layer with padding", Call(encoder_layer(), src_key_padding_mask=padding), SEQUENCE
    ),
    Row("encoder", encoder(), SEQUENCE),
    Row("encoder with a mask", Call(encoder(norm_first=True), mask=BIAS), SEQUENCE),
    Row("encoder with padding", Call(encoder(), src_key_padding_mask=padding), SEQUENCE),
    Row(
        "encoder that may be nested, with a mask",
        Call(nested(), mask=HIDDEN, src_key_padding_mask=padding),
        SEQUENCE,
    ),
    Row("decoder layer", Call(decoder_layer(), memory=True), SEQUENCE),
    Row(
        "decoder layer with norms first",
        Call(decoder_layer(norm_first=True, activation="gelu"), memory=True),
        SEQUENCE,
    ),
    Row(
        "decoder layer with masks",
        Call(
            decoder_layer(),
            memory=True,
            tgt_mask=BIAS,
            memory_mask=HIDDEN[:, :5],
            tgt_key_padding_mask=padding,
        ),
        SEQUENCE,
    ),
    Row(
        "decoder",
        Call(
            nn.TransformerDecoder(decoder_layer(), 2, nn.LayerNorm(12)),
            memory=True,
            tgt_mask=BIAS,
            tgt_is_causal=True,
        ),
        SEQUENCE,
    ),
    Row(
        "transformer",
        Call(nn.Transformer(12, 2, 2, 2, 16, batch_first=True), memory=True, src_mask=BIAS),
        SEQUENCE,
    ),
]
