"""Reading and writing the elements that a tensor of indices names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import (
    axis_of,
    chosen,
    expanded,
    filled,
    gathered,
    plain_index,
    product,
    sliced,
)
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["scattered_along", "written"]

Write = Callable[[ir.Value, Any, str | None], ir.Value]
"""Base, what is written to it and how they are joined, to the new base."""

REDUCTIONS = {
    "sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min",
}  # fmt: skip


# reading


@lowering("index_select")
def index_select(ctx: Context, input: ir.Value, dim: int, index: ir.Value) -> ir.Value:
    """torch.index_select to Gather: axis."""
    shape = ctx.shape_of(input)
    vector = ctx.reshape(plain_index(ctx, index), (product(ctx.shape_of(index)),))
    row = input if shape else ctx.reshape(input, (1,))
    return ctx.reshape(gathered(ctx, row, vector, axis_of(dim, len(shape))), ctx.result.shape)


@lowering("gather")
def gather(
    ctx: Context, input: ir.Value, dim: int, index: ir.Value, *, sparse_grad: bool = False
) -> ir.Value:
    """torch.gather to GatherElements: axis."""
    if 0 in ctx.result.shape:
        return filled(ctx, 0, ctx.result.shape, ctx.result.dtype)
    shape = ctx.shape_of(input) or (1,)
    indices = plain_index(ctx, index)
    indices = indices if ctx.shape_of(index) else ctx.reshape(indices, (1,))
    made = _elements(ctx, ctx.reshape(input, shape), indices, axis_of(dim, len(shape)))
    return ctx.reshape(made, ctx.result.shape)


@lowering("take")
def take(ctx: Context, input: ir.Value, index: ir.Value) -> ir.Value:
    """torch.take to Reshape and Gather."""
    flat = ctx.reshape(input, (product(ctx.shape_of(input)),))
    return gathered(ctx, flat, plain_index(ctx, index), 0)


@lowering("take_along_dim")
def take_along_dim(
    ctx: Context, input: ir.Value, indices: ir.Value, dim: int | None = None
) -> ir.Value:
    """torch.take_along_dim to Mod and GatherElements (axis), both broadcast by Expand."""
    indices = plain_index(ctx, indices)
    if dim is None:
        values = (input, indices)
        input, indices = (ctx.reshape(v, (product(ctx.shape_of(v)),)) for v in values)
        return _elements(ctx, input, indices, 0)
    axis = axis_of(dim, len(ctx.shape_of(input)))
    wide, length = list(ctx.result.shape), ctx.shape_of(input)[axis]
    input = expanded(ctx, input, [*wide[:axis], length, *wide[axis + 1 :]])
    size = ctx.scalar(length, ctx.info_of(indices).dtype)
    # torch takes indices modulo the length, here and nowhere else
    within = ctx.know(ctx.op("Mod", indices, size), ctx.info_of(indices))
    return _elements(ctx, input, expanded(ctx, within, wide), axis)


def _elements(ctx: Context, input: ir.Value, indices: ir.Value, axis: int) -> ir.Value:
    info = TensorInfo(ctx.shape_of(indices), ctx.info_of(input).dtype)
    return ctx.know(ctx.op("GatherElements", input, indices, axis=axis), info)


# writing


@lowering("scatter", "scatter_add")
def scatter(
    ctx: Context,
    input: ir.Value,
    dim: int,
    index: ir.Value,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> ir.Value:
    """torch.scatter and scatter_add to ScatterElements: axis, reduction."""
    reduction = "add" if ctx.record.op == "scatter_add" else REDUCTIONS[reduce] if reduce else None
    return _scattered(ctx, input, dim, index, value if src is None else src, reduction)


@lowering("scatter_reduce")
def scatter_reduce(
    ctx: Context,
    input: ir.Value,
    dim: int,
    index: ir.Value,
    src: ir.Value,
    reduce: str,
    *,
    include_self: bool = True,
) -> ir.Value:
    """torch.scatter_reduce to ScatterElements: axis, reduction; a mean counts with another one."""

    def write(base: ir.Value, value: Any, reduction: str | None) -> ir.Value:
        return _scattered(ctx, base, dim, index, value, reduction)

    return _reduced(ctx, write, input, src, reduce, include_self)


def _reduced(
    ctx: Context, write: Write, input: ir.Value, src: ir.Value, reduce: str, include_self: bool
) -> ir.Value:
    """Join what is written to one place, and what was there or not."""
    dtype = ctx.result.dtype
    total = "sum" if reduce == "mean" else reduce
    base = input if include_self else write(input, _neutral(dtype, total), None)
    made = write(base, src, REDUCTIONS[total])
    if reduce != "mean":
        return made
    if not dtype.startswith("float"):
        raise Unsupported("a mean of integers by index")
    counted = write(filled(ctx, int(include_self), ctx.shape_of(input), dtype), 1, "add")
    return ctx.op("Div", made, counted if include_self else ctx.op("Max", counted, ctx.like(1)))


def _neutral(dtype: str, reduce: str) -> float:
    """Return the number that a reduction starts from."""
    if reduce in ("sum", "prod"):
        return 0 if reduce == "sum" else 1
    if dtype.startswith("float"):
        return -math.inf if reduce == "amax" else math.inf
    limits = torch.iinfo(getattr(torch, dtype))
    return limits.min if reduce == "amax" else limits.max


def _scattered(
    ctx: Context, input: ir.Value, dim: int, index: ir.Value, src: Any, reduction: str | None
) -> ir.Value:
    """Write to the elements along `dim` that `index` names, one from the same place of `src`."""
    shape = ctx.shape_of(input) or (1,)
    wanted = ctx.shape_of(index) or (1,)
    if 0 in wanted:
        return input
    if not isinstance(src, ir.Value) or not ctx.shape_of(src):
        src = expanded(ctx, ctx.operands(src)[0], wanted)
    given = ctx.shape_of(src)
    surplus = {i: (0, b, 1) for i, (a, b) in enumerate(zip(given, wanted, strict=True)) if a != b}
    updates = sliced(ctx, src, surplus, wanted)
    indices = ctx.reshape(plain_index(ctx, index), wanted)
    axis = axis_of(dim, len(shape))
    made = written(
        ctx, "ScatterElements", ctx.reshape(input, shape), indices, updates, reduction, axis=axis
    )
    return ctx.reshape(made, ctx.shape_of(input))


def written(
    ctx: Context,
    op_type: str,
    data: ir.Value,
    indices: ir.Value,
    updates: ir.Value,
    reduction: str | None,
    **attributes: int,
) -> ir.Value:
    """Add a ScatterElements or ScatterND node that joins old and new by an ONNX reduction."""
    info = ctx.info_of(data)
    if reduction and info.dtype in ("float16", "bool"):
        raise Unsupported(f"{ctx.record.op} of {info.dtype}, which ONNX Runtime does not do")
    made = ctx.op(op_type, data, indices, updates, reduction=reduction, **attributes)
    return ctx.know(made, info)


def scattered_along(
    ctx: Context,
    data: ir.Value,
    axis: int,
    index: ir.Value,
    updates: ir.Value,
    reduction: str | None = None,
) -> ir.Value:
    """Write whole slices along an axis.

    Args:
        ctx: Where to write.
        data: What is written over.
        axis: Counted from the front.
        index: A vector; its entries may be negative.
        updates: As many slices as the index has entries.
        reduction: ONNX's name of what joins old and new; None replaces the old.
    """
    shape, (count,) = ctx.shape_of(updates), ctx.shape_of(index)
    if axis == 0:
        tuples = ctx.reshape(ctx.cast(index, "int64"), (count, 1))
        return written(ctx, "ScatterND", data, tuples, updates, reduction)
    upright = ctx.reshape(index, (count, *[1] * (len(shape) - axis - 1)))
    wide = expanded(ctx, upright, shape)
    return written(ctx, "ScatterElements", data, wide, updates, reduction, axis=axis)


@lowering("index_add")
def index_add(
    ctx: Context, input: ir.Value, dim: int, index: ir.Value, source: ir.Value, *, alpha: float = 1
) -> ir.Value:
    """torch.index_add to ScatterND or ScatterElements with reduction add; alpha to Mul."""
    if alpha != 1:
        info = ctx.info_of(source)
        source = ctx.know(ctx.op("Mul", source, ctx.like(alpha)), info)
    return _indexed(ctx, input, dim, index, source, "add")


@lowering("index_reduce")
def index_reduce(
    ctx: Context,
    input: ir.Value,
    dim: int,
    index: ir.Value,
    source: ir.Value,
    reduce: str,
    *,
    include_self: bool = True,
) -> ir.Value:
    """torch.index_reduce to ScatterND or ScatterElements: reduction."""

    def write(base: ir.Value, value: Any, reduction: str | None) -> ir.Value:
        return _indexed(ctx, base, dim, index, ctx.operands(value)[0], reduction)

    return _reduced(ctx, write, input, source, reduce, include_self)


def _indexed(
    ctx: Context,
    input: ir.Value,
    dim: int,
    index: ir.Value,
    source: ir.Value,
    reduction: str | None,
) -> ir.Value:
    shape = ctx.shape_of(input) or (1,)
    axis = axis_of(dim, len(shape))
    count = product(ctx.shape_of(index))
    if count == 0:
        return input
    wanted = (*shape[:axis], count, *shape[axis + 1 :])
    whole = ctx.shape_of(source) or product(wanted) == 1
    source = ctx.reshape(source, wanted) if whole else expanded(ctx, source, wanted)
    vector = ctx.reshape(plain_index(ctx, index), (count,))
    made = scattered_along(ctx, ctx.reshape(input, shape), axis, vector, source, reduction)
    return ctx.reshape(made, ctx.shape_of(input))


@lowering("put")
def put(
    ctx: Context, input: ir.Value, index: ir.Value, source: ir.Value, accumulate: bool = False
) -> ir.Value:
    """torch.put to ScatterND on all axes as one; accumulate to reduction add."""
    shape = ctx.shape_of(input)
    flat = ctx.reshape(input, (product(shape),))
    return ctx.reshape(_indexed(ctx, flat, 0, index, source, "add" if accumulate else None), shape)


@lowering("masked_scatter")
def masked_scatter(ctx: Context, input: ir.Value, mask: ir.Value, source: ir.Value) -> ir.Value:
    """torch.masked_scatter to Where; CumSum of the mask counts the elements of `source`."""
    shape = ctx.result.shape
    if 0 in ctx.shape_of(source) or not shape:
        raise Unsupported("masked_scatter of nothing, or into a number")
    number = TensorInfo((product(shape),), "int64")
    flat = ctx.reshape(ctx.cast(expanded(ctx, mask, shape), "int64"), number.shape)
    counted = ctx.op("CumSum", flat, ctx.constant(0, "int64"))
    place = ctx.know(ctx.op("Sub", counted, ctx.constant(1, "int64")), number)
    flat_source = ctx.reshape(source, (product(ctx.shape_of(source)),))
    found = ctx.reshape(gathered(ctx, flat_source, place, 0), shape)
    return chosen(ctx, mask, found, input, shape)


@lowering("one_hot")
def one_hot(ctx: Context, tensor: ir.Value, num_classes: int | str = -1) -> ir.Value:
    """torch.nn.functional.one_hot to OneHot: depth, values 0 and 1."""
    if num_classes == -1:
        raise Unsupported("one_hot whose number of classes depends on the data")
    rank = len(ctx.shape_of(tensor))
    indices = ctx.cast(tensor, "int64") if rank else ctx.reshape(tensor, (1,))
    made = ctx.op("OneHot", indices, ctx.length(num_classes), ctx.ints([0, 1]))
    if rank:
        return made
    return ctx.reshape(ctx.know(made, TensorInfo((1, num_classes), "int64")), (num_classes,))
