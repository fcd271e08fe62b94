"""Moves of elements that several families are written with; each knows the shape that it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import UNKNOWN
from netloft_exporters.onnx.lowering.context import SMALL, Context, Unsupported, dtype_of

__all__ = [
    "END",
    "axis_of",
    "broadcast_shape",
    "chosen",
    "cut",
    "expanded",
    "filled",
    "gathered",
    "joined",
    "permuted",
    "plain_index",
    "product",
    "sliced",
]

END = 2**62
"""The end of an axis, whatever its length."""


def axis_of(dim: int, rank: int) -> int:
    """Return an axis counted from the front; a tensor without axes takes 0 and -1, as in torch."""
    return dim % max(rank, 1)


def product(dims: Sequence[Dim]) -> Dim:
    """Return the product of lengths, as a number where it is one."""
    known = math.prod(dim for dim in dims if isinstance(dim, int))
    open_ = [dim for dim in dims if not isinstance(dim, int)]
    if not open_ or known == 0:
        return known
    if UNKNOWN in open_:
        return UNKNOWN
    factors = ([str(known)] if known != 1 else []) + [f"({dim})" for dim in open_]
    return open_[0] if len(factors) == 1 else "*".join(factors)


def broadcast_shape(shapes: Sequence[Sequence[Dim]]) -> tuple[Dim, ...]:
    """Return the shape that shapes have together.

    Raises:
        Unsupported: Whether two lengths are the same is not known.
    """
    rank = max(map(len, shapes))
    found: list[Dim] = [1] * rank
    for shape in shapes:
        for axis, dim in enumerate(shape, rank - len(shape)):
            if dim != 1 and found[axis] not in (1, dim):
                raise Unsupported(f"lengths {found[axis]} and {dim} together")
            found[axis] = dim if dim != 1 else found[axis]
    return tuple(found)


def permuted(ctx: Context, value: ir.Value, order: Sequence[int]) -> ir.Value:
    """Return a value with its axes in another order."""
    order = list(order)
    if order == sorted(order):
        return value
    info = ctx.info_of(value)
    made = ctx.op("Transpose", value, perm=order)
    return ctx.know(made, TensorInfo(tuple(info.shape[axis] for axis in order), info.dtype))


def expanded(ctx: Context, value: ir.Value, shape: Sequence[Dim]) -> ir.Value:
    """Return a value repeated along its axes of length one, to a whole shape."""
    info, wanted = ctx.info_of(value), tuple(shape)
    given = (1,) * (len(wanted) - len(info.shape)) + info.shape
    # Expand leaves an axis alone where it is told 1, so that no open length need be computed
    numbers = [1 if a == b and a != UNKNOWN else b for a, b in zip(given, wanted, strict=True)]
    if all(number == 1 for number in numbers):
        return ctx.reshape(value, wanted)
    array = ctx.array_of(value)
    fixed = [dim for dim in wanted if isinstance(dim, int)]
    if array is not None and len(fixed) == len(wanted) and math.prod(fixed) <= SMALL:
        return ctx.constant(np.broadcast_to(array, fixed), info.dtype)
    return ctx.know(ctx.op("Expand", value, ctx.dims(numbers)), TensorInfo(wanted, info.dtype))


def filled(ctx: Context, number: float, shape: Sequence[Dim], dtype: str) -> ir.Value:
    """Return a tensor of one number."""
    fixed = [dim for dim in shape if isinstance(dim, int)]
    if len(fixed) == len(shape) and math.prod(fixed) <= SMALL:
        return ctx.constant(np.full(fixed, number), dtype)
    value = ir.tensor(np.asarray([number]).astype(dtype_of(dtype).numpy()))
    return ctx.know(
        ctx.op("ConstantOfShape", ctx.dims(shape), value=value), TensorInfo(tuple(shape), dtype)
    )


def sliced(
    ctx: Context, value: ir.Value, cuts: Mapping[int, tuple[Dim, Dim, int]], shape: Sequence[Dim]
) -> ir.Value:
    """Return a part of a value.

    Args:
        ctx: Where to write.
        value: The whole.
        cuts: Start, stop and step by axis, as Python's slices count them.
        shape: What comes out.
    """
    if not cuts:
        return value
    starts, stops, steps = zip(*cuts.values(), strict=True)
    parts = ctx.dims(starts), ctx.dims(stops), ctx.ints(list(cuts)), ctx.ints(steps)
    made = ctx.op("Slice", value, *(parts if set(steps) != {1} else parts[:3]))
    return ctx.know(made, TensorInfo(tuple(shape), ctx.info_of(value).dtype))


def cut(
    ctx: Context, value: ir.Value, axis: int, start: int, stop: int | None, length: Dim = UNKNOWN
) -> ir.Value:
    """Return a value from `start` up to `stop` (None: to the end) along one axis."""
    shape = list(ctx.shape_of(value))
    whole = shape[axis]
    if isinstance(whole, int):
        shape[axis] = len(range(*slice(start, stop).indices(whole)))
        if shape[axis] == whole:
            return value
    else:
        shape[axis] = length
    return sliced(ctx, value, {axis: (start, END if stop is None else stop, 1)}, shape)


def gathered(ctx: Context, value: ir.Value, indices: ir.Value, axis: int) -> ir.Value:
    """Return the slices of a value that are named by an axis' indices."""
    info = ctx.info_of(value)
    shape = (*info.shape[:axis], *ctx.shape_of(indices), *info.shape[axis + 1 :])
    return ctx.know(ctx.op("Gather", value, indices, axis=axis), TensorInfo(shape, info.dtype))


def joined(ctx: Context, parts: Sequence[ir.Value], axis: int, length: Dim = UNKNOWN) -> ir.Value:
    """Return values of one element type put together along an axis."""
    if len(parts) == 1:
        return parts[0]
    info = ctx.info_of(parts[0])
    lengths = [ctx.shape_of(part)[axis] for part in parts]
    shape = list(info.shape)
    shape[axis] = length
    if all(isinstance(dim, int) for dim in lengths):
        shape[axis] = sum(dim for dim in lengths if isinstance(dim, int))
    return ctx.know(ctx.op("Concat", *parts, axis=axis), TensorInfo(tuple(shape), info.dtype))


def chosen(
    ctx: Context, mask: ir.Value, value: ir.Value, other: ir.Value, shape: Sequence[Dim]
) -> ir.Value:
    """Return `value` where the mask holds, and `other` elsewhere; both of one element type."""
    dtype = ctx.info_of(value).dtype
    # ONNX Runtime has no kernel of Where for these two
    through = {"bool": "uint8", "int16": "int32"}.get(dtype)
    if through is None:
        return ctx.know(ctx.op("Where", mask, value, other), TensorInfo(tuple(shape), dtype))
    wide = [ctx.cast(v, through) for v in (value, other)]
    made = ctx.know(ctx.op("Where", mask, *wide), TensorInfo(tuple(shape), through))
    return ctx.cast(made, dtype)


def plain_index(ctx: Context, index: ir.Value) -> ir.Value:
    """Return indices in an element type that ONNX takes.

    Raises:
        Unsupported: They are no integers.
    """
    info = ctx.info_of(index)
    if info.dtype in ("int64", "int32"):
        return index
    if info.dtype not in ("int16", "int8", "uint8"):
        raise Unsupported(f"{info.dtype} indices")
    return ctx.cast(index, "int64")
