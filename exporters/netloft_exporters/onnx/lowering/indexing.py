"""Reading a part of a tensor by its indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import UNKNOWN, evaluate, symbols_of
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import (
    END,
    axis_of,
    broadcast_shape,
    expanded,
    gathered,
    joined,
    permuted,
    plain_index,
    product,
    sliced,
)
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = [
    "Item",
    "gathering_order",
    "index_tuples",
    "is_mask",
    "is_select",
    "items_of",
    "layout_of",
    "part",
    "picks_of",
]

Item = None | slice | int | str | ir.Value
"""A new axis, a slice, one index (a number, or text that follows the batch), or many of them."""

_WHOLE = slice(None)

Cut = tuple[Dim, Dim, int]
"""Start, stop and step of a slice."""


@lowering("getitem")
def getitem(ctx: Context, input: Any, index: Any) -> Any:
    """`x[index]`: ints and slices to Slice and Gather, tensors of integers to Gather or GatherND.

    None goes to Unsqueeze. A mask is indices too, if it is a constant.
    """
    if isinstance(input, tuple | list):
        return input[index]
    items = [one for item in items_of(ctx, input, index) for one in _numbered(ctx, item)]
    picks = picks_of(ctx, items)
    value = part(ctx, input, items, () if picks else ctx.result.shape)
    if len(picks) > 1:
        value, picks = _picked(ctx, value, picks), {}
    for axis, indices in picks.items():
        value = gathered(ctx, value, plain_index(ctx, indices), axis)
    if len(ctx.shape_of(value)) != len(ctx.result.shape):
        raise Unsupported("an index of this form")
    return value


@lowering("select")
def select(ctx: Context, input: ir.Value, dim: int, index: int | str) -> ir.Value:
    """torch.select to Gather of one index: axis."""
    axis = axis_of(dim, len(ctx.shape_of(input)))
    return part(ctx, input, [*[_WHOLE] * axis, index], ctx.result.shape)


@lowering("narrow")
def narrow(
    ctx: Context, input: ir.Value, dim: int, start: int | str | ir.Value, length: Dim
) -> ir.Value:
    """torch.narrow to Slice: starts, ends, axes."""
    axis = axis_of(dim, len(ctx.shape_of(input)))
    size = ctx.shape_of(input)[axis]
    if isinstance(start, ir.Value) or not isinstance(start, int | str):
        raise Unsupported("narrow from a start that is computed")
    if isinstance(start, int) and start < 0:
        start = size + start if isinstance(size, int) else f"{size}{start}"
    stop: Dim = f"({start})+({length})" if start else length
    if isinstance(start, int) and isinstance(length, int):
        stop = start + length
    return part(ctx, input, [*[_WHOLE] * axis, slice(start, stop)], ctx.result.shape)


# what an index is made of


def is_mask(ctx: Context, item: Item) -> bool:
    """Tell whether an item picks by truth and not by number."""
    return isinstance(item, ir.Value) and ctx.info_of(item).dtype in ("bool", "uint8")


def is_select(ctx: Context, item: Item) -> bool:
    """Tell whether an item takes one index of an axis, and the axis with it."""
    if isinstance(item, ir.Value):
        return not ctx.shape_of(item) and not is_mask(ctx, item)
    return isinstance(item, int | str)


def items_of(ctx: Context, input: ir.Value, index: Any) -> list[Item]:
    """Return an index as one item for each axis, and None for each new axis.

    Raises:
        Unsupported: It holds something else.
    """
    found = [_listed(ctx, item) for item in (index if isinstance(index, tuple) else (index,))]
    rank = len(ctx.shape_of(input))
    missing = rank - sum(_taken(ctx, item) for item in found)
    if not any(item is Ellipsis for item in found):
        found.append(Ellipsis)
    at = next(i for i, item in enumerate(found) if item is Ellipsis)
    items = [*found[:at], *[_WHOLE] * missing, *found[at + 1 :]]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, Item):
            raise Unsupported(f"the index {item!r}")
    return items


def _numbered(ctx: Context, item: Item) -> list[Item]:
    """Return a mask that is known as indices, one tensor for each axis that it takes."""
    if not isinstance(item, ir.Value) or not is_mask(ctx, item):
        return [item]
    array = ctx.array_of(item)
    if array is None:
        raise Unsupported("indexing with a mask, whose length depends on the data")
    return [ctx.constant(indices, "int64") for indices in array.nonzero()]


def _taken(ctx: Context, item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return len(ctx.shape_of(item)) if is_mask(ctx, item) else 1


def _listed(ctx: Context, item: Any) -> Any:
    """Return a list of numbers or truths as a constant."""
    if not isinstance(item, list | tuple | range | np.ndarray):
        return item
    try:
        array = np.asarray(item, dtype=None if len(item) else np.int64)
    except ValueError as error:
        raise Unsupported("a ragged list of indices") from error
    if array.dtype.kind not in "bi":
        raise Unsupported("a list of indices that are not numbers")
    return ctx.constant(array, "bool" if array.dtype == np.bool_ else "int64")


def picks_of(ctx: Context, items: Sequence[Item]) -> dict[int, ir.Value]:
    """Return the tensors of indices by the axis that they pick from, after ints are gone."""
    kept = [item for item in items if not is_select(ctx, item)]
    return {axis: item for axis, item in enumerate(kept) if isinstance(item, ir.Value)}


# ints, slices and new axes


@dataclass
class _Plan:
    """What to do for the ints, slices and new axes of an index."""

    cuts: dict[int, Cut] = field(default_factory=dict)
    selects: dict[int, int | str | ir.Value] = field(default_factory=dict)
    kept: list[Dim] = field(default_factory=list)  # shape after the slices, an int's axis as one
    shape: list[Dim] = field(default_factory=list)  # and with ints gone and new axes there
    new: list[int] = field(default_factory=list)


def part(
    ctx: Context, input: ir.Value, items: Sequence[Item], shape: Sequence[Dim] = ()
) -> ir.Value:
    """Return what ints, slices and new axes leave; a tensor of indices takes its axis whole.

    Args:
        ctx: Where to write.
        input: The whole.
        items: For each axis; those at the end may be left out.
        shape: What the graph knows of the result, for slices of open axes; empty where nothing is.
    """
    plan = _plan(ctx, input, items, shape)
    numbers = {axis: item for axis, item in plan.selects.items() if isinstance(item, int)}
    if len(numbers) < len(plan.selects) or len(numbers) + len(plan.new) == 1:
        value = sliced(ctx, input, plan.cuts, plan.kept)
        for axis, item in reversed(plan.selects.items()):
            number = item if isinstance(item, ir.Value) else ctx.scalar(item)
            value = gathered(ctx, value, plain_index(ctx, number), axis)
        return _regrouped(ctx, value, plan, [])
    for axis, item in numbers.items():
        plan.cuts[axis] = (item, item + 1 if item != -1 else END, 1)
    return _regrouped(ctx, sliced(ctx, input, plan.cuts, plan.kept), plan, list(numbers))


def _regrouped(ctx: Context, value: ir.Value, plan: _Plan, gone: list[int]) -> ir.Value:
    if UNKNOWN not in plan.shape:
        return ctx.reshape(value, plan.shape)
    info = TensorInfo(tuple(plan.shape), ctx.info_of(value).dtype)
    if gone:
        value = ctx.know(ctx.op("Squeeze", value, ctx.ints(gone)), info)
    return ctx.know(ctx.op("Unsqueeze", value, ctx.ints(plan.new)), info) if plan.new else value


def _plan(ctx: Context, input: ir.Value, items: Sequence[Item], shape: Sequence[Dim]) -> _Plan:
    plan, lengths = _Plan(), list(ctx.shape_of(input))
    missing = len(lengths) - sum(item is not None for item in items)
    for item in [*items, *[_WHOLE] * missing]:
        axis = len(plan.kept)
        if item is None:
            plan.new.append(len(plan.shape))
            plan.shape.append(1)
        elif is_select(ctx, item):
            assert not isinstance(item, slice)
            plan.selects[axis] = item
            plan.kept.append(1)
        else:
            length = lengths[axis]
            if isinstance(item, slice) and item != _WHOLE:
                claimed = shape[len(plan.shape)] if shape else UNKNOWN
                length = _cut(plan.cuts, axis, length, item, claimed)
            plan.kept.append(length)
            plan.shape.append(length)
    return plan


def _cut(cuts: dict[int, Cut], axis: int, length: Dim, item: slice, claimed: Dim) -> Dim:
    """Note a slice unless it leaves all; return what length it leaves."""
    start, stop, step = item.start, item.stop, 1 if item.step is None else item.step
    for bound in (start, stop):
        if bound is not None and (not isinstance(bound, int | str) or isinstance(bound, bool)):
            raise Unsupported("a slice whose bounds are computed")
    if not isinstance(step, int) or step < 1:
        raise Unsupported(f"a slice with step {step}")
    if isinstance(length, int) and not isinstance(start, str) and not isinstance(stop, str):
        found = range(*slice(start, stop, step).indices(length))
        if len(found) != length:
            cuts[axis] = (found.start, found.stop, step)
        return len(found)
    _check_length(length, slice(start, stop, step), claimed)
    cuts[axis] = (0 if start is None else start, END if stop is None else stop, step)
    return claimed


def _check_length(length: Dim, item: slice, claimed: Dim) -> None:
    """See that a slice of an open axis is as long as the graph says, around its bounds too.

    The graph's shapes come from a few sizes; `x[:3]` has three items at each of them, and two in a
    batch of two.
    """
    bounds = (item.start, item.stop, item.step)
    dims = [dim for dim in (length, claimed, *bounds) if dim is not None]
    if UNKNOWN in dims:
        return
    symbols = frozenset[str]().union(*(symbols_of(dim) for dim in dims))
    near = {abs(bound) + more for bound in bounds if isinstance(bound, int) for more in (-1, 1, 9)}
    for size in sorted({1, 2, 3, 5, 16, *(size for size in near if size > 0)}):
        sizes = dict.fromkeys(symbols, size)
        at_size = slice(*(None if bound is None else evaluate(bound, sizes) for bound in bounds))
        actual = len(range(*at_size.indices(max(evaluate(length, sizes), 0))))
        if actual != max(evaluate(claimed, sizes), 0):
            raise Unsupported(f"a slice whose length is not {claimed} at a batch of {size}")


# tensors of indices


def _picked(ctx: Context, value: ir.Value, picks: Mapping[int, ir.Value]) -> ir.Value:
    """Return the elements that several tensors of indices name, where torch puts their axes."""
    order, first = gathering_order(len(ctx.shape_of(value)), list(picks))
    count = len(picks)
    linear = _linear(ctx, [ctx.shape_of(value)[axis] for axis in picks], list(picks.values()))
    if linear is not None:
        at = min(picks) if first else 0
        value = value if first else permuted(ctx, value, order)
        given = ctx.shape_of(value)
        merged = [*given[:at], product(given[at : at + count]), *given[at + count :]]
        return gathered(ctx, ctx.reshape(value, merged), linear, at)
    value = permuted(ctx, value, order)
    rest = ctx.shape_of(value)[count:]
    tuples, shape = index_tuples(ctx, list(picks.values()))
    info = TensorInfo((*shape, *rest), ctx.info_of(value).dtype)
    made = ctx.know(ctx.op("GatherND", value, tuples), info)
    return permuted(ctx, made, layout_of(len(shape), len(rest), first))


def gathering_order(rank: int, axes: Sequence[int]) -> tuple[list[int], int]:
    """Return axes with the picked ones in front, and before how many others torch puts theirs.

    That is where they were if they stand side by side, else the front.
    """
    adjacent = list(axes) == list(range(axes[0], axes[0] + len(axes)))
    return [*axes, *(a for a in range(rank) if a not in axes)], axes[0] if adjacent else 0


def layout_of(picked: int, others: int, first: int) -> list[int]:
    """Return the permutation that moves the picked axes from the front to behind `first` others."""
    rest = range(picked, picked + others)
    return [*rest[:first], *range(picked), *rest[first:]]


def _linear(ctx: Context, lengths: Sequence[Dim], indices: Sequence[ir.Value]) -> ir.Value | None:
    """Return indices into the merged axes, where all is known."""
    arrays = [ctx.array_of(value) for value in indices]
    if not all(isinstance(length, int) for length in lengths):
        return None
    total = np.zeros((), np.int64)
    for array, length in zip(arrays, ctx.fixed(lengths), strict=True):
        if array is None:
            return None
        total = total * length + array % max(length, 1)
    return ctx.constant(total, "int64")


def index_tuples(ctx: Context, indices: Sequence[ir.Value]) -> tuple[ir.Value, tuple[Dim, ...]]:
    """Return indices side by side on a last axis, as GatherND and ScatterND read them.

    Returns:
        They, and the shape that they have without that axis.
    """
    shape = broadcast_shape([ctx.shape_of(value) for value in indices])
    arrays = [array for array in map(ctx.array_of, indices) if array is not None]
    if len(arrays) == len(indices):
        return ctx.constant(np.stack(np.broadcast_arrays(*arrays), -1), "int64"), shape
    wide = [
        ctx.reshape(expanded(ctx, ctx.cast(plain_index(ctx, value), "int64"), shape), (*shape, 1))
        for value in indices
    ]
    return joined(ctx, wide, len(shape)), shape
