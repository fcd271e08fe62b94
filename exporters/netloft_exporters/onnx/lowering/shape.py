"""Other shapes of the same elements: axes regrouped, put in another order, or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import Dim
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import axis_of, expanded, gathered, permuted
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["numbers_of"]


def numbers_of(args: Sequence[Any]) -> list[Any]:
    """Return `f(x, 1, 2)` and `f(x, (1, 2))` alike, as a list."""
    nested = len(args) == 1 and isinstance(args[0], list | tuple)
    return list(args[0]) if nested else list(args)


# regrouped


@lowering("reshape", "reshape_as", "flatten", "unflatten", "ravel", "unsqueeze")
def reshape(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Every operation that only regroups axes to Reshape to the shape that the graph knows."""
    if ctx.info_of(input).dtype != ctx.result.dtype:
        raise Unsupported("a view of the bytes as another element type")
    return ctx.reshape(input, ctx.result.shape)


@lowering("squeeze")
def squeeze(ctx: Context, input: ir.Value, dim: Any = None) -> ir.Value:
    """torch.squeeze to Reshape."""
    shape = ctx.shape_of(input)
    dims = range(len(shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    if any(isinstance(shape[d], str) for d in dims if shape):
        raise Unsupported("a squeeze of an open axis, which is another function at a length of 1")
    return ctx.reshape(input, ctx.result.shape)


@lowering("atleast_1d", "atleast_2d", "atleast_3d")
def atleast(ctx: Context, *tensors: Any) -> Any:
    """torch.atleast_1d, 2d and 3d to Reshape."""
    if len(tensors) == 1 and isinstance(tensors[0], ir.Value):
        return ctx.reshape(tensors[0], ctx.result.shape)
    pairs = zip(numbers_of(tensors), ctx.results, strict=True)
    return tuple(ctx.reshape(value, info.shape) for value, info in pairs)


# in another order


@lowering("permute")
def permute(ctx: Context, input: ir.Value, *args: Any, dims: Sequence[int] = ()) -> ir.Value:
    """torch.permute to Transpose: perm."""
    order = numbers_of(args) or list(dims)
    return permuted(ctx, input, [axis_of(d, len(order)) for d in order])


@lowering("transpose", "swapaxes", "swapdims")
def transpose(ctx: Context, input: ir.Value, *args: int, **names: int) -> ir.Value:
    """torch.transpose to Transpose: perm."""
    first, second = (*args, *names.values())
    order = list(range(len(ctx.shape_of(input))))
    if order:
        order[first], order[second] = order[second], order[first]
    return permuted(ctx, input, order)


@lowering("t", "adjoint")
def turn(ctx: Context, input: ir.Value) -> ir.Value:
    """Tensor.t and the adjoint of real numbers to Transpose of the last two axes."""
    order = list(range(len(ctx.shape_of(input))))
    return permuted(ctx, input, [*order[:-2], *reversed(order[-2:])])


@lowering("movedim", "moveaxis")
def movedim(ctx: Context, input: ir.Value, source: Any, destination: Any) -> ir.Value:
    """torch.movedim to Transpose: perm."""
    rank = len(ctx.shape_of(input))
    pairs = ([d] if isinstance(d, int) else d for d in (source, destination))
    sources, destinations = ([axis_of(d, rank) for d in dims] for dims in pairs)
    order = [axis for axis in range(rank) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return permuted(ctx, input, order)


# Fields of the named tuples that reductions give; which of them a tuple has, torch has checked.
_FIELDS = {"values": 0, "indices": 1, "min": 0, "max": 1}


@lowering("getattr")
def attribute(ctx: Context, input: Any, name: str) -> Any:
    """`x.T`, `x.mT` and the like to Transpose; a field of a named tuple to what it holds."""
    if isinstance(input, tuple) and name in _FIELDS:
        return input[_FIELDS[name]]
    if not isinstance(input, ir.Value):
        raise Unsupported(f"the attribute {name}")
    order = list(range(len(ctx.shape_of(input))))
    if name == "T":
        return permuted(ctx, input, order[::-1])
    if name in ("mT", "H", "mH"):
        return turn(ctx, input)
    if name not in ("data", "real"):
        raise Unsupported(f"the attribute {name}")
    return input


@lowering("channel_shuffle")
def channel_shuffle(ctx: Context, input: ir.Value, groups: int) -> ir.Value:
    """torch.nn.functional.channel_shuffle to Gather: axis 1."""
    channels = ctx.size_of(input, 1)
    order = [g * (channels // groups) + i for i in range(channels // groups) for g in range(groups)]
    return gathered(ctx, input, ctx.ints(order), 1)


# repeated


@lowering("expand", "expand_as", "broadcast_to")
def expand(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Tensor.expand, expand_as and broadcast_to to Expand."""
    return expanded(ctx, input, ctx.result.shape)


@lowering("copied")
def copied(ctx: Context, input: ir.Value, source: ir.Value) -> ir.Value:
    """Tensor.copy_ as a value to Cast and Expand of what is copied."""
    return expanded(ctx, ctx.as_result(source), ctx.result.shape)


@lowering("broadcast_tensors")
def broadcast_tensors(ctx: Context, *tensors: Any) -> Any:
    """torch.broadcast_tensors to Expand of each."""
    pairs = zip(numbers_of(tensors), ctx.results, strict=True)
    return tuple(expanded(ctx, value, info.shape) for value, info in pairs)


@lowering("meshgrid")
def meshgrid(ctx: Context, *tensors: Any, indexing: str | None = None) -> Any:
    """torch.meshgrid to Reshape and Expand of each."""
    found = []
    for axis, (value, info) in enumerate(zip(numbers_of(tensors), ctx.results, strict=True)):
        # `xy` is `ij` with the first two axes swapped
        place = 1 - axis if indexing == "xy" and axis < 2 <= len(info.shape) else axis
        length = info.shape[place]
        upright = ctx.reshape(value, [length, *[1] * (len(info.shape) - place - 1)])
        found.append(expanded(ctx, upright, info.shape))
    return tuple(found)


@lowering("repeat", "tile")
def repeat(ctx: Context, input: ir.Value, *args: Any, **names: Any) -> ir.Value:
    """Tensor.repeat and torch.tile to Tile: repeats; to Expand where only lengths of one repeat."""
    times: list[Dim] = numbers_of(args) or list(next(iter(names.values()), ()))
    shape = ctx.shape_of(input)
    rank = max(len(times), len(shape))
    shape = (*[1] * (rank - len(shape)), *shape)
    times = [*[1] * (rank - len(times)), *times]
    if all(length == 1 or count == 1 for length, count in zip(shape, times, strict=True)):
        return expanded(ctx, input, ctx.result.shape)
    return ctx.op("Tile", ctx.reshape(input, shape), ctx.dims(times))


@lowering("identity", "dropout", "feature_dropout", "stochastic_depth")
def identity(ctx: Context, input: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """Dropout in eval mode, contiguous, clone and the like to nothing at all."""
    if ctx.record.attributes.get("training") is True:
        raise Unsupported("dropout in training mode")
    return input
