"""Diagonals, and the triangles on both sides of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.index_writes import placed
from netloft_exporters.onnx.lowering.moves import axis_of, chosen, gathered, permuted
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("diagonal")
def diagonal(
    ctx: Context, input: ir.Value, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> ir.Value:
    """torch.diagonal to Transpose, Reshape and Gather from the two axes as one."""
    flat, index, _ = _flat_diagonal(ctx, input, offset, dim1, dim2)
    return gathered(ctx, flat, ctx.ints(index), len(ctx.shape_of(flat)) - 1)


@lowering("linalg_diagonal")
def linalg_diagonal(
    ctx: Context,
    A: ir.Value,  # noqa: N803 - torch's name
    *,
    offset: int = 0,
    dim1: int = -2,
    dim2: int = -1,
) -> ir.Value:
    """torch.linalg.diagonal to Transpose, Reshape and Gather, as torch.diagonal."""
    return diagonal(ctx, A, offset, dim1, dim2)


@lowering("diagonal_scatter")
def diagonal_scatter(
    ctx: Context, input: ir.Value, src: ir.Value, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> ir.Value:
    """torch.diagonal_scatter to Where on the two axes as one."""
    flat, index, order = _flat_diagonal(ctx, input, offset, dim1, dim2)
    axis = len(ctx.shape_of(flat)) - 1
    made = placed(ctx, flat, {axis: np.array(index, np.int64)}, src)
    turned = ctx.reshape(made, [ctx.shape_of(input)[a] for a in order])
    return permuted(ctx, turned, [int(a) for a in np.argsort(order)])


def _flat_diagonal(
    ctx: Context, input: ir.Value, offset: int, dim1: int, dim2: int
) -> tuple[ir.Value, list[int], list[int]]:
    """Return a value with two axes as one at the end, the diagonal's indices, and the order."""
    rank = len(ctx.shape_of(input))
    pair = [axis_of(dim, rank) for dim in (dim1, dim2)]
    order = [*(axis for axis in range(rank) if axis not in pair), *pair]
    turned = permuted(ctx, input, order)
    *others, _, _ = ctx.shape_of(turned)
    rows, columns = ctx.fixed(ctx.shape_of(turned)[-2:])
    index = [i * columns + i + offset for i in range(rows) if 0 <= i + offset < columns]
    return ctx.reshape(turned, (*others, rows * columns)), index, order


@lowering("trace")
def trace(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.trace to Reshape, Gather and ReduceSum."""
    return ctx.op("ReduceSum", ctx.as_result(diagonal(ctx, input)), keepdims=0)


@lowering("diag_embed")
def diag_embed(
    ctx: Context, input: ir.Value, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> ir.Value:
    """torch.diag_embed to Gather and Where."""
    shape = ctx.shape_of(input)
    count, rank = ctx.size_of(input, -1), len(shape) + 1
    size = count + abs(offset)
    # each element goes to its row, and there to one column
    rows, columns = np.arange(count) + max(-offset, 0), np.arange(count) + max(offset, 0)
    source, mask = np.zeros(size, np.int64), np.zeros((size, size), np.bool_)
    source[rows], mask[rows, columns] = np.arange(count), True
    upright = gathered(ctx, input, ctx.ints(source.tolist()), len(shape) - 1) if offset else input
    upright = ctx.reshape(upright, (*shape[:-1], size, 1))
    wide = (*shape[:-1], size, size)
    made = chosen(ctx, ctx.constant(mask, "bool"), upright, ctx.like(0), wide)
    places = [axis_of(dim1, rank), axis_of(dim2, rank)]
    order = list(range(rank - 2))
    for place, axis in sorted(zip(places, (rank - 2, rank - 1), strict=True)):
        order.insert(place, axis)
    return permuted(ctx, made, order)


@lowering("diag")
def diag(ctx: Context, input: ir.Value, diagonal: int = 0) -> ir.Value:
    """torch.diag to Where from a vector, to Reshape and Gather from a matrix."""
    if len(ctx.shape_of(input)) == 1:
        return diag_embed(ctx, input, diagonal)
    flat, index, _ = _flat_diagonal(ctx, input, diagonal, 0, 1)
    return gathered(ctx, flat, ctx.ints(index), 0)


@lowering("diagflat")
def diagflat(ctx: Context, input: ir.Value, offset: int = 0) -> ir.Value:
    """torch.diagflat to Where."""
    count = int(np.prod(ctx.fixed(ctx.shape_of(input))))
    return diag_embed(ctx, ctx.reshape(input, (count,)), offset)


@lowering("tril", "triu")
def tril(ctx: Context, input: ir.Value, diagonal: int = 0) -> ir.Value:
    """torch.tril and torch.triu to Trilu: upper, k."""
    dtype = ctx.result.dtype
    through = {"int8": "int32", "int16": "int32", "uint8": "int32"}.get(dtype, dtype)
    upper, k = int(ctx.record.op == "triu"), ctx.constant(diagonal, "int64")
    made = ctx.op("Trilu", ctx.cast(input, through), k, upper=upper)
    return ctx.cast(ctx.know(made, TensorInfo(ctx.result.shape, through)), dtype)
