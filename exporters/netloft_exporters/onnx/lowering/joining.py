"""Tensors joined into one, and one taken apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from netloft.graph.annotation import Dim
from netloft.graph.dims import UNKNOWN, evaluate, symbols_of
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import axis_of, expanded, gathered, joined
from netloft_exporters.onnx.lowering.pad import padded
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("cat")
def cat(ctx: Context, tensors: Sequence[ir.Value], dim: int = 0) -> ir.Value:
    """torch.cat to Concat: axis; torch skips empty tensors of one axis."""
    kept = [value for value in tensors if ctx.shape_of(value) != (0,)] or list(tensors[:1])
    place = axis_of(dim, len(ctx.result.shape))
    return joined(ctx, [ctx.as_result(value) for value in kept], place)


# axis that the tensors are joined along, and how many axes each has at least
_STACKS = {"hstack": (1, 1), "vstack": (0, 2), "row_stack": (0, 2), "dstack": (2, 3)}


@lowering(*_STACKS, "column_stack")
def hstack(ctx: Context, tensors: Sequence[ir.Value]) -> ir.Value:
    """torch.hstack, vstack, dstack and column_stack to Reshape of each and Concat."""
    op = ctx.record.op
    place, least = _STACKS.get(op, (1, 2))
    place = 0 if len(ctx.result.shape) == 1 else place
    parts = []
    for value in tensors:
        shape = list(ctx.shape_of(value))
        shape = shape or [1]
        if op == "column_stack":
            shape += [1] * (2 - len(shape))
        elif len(shape) < least:
            shape = [*[1] * (len(shape) == 1), *shape, *[1] * (least == 3)]
        parts.append(ctx.reshape(ctx.as_result(value), shape))
    return joined(ctx, parts, place)


@lowering("stack")
def stack(ctx: Context, tensors: Sequence[ir.Value], dim: int = 0) -> ir.Value:
    """torch.stack to Concat and Reshape: the new axis and the next one are one at first."""
    axis = axis_of(dim, len(ctx.result.shape))
    parts = [ctx.as_result(value) for value in tensors]
    shape = ctx.shape_of(parts[0])
    if axis == len(shape):
        return joined(ctx, [ctx.reshape(value, (*shape, 1)) for value in parts], axis)
    return ctx.reshape(joined(ctx, parts, axis), ctx.result.shape)


@lowering("block_diag")
def block_diag(ctx: Context, *tensors: Any) -> ir.Value:
    """torch.block_diag to Pad of each and Concat."""
    width, before, rows = ctx.fixed(ctx.result.shape)[1], 0, []
    for value in tensors:
        shape = ctx.shape_of(value)
        block = ctx.reshape(ctx.as_result(value), (*[1] * (2 - len(shape)), *shape))
        taken = ctx.size_of(block, 1)
        row = padded(ctx, block, [before], [width - before - taken], "constant")
        rows.append(ctx.know(row, ctx.info_of(block)))
        before += taken
    return joined(ctx, rows, 0, UNKNOWN)


_SPLITS = {"hsplit": 1, "vsplit": 0, "dsplit": 2}


@lowering(
    "chunk", "unsafe_chunk", "split", "unsafe_split", "split_with_sizes", "tensor_split", *_SPLITS
)
def split(ctx: Context, input: ir.Value, _: Any = None, dim: int = 0, **__: Any) -> Any:
    """torch.chunk, split, tensor_split and the like to Split into the sizes that are known."""
    parts = ctx.results
    axis = axis_of(_SPLITS.get(ctx.record.op, dim), len(parts[0].shape))
    axis = 0 if len(parts[0].shape) == 1 else axis
    if len(parts) == 1:
        return (input,)
    lengths = [part.shape[axis] for part in parts]
    _check_lengths(lengths, ctx.shape_of(input)[axis])
    return ctx.ops("Split", input, ctx.dims(lengths), outputs=len(parts), axis=axis)


def _check_lengths(lengths: Sequence[Dim], whole: Dim) -> None:
    """See that the parts of an open axis are what the graph says, at small sizes too."""
    dims = [*lengths, whole]
    if UNKNOWN in dims:
        raise Unsupported("parts whose lengths are not known")
    symbols = frozenset[str]().union(*map(symbols_of, dims))
    for size in (1, 2, 3, 5, 16):
        *found, total = (evaluate(dim, dict.fromkeys(symbols, size)) for dim in dims)
        if min(found) < 0 or sum(found) != total:
            raise Unsupported(f"parts that are other ones at a batch of {size}")


@lowering("unbind")
def unbind(ctx: Context, input: ir.Value, dim: int = 0) -> Any:
    """torch.unbind to a Gather for each part."""
    axis = axis_of(dim, len(ctx.shape_of(input)))
    numbers = range(ctx.size_of(input, axis))
    return tuple(gathered(ctx, input, ctx.constant(i, "int64"), axis) for i in numbers)


@lowering("cartesian_prod")
def cartesian_prod(ctx: Context, *tensors: ir.Value) -> ir.Value:
    """torch.cartesian_prod to Expand of each, and Concat."""
    if len(tensors) == 1:
        return tensors[0]
    lengths = [ctx.shape_of(value)[0] for value in tensors]
    columns = [
        expanded(ctx, ctx.reshape(value, (length, *[1] * (len(lengths) - i))), (*lengths, 1))
        for i, (value, length) in enumerate(zip(tensors, lengths, strict=True))
    ]
    return ctx.reshape(joined(ctx, columns, len(lengths)), ctx.result.shape)


@lowering("combinations")
def combinations(
    ctx: Context, input: ir.Value, r: int = 2, with_replacement: bool = False
) -> ir.Value:
    """torch.combinations to Gather."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    index = np.array(list(choose(range(ctx.size_of(input, 0)), r)), np.int64).reshape(-1, r)
    return gathered(ctx, input, ctx.constant(index, "int64"), 0)
