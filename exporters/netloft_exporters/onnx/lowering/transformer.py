"""The transformer of torch.nn: its layers are composed of the lowerings of their parts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.ops import function_op
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.modules import module_call
from netloft_exporters.onnx.lowering.multihead import Masks, attend_by_module
from netloft_exporters.onnx.lowering.registry import LOWERINGS, lowering

M = TypeVar("M", bound=nn.Module)


class _Parts:
    """Calls of the parts of one module.

    Args:
        ctx: Where to write.
        module: Whose parts are called.
        path: Where it hangs, for the names of weights.
    """

    def __init__(self, ctx: Context, module: nn.Module, path: str) -> None:
        self.ctx, self.module, self.path = ctx, module, path

    def of(self, name: str) -> _Parts:
        """Return the parts of one part."""
        return _Parts(self.ctx, self.module.get_submodule(name), f"{self.path}.{name}")

    def plain(self, cls: type[M]) -> M:
        """Return the module, which has to be of this class, as torch.nn has it."""
        module = self.module
        if type(module) is not cls or any(map(is_parametrized, module.modules())):
            raise Unsupported(f"{type(module).__name__} in place of {cls.__name__}")
        if module._forward_hooks or module._forward_pre_hooks:
            raise Unsupported("a module with a forward hook")
        return module

    def layers(self, cls: type[nn.Module]) -> Iterator[_Parts]:
        """Return the parts of each layer."""
        layers: Any = self.module.layers
        for number in range(len(layers)):
            layer = self.of(f"layers.{number}")
            layer.plain(cls)
            yield layer

    def call(self, name: str, value: ir.Value, width: Dim | None = None) -> ir.Value:
        """Call a part that keeps the shape, but for the last length where `width` is given."""
        part, info = self.module.get_submodule(name), self.ctx.info_of(value)
        if is_parametrized(part):
            raise Unsupported(f"a parametrised {type(part).__name__} in a transformer")
        op, plain, weights = module_call(part)
        found = dict(plain)
        for weight in weights:
            tensor = getattr(part, weight, None)
            full = f"{self.path}.{name}.{weight}"
            found[weight] = None if tensor is None else self.ctx.weight(full, tensor)
        shape = info.shape if width is None else (*info.shape[:-1], width)
        return self.run(op, value, TensorInfo(shape, info.dtype), **found)

    def run(self, op: str, value: ir.Value, info: TensorInfo, **options: Any) -> ir.Value:
        """Write an operation that gives what `info` says."""
        if op not in LOWERINGS:
            raise Unsupported(f"the operation {op} in a transformer")
        with self._standing_for(op, info):
            made: ir.Value = LOWERINGS[op](self.ctx, value, **options)
        return self.ctx.know(made, info)

    @contextlib.contextmanager
    def _standing_for(self, op: str, info: TensorInfo) -> Iterator[None]:
        kept = self.ctx.record
        self.ctx.record = dataclasses.replace(kept, op=op, value=info)
        try:
            yield
        finally:
            self.ctx.record = kept

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Add two values of one shape."""
        return self.ctx.know(self.ctx.op("Add", a, b), self.ctx.info_of(a))

    def attend(
        self, name: str, query: ir.Value, key: ir.Value, masks: Masks, plain: bool | None = None
    ) -> ir.Value:
        """Call a part that is multi-head attention; for `plain` see `attend_by_module`."""
        part, path = self.of(name).plain(nn.MultiheadAttention), f"{self.path}.{name}"
        with self._standing_for("multihead_attention", self.ctx.info_of(query)):
            inputs = (query, key, key)
            return attend_by_module(self.ctx, part, path, inputs, masks, plain=plain)[0]

    def feed_forward(self, value: ir.Value) -> ir.Value:
        """Call both linear layers and what is between them."""
        module: Any = self.module
        wide = self.call("linear1", value, module.linear1.out_features)
        if isinstance(module.activation, nn.Module):
            bent = self.call("activation", wide)
        else:
            op = function_op(getattr(module.activation, "__name__", "?"))
            bent = self.run(op, wide, self.ctx.info_of(wide))
        return self.call("linear2", bent, module.linear2.out_features)


# encoder


@lowering("transformer_encoder_layer")
def transformer_encoder_layer(
    ctx: Context,
    src: ir.Value,
    src_mask: ir.Value | None = None,
    src_key_padding_mask: ir.Value | None = None,
    is_causal: bool = False,
    *,
    module: nn.TransformerEncoderLayer,
) -> ir.Value:
    """torch.nn.TransformerEncoderLayer to what its parts are."""
    masks = Masks(src_key_padding_mask, src_mask, is_causal)
    return _encoder_layer(_Parts(ctx, module, ctx.record.module), src, masks)


def _encoder_layer(parts: _Parts, src: ir.Value, masks: Masks) -> ir.Value:
    module: Any = parts.module
    fast = _takes_the_fast_path(parts, src)
    if fast:
        _need_truths(parts.ctx, masks)

    def attend(value: ir.Value) -> ir.Value:
        return parts.attend("self_attn", value, value, masks, plain=fast)

    if module.norm_first:
        made = parts.add(src, attend(parts.call("norm1", src)))
        return parts.add(made, parts.feed_forward(parts.call("norm2", made)))
    made = parts.call("norm1", parts.add(src, attend(src)))
    return parts.call("norm2", parts.add(made, parts.feed_forward(made)))


