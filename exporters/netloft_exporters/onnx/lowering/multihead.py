"""Multi-head attention: projections around attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from torch import nn

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.attention import (
    Mask,
    attended,
    causal_mask,
    mask_of,
    weights_of,
)
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.matrix import affine
from netloft_exporters.onnx.lowering.moves import (
    broadcast_shape,
    cut,
    expanded,
    filled,
    joined,
    permuted,
)
from netloft_exporters.onnx.lowering.pad import padded
from netloft_exporters.onnx.lowering.reduction import reduced
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["Masks", "attend_by_module"]

Result = tuple[ir.Value] | tuple[ir.Value, ir.Value]


@dataclass(frozen=True)
class Weights:
    """The weights of multi-head attention, by torch's names.

    Attributes:
        heads: Number of heads.
        packed: Projections of query, key and value below each other; None where they are apart.
        apart: Projections of query, key and value, each by itself.
        in_bias: Their biases, one behind the other.
        out: Projection of the result.
        out_bias: Its bias.
        more_keys: A key that every sequence gets.
        more_values: Its value.
        zero: Every sequence gets a key and a value of zeros too.
    """

    heads: int
    packed: ir.Value | None
    apart: Sequence[ir.Value | None]
    in_bias: ir.Value | None
    out: ir.Value
    out_bias: ir.Value | None
    more_keys: ir.Value | None = None
    more_values: ir.Value | None = None
    zero: bool = False


@dataclass(frozen=True)
class Masks:
    """What hides keys, by torch's names; truth hides.

    Attributes:
        padding: Keys that are hidden from all queries, `(batch, keys)`.
        attention: Keys hidden from single queries, `(queries, keys)` or `(batch*heads, …)`.
        causal: The caller says that `attention` hides from each query what comes after it.
        plain: A query that sees no key gets NaN, as torch's faster code gives it.
    """

    padding: ir.Value | None = None
    attention: ir.Value | None = None
    causal: bool = False
    plain: bool = False


@lowering("multihead_attention")
def multihead_attention(
    ctx: Context,
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    key_padding_mask: ir.Value | None = None,
    need_weights: bool = True,
    attn_mask: ir.Value | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    module: nn.MultiheadAttention,
) -> Result:
    """torch.nn.MultiheadAttention to MatMul of all projections at once, Split, and attention."""
    masks = Masks(key_padding_mask, attn_mask, is_causal)
    path = ctx.record.module
    return attend_by_module(
        ctx, module, path, (query, key, value), masks, need_weights, average_attn_weights
    )


def attend_by_module(
    ctx: Context,
    module: nn.MultiheadAttention,
    path: str,
    inputs: tuple[ir.Value, ir.Value, ir.Value],
    masks: Masks,
    need_weights: bool = False,
    average: bool = True,
    plain: bool | None = None,
) -> Result:
    """Lower one call of a module.

    Args:
        ctx: Where to write.
        module: Whose weights are read.
        path: Where it hangs, for their names.
        inputs: Query, key and value.
        masks: What hides keys.
        need_weights: Return the weights of attention too.
        average: Over the heads.
        plain: Whether torch runs its faster code, which gives NaN for a query that sees no key;
            None for what the module does by itself.
    """

    def weight(name: str) -> ir.Value | None:
        owner, _, last = name.rpartition(".")
        tensor = getattr(module.get_submodule(owner), last)
        return None if tensor is None else ctx.weight(f"{path}.{name}", tensor)

    out = weight("out_proj.weight")
    assert out is not None
    apart = [weight(f"{name}_proj_weight") for name in "qkv"]
    weights = Weights(
        module.num_heads,
        weight("in_proj_weight"),
        apart,
        weight("in_proj_bias"),
        out,
        weight("out_proj.bias"),
        weight("bias_k"),
        weight("bias_v"),
        module.add_zero_attn,
    )
    if plain is None:
        plain = _takes_the_fast_path(ctx, module, inputs, masks)
    masks = Masks(masks.padding, masks.attention, masks.causal and not plain, plain)
    run = _MultiHead(ctx, weights, module.batch_first)
    return run.result(inputs, masks, need_weights, average)


def _takes_the_fast_path(
    ctx: Context, module: nn.MultiheadAttention, inputs: Sequence[ir.Value], masks: Masks
) -> bool:
    """Tell whether torch runs other code for it in eval mode, which gives NaN for an empty row."""
    given = [mask for mask in (masks.padding, masks.attention) if mask is not None]
    return (
        len({id(value) for value in inputs}) == 1
        and len(ctx.shape_of(inputs[0])) == 3
        and module.batch_first
        and module.num_heads % 2 == 0
        and module.in_proj_weight is not None
        and module.in_proj_bias is not None
        and module.bias_k is None
        and not module.add_zero_attn
        and all(ctx.info_of(mask).dtype == "bool" for mask in given)
    )


@lowering("multi_head_attention_forward")
def multi_head_attention_forward(
    ctx: Context,
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: ir.Value | None,
    in_proj_bias: ir.Value | None,
    bias_k: ir.Value | None,
    bias_v: ir.Value | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: ir.Value,
    out_proj_bias: ir.Value | None,
    training: bool = True,
    key_padding_mask: ir.Value | None = None,
    need_weights: bool = True,
    attn_mask: ir.Value | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: ir.Value | None = None,
    k_proj_weight: ir.Value | None = None,
    v_proj_weight: ir.Value | None = None,
    static_k: ir.Value | None = None,
    static_v: ir.Value | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Result:
    """torch.nn.functional.multi_head_attention_forward to what nn.MultiheadAttention is."""
    if training and dropout_p > 0:
        raise Unsupported("attention with dropout")
    if static_k is not None or static_v is not None:
        raise Unsupported("attention with static keys or values")
    weights = Weights(
        num_heads,
        None if use_separate_proj_weight else in_proj_weight,
        (q_proj_weight, k_proj_weight, v_proj_weight),
        in_proj_bias,
        out_proj_weight,
        out_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
    )
    masks = Masks(key_padding_mask, attn_mask, is_causal)
    run = _MultiHead(ctx, weights, batch_first=False)
    return run.result((query, key, value), masks, need_weights, average_attn_weights)


class _MultiHead:
    """One call of multi-head attention.

    The scale of the scores is folded into the projection of the queries.
    """

    def __init__(self, ctx: Context, weights: Weights, batch_first: bool) -> None:
        self._ctx, self._weights, self._batch_first = ctx, weights, batch_first
        self._width = ctx.size_of(weights.out, 1)
        self._head = self._width // weights.heads
        self._dtype = ctx.results[0].dtype

    def result(
        self,
        inputs: tuple[ir.Value, ir.Value, ir.Value],
        masks: Masks,
        need_weights: bool,
        average: bool,
    ) -> Result:
        """Return what is attended to, and the weights if they are needed."""
        ctx, shape = self._ctx, self._ctx.shape_of(inputs[0])
        unbatched = len(shape) == 2
        if unbatched:
            batched = {id(v): ctx.reshape(v, (1, *ctx.shape_of(v))) for v in inputs}
            inputs = (batched[id(inputs[0])], batched[id(inputs[1])], batched[id(inputs[2])])
            self._batch_first = True
        query, turned, value = self._heads(inputs)
        plain = masks.plain or need_weights
        mask = self._mask(masks, query, turned, safe=not plain, hint=not need_weights)
        weights = weights_of(ctx, query, turned, mask)
        made = self._joined(attended(ctx, weights, value))
        made = ctx.reshape(made, shape[:-1] + ctx.shape_of(made)[-1:])
        if not need_weights:
            return (made,)
        return made, self._told(weights, average, unbatched)

    # projections

    def _heads(self, inputs: Sequence[ir.Value]) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return queries, turned keys and values: `(batch, heads, …)`."""
        query, key, value = inputs
        longer = self._weights.more_keys is not None or self._weights.zero
        if self._weights.packed is None or longer or key is not value:
            parts = [self._projected(v, i, i + 1) for i, v in enumerate(inputs)]
            more = (None, self._weights.more_keys, self._weights.more_values)
            pairs = zip(parts[1:], more[1:], strict=True)
            parts[1:] = [self._lengthened(part, bias) for part, bias in pairs]
            q, k, v = (self._split(part, 1)[0] for part in parts)
        elif query is key:
            q, k, v = self._split(self._projected(query, 0, 3), 3)
        else:
            (q,) = self._split(self._projected(query, 0, 1), 1)
            k, v = self._split(self._projected(key, 1, 3), 2)
        return q, permuted(self._ctx, k, [0, 1, 3, 2]), v

    def _projected(self, value: ir.Value, first: int, last: int) -> ir.Value:
        """Return the projections `first` up to `last` of query, key and value, side by side."""
        rows = slice(first * self._width, last * self._width)
        factors = np.ones(rows.stop - rows.start)
        if first == 0:
            factors[: self._width] = 1 / math.sqrt(self._head)
        packed, bias = self._weights.packed, self._weights.in_bias
        weight = self._weights.apart[first] if packed is None else packed
        assert weight is not None
        matrix = self._scaled(weight, slice(None) if packed is None else rows, factors, turned=True)
        shift = None if bias is None else self._scaled(bias, rows, factors)
        return affine(self._ctx, value, matrix, shift)

    def _scaled(
        self,
        weight: ir.Value,
        rows: slice,
        factors: npt.NDArray[np.float64],
        *,
        turned: bool = False,
    ) -> ir.Value:
        """Return some rows of a weight, each times its factor, as columns if they are turned."""
        ctx, tensor = self._ctx, weight.const_value
        if tensor is None:
            part = weight if rows.stop is None else cut(ctx, weight, 0, rows.start, rows.stop)
            part = ctx.transposed(part) if turned else part
            if (factors == 1).all():
                return part
            info = ctx.info_of(part)
            return ctx.know(ctx.op("Mul", part, ctx.constant(factors, info.dtype)), info)
        total, *others = ctx.fixed(ctx.shape_of(weight))
        start, stop, _ = rows.indices(total)
        shape = (*others, stop - start) if turned else (stop - start, *others)

        def make() -> npt.NDArray[Any]:
            made: npt.NDArray[Any] = (tensor.numpy()[rows].T * factors).astype(self._dtype)
            return made if turned else made.T

        name = f"{weight.name}_{start}_{stop}_by_{self._head}"
        key = "scaled", id(weight), start, stop, factors.tobytes(), turned
        return ctx.derived(key, name, make, TensorInfo(shape, self._dtype))

    def _lengthened(self, value: ir.Value, bias: ir.Value | None) -> ir.Value:
        """Put the key or value that every sequence gets, and one of zeros, behind the others."""
        ctx, info = self._ctx, self._ctx.info_of(value)
        axis = 1 if self._batch_first else 0
        one = tuple(1 if i == axis else dim for i, dim in enumerate(info.shape))
        parts = [value]
        if bias is not None:
            parts.append(expanded(ctx, bias, one))
        if self._weights.zero:
            parts.append(expanded(ctx, filled(ctx, 0, (1, 1, self._width), info.dtype), one))
        return joined(ctx, parts, axis)

    def _split(self, value: ir.Value, parts: int) -> tuple[ir.Value, ...]:
        """Return projections that stand side by side one by one, `(batch, heads, length, …)`."""
        ctx, heads, info = self._ctx, self._weights.heads, self._ctx.info_of(value)
        rows = ctx.reshape(value, (*info.shape[:2], parts * heads, self._head))
        turned = permuted(ctx, rows, [0, 2, 1, 3] if self._batch_first else [1, 2, 0, 3])
        if parts == 1:
            return (turned,)
        batch, _, length, _ = ctx.shape_of(turned)
        sizes = ctx.ints([heads] * parts)
        made = ctx.ops("Split", turned, sizes, outputs=parts, axis=1)
        shape = TensorInfo((batch, heads, length, self._head), info.dtype)
        return tuple(ctx.know(part, shape) for part in made)

    def _joined(self, value: ir.Value) -> ir.Value:
        """Put the heads side by side again, and project."""
        ctx = self._ctx
        turned = permuted(ctx, value, [0, 2, 1, 3] if self._batch_first else [2, 0, 1, 3])
        flat = ctx.reshape(turned, (*ctx.shape_of(turned)[:2], self._width))
        return affine(ctx, flat, ctx.transposed(self._weights.out), self._weights.out_bias)

    # masks and weights

    def _mask(
        self, masks: Masks, query: ir.Value, turned: ir.Value, *, safe: bool, hint: bool
    ) -> Mask | None:
        ctx = self._ctx
        batch, heads, rows, _ = ctx.shape_of(query)
        columns = ctx.shape_of(turned)[-1]
        if masks.causal and masks.attention is None:
            raise Unsupported("causal attention without a mask")
        if masks.causal and masks.padding is None and hint:
            return Mask(causal_mask(ctx, rows, columns, self._dtype))
        found = []
        if masks.attention is not None:
            shape = ctx.shape_of(masks.attention)
            wide = (batch, heads, *shape[1:]) if len(shape) == 3 else shape
            found.append(ctx.reshape(masks.attention, wide))
        if masks.padding is not None:
            length = ctx.shape_of(masks.padding)[-1]
            found.append(ctx.reshape(masks.padding, (batch, 1, 1, length)))
        if not found:
            return None
        total = reduce(self._added, [self._bias(mask) for mask in found])
        return mask_of(ctx, total, self._dtype, safe=safe)

    def _bias(self, mask: ir.Value) -> ir.Value:
        """Return what a mask adds to the scores; keys that were put behind the others are seen."""
        bias = mask_of(self._ctx, mask, self._dtype).bias
        more = (self._weights.more_keys is not None) + self._weights.zero
        return padded(self._ctx, bias, [0], [more], "constant")

    def _added(self, a: ir.Value, b: ir.Value) -> ir.Value:
        ctx = self._ctx
        known = ctx.array_of(a), ctx.array_of(b)
        if known[0] is not None and known[1] is not None:
            return ctx.constant(known[0] + known[1], self._dtype)
        shape = broadcast_shape([ctx.shape_of(a), ctx.shape_of(b)])
        return ctx.know(ctx.op("Add", a, b), TensorInfo(shape, self._dtype))

    def _told(self, weights: ir.Value, average: bool, unbatched: bool) -> ir.Value:
        """Return the weights as torch gives them: the mean over the heads, or each head's."""
        ctx = self._ctx
        if average:
            return reduced(ctx, "ReduceMean", weights, [0, 1] if unbatched else [1], False)
        return ctx.reshape(weights, ctx.results[1].shape) if unbatched else weights
