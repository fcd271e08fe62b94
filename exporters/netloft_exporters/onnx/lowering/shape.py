"""Operations that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("reshape", "flatten", "unflatten", "squeeze", "unsqueeze")
def reshape(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Every operation that only regroups axes to Reshape to the shape that the graph knows."""
    return ctx.reshape(input, ctx.result.shape)


@lowering("permute")
def permute(ctx: Context, input: ir.Value, *dims: Any) -> ir.Value:
    """torch.permute to Transpose: perm."""
    order = list(dims[0]) if len(dims) == 1 and isinstance(dims[0], list | tuple) else list(dims)
    return ctx.op("Transpose", input, perm=[d % len(order) for d in order])


@lowering("transpose", "swapaxes")
def transpose(ctx: Context, input: ir.Value, dim0: int, dim1: int) -> ir.Value:
    """torch.transpose to Transpose: perm."""
    order = list(range(len(ctx.result.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return ctx.op("Transpose", input, perm=order)


@lowering("cat")
def cat(ctx: Context, tensors: Sequence[ir.Value], dim: int = 0, **_: Any) -> ir.Value:
    """torch.cat to Concat: axis; torch skips empty one-axis tensors, which is not covered."""
    axis = _.get("axis", dim)
    kinds = {ctx.info_of(value).dtype for value in tensors}
    if len(kinds) > 1 or any(len(ctx.shape_of(v)) != len(ctx.result.shape) for v in tensors):
        raise Unsupported("concatenation of tensors of unlike kinds")
    return ctx.op("Concat", *tensors, axis=axis)


@lowering("stack")
def stack(ctx: Context, tensors: Sequence[ir.Value], dim: int = 0) -> ir.Value:
    """torch.stack to Unsqueeze of each and Concat."""
    if len({ctx.info_of(value).dtype for value in tensors}) > 1:
        raise Unsupported("stacking tensors of unlike kinds")
    axis = dim % len(ctx.result.shape)
    parts = [ctx.op("Unsqueeze", value, ctx.ints([axis])) for value in tensors]
    return ctx.op("Concat", *parts, axis=axis)


@lowering("chunk", "split", "tensor_split")
def split(ctx: Context, input: ir.Value, _: Any = None, dim: int = 0, **__: Any) -> Any:
    """torch.chunk, split and tensor_split to Split into the sizes that the graph knows."""
    parts = ctx.results
    axis = dim % len(parts[0].shape)
    sizes = ctx.fixed([part.shape[axis] for part in parts])
    return ctx.ops("Split", input, ctx.ints(sizes), outputs=len(sizes), axis=axis)


@lowering("unbind")
def unbind(ctx: Context, input: ir.Value, dim: int = 0) -> Any:
    """torch.unbind to Split and Squeeze."""
    axis = dim % len(ctx.shape_of(input))
    length = ctx.size_of(input, axis)
    parts = ctx.ops("Split", input, ctx.ints([1] * length), outputs=length, axis=axis)
    return tuple(ctx.op("Squeeze", part, ctx.ints([axis])) for part in parts)


@lowering("expand", "expand_as")
def expand(ctx: Context, input: ir.Value, *_: Any) -> ir.Value:
    """Tensor.expand to Expand to the shape that the graph knows."""
    return ctx.op("Expand", input, ctx.dims(ctx.result.shape))


@lowering("identity", "dropout", "feature_dropout", "stochastic_depth")
def identity(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Dropout in eval mode, contiguous, clone and the like to nothing at all."""
    if ctx.record.attributes.get("training") is True:
        raise Unsupported("dropout in training mode")
    return input