def _takes_the_fast_path(parts: _Parts, src: ir.Value) -> bool:
    """Tell whether torch runs other code for the whole layer in eval mode."""
    module: Any = parts.module
    attention = module.self_attn
    return (
        len(parts.ctx.shape_of(src)) == 3
        and attention.batch_first
        and attention.in_proj_bias is not None
        and attention.num_heads % 2 == 0
        and bool(module.activation_relu_or_gelu)
        and module.norm1.eps == module.norm2.eps
    )


def _need_truths(ctx: Context, masks: Masks) -> None:
    """Say no to a mask that torch's faster code takes for truths, whatever its numbers."""
    for mask in (masks.attention, masks.padding):
        if mask is None or ctx.info_of(mask).dtype == "bool":
            continue
        array = ctx.array_of(mask)
        if array is None or not np.isin(array, (0, -np.inf)).all():
            raise Unsupported("an encoder layer with a bias as its mask")


@lowering("transformer_encoder")
def transformer_encoder(
    ctx: Context,
    src: ir.Value,
    mask: ir.Value | None = None,
    src_key_padding_mask: ir.Value | None = None,
    is_causal: bool | None = None,
    *,
    module: nn.TransformerEncoder,
) -> ir.Value:
    """torch.nn.TransformerEncoder to its layers, one behind the other."""
    masks = Masks(src_key_padding_mask, mask, bool(is_causal))
    return _encoder(_Parts(ctx, module, ctx.record.module), src, masks)


def _encoder(parts: _Parts, src: ir.Value, masks: Masks) -> ir.Value:
    module: Any = parts.module
    batched = len(parts.ctx.shape_of(src)) == 3
    alone = masks.padding is not None and masks.attention is None
    if module.use_nested_tensor and batched and alone:
        # it may set what is hidden to 0, if that is on the right in every row
        raise Unsupported("an encoder that may take its input apart by the padding mask")
    made = src
    for layer in parts.layers(nn.TransformerEncoderLayer):
        made = _encoder_layer(layer, made, masks)
    return made if module.norm is None else parts.call("norm", made)


# decoder


@lowering("transformer_decoder_layer", "transformer_decoder")
def transformer_decoder(
    ctx: Context,
    tgt: ir.Value,
    memory: ir.Value,
    tgt_mask: ir.Value | None = None,
    memory_mask: ir.Value | None = None,
    tgt_key_padding_mask: ir.Value | None = None,
    memory_key_padding_mask: ir.Value | None = None,
    tgt_is_causal: bool | None = None,
    memory_is_causal: bool = False,
    *,
    module: nn.TransformerDecoder | nn.TransformerDecoderLayer,
) -> ir.Value:
    """torch.nn.TransformerDecoder and its layer to what their parts are."""
    own = Masks(tgt_key_padding_mask, tgt_mask, bool(tgt_is_causal))
    other = Masks(memory_key_padding_mask, memory_mask, memory_is_causal)
    parts = _Parts(ctx, module, ctx.record.module)
    run = _decoder_layer if isinstance(module, nn.TransformerDecoderLayer) else _decoder
    return run(parts, tgt, memory, own, other)


def _decoder(parts: _Parts, tgt: ir.Value, memory: ir.Value, own: Masks, other: Masks) -> ir.Value:
    module: Any = parts.module
    made = tgt
    for layer in parts.layers(nn.TransformerDecoderLayer):
        made = _decoder_layer(layer, made, memory, own, other)
    return made if module.norm is None else parts.call("norm", made)


def _decoder_layer(
    parts: _Parts, tgt: ir.Value, memory: ir.Value, own: Masks, other: Masks
) -> ir.Value:
    steps: list[Callable[[ir.Value], ir.Value]] = [
        lambda value: parts.attend("self_attn", value, value, own),
        lambda value: parts.attend("multihead_attn", value, memory, other),
        parts.feed_forward,
    ]
    module: Any = parts.module
    made = tgt
    for number, step in enumerate(steps, 1):
        norm = f"norm{number}"
        if module.norm_first:
            made = parts.add(made, step(parts.call(norm, made)))
        else:
            made = parts.call(norm, parts.add(made, step(made)))
    return made


@lowering("transformer")
def transformer(
    ctx: Context,
    src: ir.Value,
    tgt: ir.Value,
    src_mask: ir.Value | None = None,
    tgt_mask: ir.Value | None = None,
    memory_mask: ir.Value | None = None,
    src_key_padding_mask: ir.Value | None = None,
    tgt_key_padding_mask: ir.Value | None = None,
    memory_key_padding_mask: ir.Value | None = None,
    src_is_causal: bool | None = None,
    tgt_is_causal: bool | None = None,
    memory_is_causal: bool = False,
    *,
    module: nn.Transformer,
) -> ir.Value:
    """torch.nn.Transformer to its encoder and its decoder."""
    parts = _Parts(ctx, module, ctx.record.module)
    encoder, decoder = parts.of("encoder"), parts.of("decoder")
    encoder.plain(nn.TransformerEncoder)
    decoder.plain(nn.TransformerDecoder)
    masks = Masks(src_key_padding_mask, src_mask, bool(src_is_causal))
    memory = _encoder(encoder, src, masks)
    own = Masks(tgt_key_padding_mask, tgt_mask, bool(tgt_is_causal))
    other = Masks(memory_key_padding_mask, memory_mask, memory_is_causal)
    return _decoder(decoder, tgt, memory, own, other)
