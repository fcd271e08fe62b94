"""Places among sorted numbers, and what is among some."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import (
    axis_of,
    chosen,
    gathered,
    permuted,
    product,
)
from netloft_exporters.onnx.lowering.reduction import reduced
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("bucketize")
def bucketize(
    ctx: Context, input: Any, boundaries: ir.Value, *, out_int32: bool = False, right: bool = False
) -> ir.Value:
    """torch.bucketize to Less or LessOrEqual with each boundary, and ReduceSum."""
    return _place(ctx, boundaries, input, right)


@lowering("searchsorted")
def searchsorted(
    ctx: Context,
    sorted_sequence: ir.Value,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: ir.Value | None = None,
) -> ir.Value:
    """torch.searchsorted to Less or LessOrEqual with each of the sequence, and ReduceSum."""
    if sorter is not None:
        raise Unsupported("searchsorted with a sorter")
    return _place(ctx, sorted_sequence, input, right if side is None else side == "right")


def _place(ctx: Context, sequence: ir.Value, value: Any, right: bool) -> ir.Value:
    """Count the elements of a sequence that a value comes after; NaN comes after all."""
    sequence, value = ctx.promoted(sequence, value)
    shape, given = ctx.shape_of(value), ctx.shape_of(sequence)
    value = ctx.reshape(value, (*shape, 1))
    if len(given) > 1:  # a row of the sequence for each row of the values
        sequence = ctx.reshape(sequence, (*given[:-1], 1, given[-1]))
    after = ctx.op("Greater" if right else "GreaterOrEqual", sequence, value)
    before = ctx.know(ctx.op("Not", after), TensorInfo((*shape, given[-1]), "bool"))
    counted = ctx.cast(before, ctx.result.dtype)
    return reduced(ctx, "ReduceSum", counted, [len(shape)], False)


@lowering("isin")
def isin(
    ctx: Context,
    elements: Any,
    test_elements: Any,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> ir.Value:
    """torch.isin to Equal with each, Cast, ReduceMax and Cast."""
    value, among = ctx.promoted(elements, test_elements)
    count = product(ctx.shape_of(among))
    shape = (*ctx.shape_of(value), count)
    same = ctx.op("Equal", ctx.reshape(value, (*shape[:-1], 1)), ctx.reshape(among, (count,)))
    truth = ctx.cast(ctx.know(same, TensorInfo(shape, "bool")), "uint8")
    found = ctx.cast(reduced(ctx, "ReduceMax", truth, [len(shape) - 1], False), "bool")
    return ctx.op("Not", found) if invert else found


@lowering("quantile")
def quantile(
    ctx: Context,
    input: ir.Value,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> ir.Value:
    """torch.quantile to TopK of all, Gather of two neighbours, and what is between them."""
    fractions = ctx.array_of(q) if isinstance(q, ir.Value) else np.float32(q)
    if fractions is None or isinstance(q, str):
        raise Unsupported("quantiles that are computed")
    flat = dim is None or not ctx.shape_of(input)
    value = ctx.reshape(input, (product(ctx.shape_of(input)),)) if flat else input
    axis, many = axis_of(dim or 0, len(ctx.shape_of(value))), np.ndim(fractions)
    length = ctx.size_of(value, axis)
    ordered, _ = ctx.ops("TopK", value, ctx.ints([length]), outputs=2, axis=axis, largest=0)
    ctx.know(ordered, ctx.info_of(value))
    place = np.asarray(fractions, ctx.result.dtype) * (length - 1)
    made = _between(ctx, ordered, place, axis, interpolation)
    order = list(range(len(ctx.shape_of(made))))
    made = permuted(ctx, made, [axis, *order[:axis], *order[axis + 1 :]] if many else order)
    lost = ctx.op("IsNaN", reduced(ctx, "ReduceL1", value, [axis], False))
    ctx.know(lost, TensorInfo(ctx.shape_of(made)[many:], "bool"))
    made = chosen(ctx, lost, ctx.like(math.nan), made, ctx.shape_of(made))
    return ctx.reshape(made, ctx.result.shape)


def _between(
    ctx: Context, ordered: ir.Value, place: npt.NDArray[Any], axis: int, interpolation: str
) -> ir.Value:
    """Return what stands at places of an ordered axis, which may be between two elements."""
    rounding: dict[str, Callable[[Any], Any]]
    rounding = {"lower": np.floor, "higher": np.ceil, "nearest": np.round}
    if interpolation in rounding:
        index = rounding[interpolation](place)
        return gathered(ctx, ordered, ctx.constant(index, "int64"), axis)
    lower, upper = (
        gathered(ctx, ordered, ctx.constant(round_(place), "int64"), axis)
        for round_ in (np.floor, np.ceil)
    )
    part = place - np.floor(place)
    weight = np.full_like(part, 0.5) if interpolation == "midpoint" else part
    weight = weight.reshape((*weight.shape, *[1] * (len(ctx.shape_of(ordered)) - axis - 1)))
    gap = ctx.op("Sub", upper, lower)
    made = ctx.op("Add", lower, ctx.op("Mul", gap, ctx.constant(weight, ctx.result.dtype)))
    return ctx.know(made, ctx.info_of(lower))
