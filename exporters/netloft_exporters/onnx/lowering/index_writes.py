"""Writing a part of a tensor by its indices: each gives the whole tensor as it is afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import UNKNOWN
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.gather_scatter import scattered_along, written
from netloft_exporters.onnx.lowering.indexing import (
    Item,
    gathering_order,
    index_tuples,
    is_mask,
    is_select,
    items_of,
    layout_of,
    part,
    picks_of,
)
from netloft_exporters.onnx.lowering.moves import (
    END,
    axis_of,
    chosen,
    cut,
    expanded,
    gathered,
    joined,
    permuted,
    plain_index,
    product,
    sliced,
)
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["placed"]

_WHOLE = slice(None)

Positions = Mapping[int, npt.NDArray[np.int64]]
"""Which indices of an axis are written; axes that are not there are written whole."""


@lowering("setitem")
def setitem(ctx: Context, input: ir.Value, index: Any, value: Any) -> ir.Value:
    """`x[index] = value` to Where, Concat or ScatterND; gives all of `x` as it is then."""
    (new,) = ctx.operands(value)
    return _write(ctx, input, items_of(ctx, input, index), new, None)


@lowering("index_put")
def index_put(
    ctx: Context, input: ir.Value, indices: Sequence[Any], values: Any, accumulate: bool = False
) -> ir.Value:
    """torch.index_put to what `x[indices] = values` is; accumulate to reduction add."""
    items = items_of(ctx, input, tuple(_WHOLE if i is None else i for i in indices))
    (value,) = ctx.operands(values)
    return _write(ctx, input, items, value, "add" if accumulate else None)


@lowering("select_scatter")
def select_scatter(ctx: Context, input: ir.Value, src: ir.Value, dim: int, index: int) -> ir.Value:
    """torch.select_scatter to what `x.select(dim, index)[:] = src` is."""
    axis = axis_of(dim, len(ctx.shape_of(input)))
    return _write(ctx, input, [*[_WHOLE] * axis, index], src, None)


@lowering("slice_scatter")
def slice_scatter(
    ctx: Context,
    input: ir.Value,
    src: ir.Value,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> ir.Value:
    """torch.slice_scatter to what `x[start:end:step] = src` along `dim` is."""
    axis = axis_of(dim, len(ctx.shape_of(input)))
    return _write(ctx, input, [*[_WHOLE] * axis, slice(start, end, step)], src, None)


@lowering("index_copy")
def index_copy(
    ctx: Context, input: ir.Value, dim: int, index: ir.Value, source: ir.Value
) -> ir.Value:
    """torch.index_copy to what `x[..., index] = source` along `dim` is."""
    return _write_along(ctx, input, dim, index, source)


@lowering("index_fill")
def index_fill(ctx: Context, input: ir.Value, dim: int, index: ir.Value, value: Any) -> ir.Value:
    """torch.index_fill to what `x[..., index] = value` along `dim` is."""
    return _write_along(ctx, input, dim, index, ctx.operands(value)[0])


def _write_along(
    ctx: Context, input: ir.Value, dim: int, index: ir.Value, value: ir.Value
) -> ir.Value:
    shape = ctx.shape_of(input) or (1,)
    vector = ctx.reshape(index, (product(ctx.shape_of(index)),))
    items: list[Item] = [*[_WHOLE] * axis_of(dim, len(shape)), vector]
    return ctx.reshape(
        _write(ctx, ctx.reshape(input, shape), items, value, None), ctx.shape_of(input)
    )


def _write(
    ctx: Context, input: ir.Value, items: Sequence[Item], value: ir.Value, reduction: str | None
) -> ir.Value:
    """Return `input` with `value` where `items` point."""
    if any(is_mask(ctx, item) for item in items):
        return _masked(ctx, input, items, value, reduction)
    picks = picks_of(ctx, items)
    ranks = [len(ctx.shape_of(indices)) for indices in picks.values()]
    if ranks and (reduction or ranks != [1]):
        return _written_by_tuples(ctx, input, items, value, reduction)
    target = _target(ctx, input, items)
    return _placed(ctx, input, target, _aligned(ctx, value, target.layout, len(target.shape)))


def _masked(
    ctx: Context, input: ir.Value, items: Sequence[Item], value: ir.Value, reduction: str | None
) -> ir.Value:
    """Write where a mask holds, a value that is the same for each of the places."""
    others = [item for item in items if not is_mask(ctx, item)]
    if reduction or len(others) + 1 != len(items) or any(item != _WHOLE for item in others):
        raise Unsupported("a write by a mask together with another index")
    before = next(i for i, item in enumerate(items) if is_mask(ctx, item))
    mask = items[before]
    assert isinstance(mask, ir.Value)
    width, after = len(ctx.shape_of(mask)), len(others) - before
    rank = before + width + after
    layout = [*range(before), None, *range(before + width, rank)]
    upright = ctx.reshape(ctx.cast(mask, "bool"), (*ctx.shape_of(mask), *[1] * after))
    value = _aligned(ctx, value, layout, rank)
    return chosen(ctx, upright, value, input, ctx.shape_of(input))


def _aligned(ctx: Context, value: ir.Value, layout: Sequence[int | None], rank: int) -> ir.Value:
    """Return a value whose axes are those of the whole tensor, ones in front left out.

    Args:
        ctx: Where to write.
        value: Broadcast to `layout`, as torch does.
        layout: Which axis of the whole each axis of the part is; None for one of length one.
        rank: Axes of the whole.
    """
    shape = list(ctx.shape_of(value))
    surplus = max(len(shape) - len(layout), 0)
    wanted: list[Dim] = [1] * rank
    for axis, dim in zip(reversed(layout), reversed(shape), strict=False):
        if axis is not None:
            wanted[axis] = dim
        elif dim != 1:
            raise Unsupported("a write whose values are counted by a mask")
    if any(dim != 1 for dim in shape[:surplus]):
        raise Unsupported(f"a write of a value of {len(shape)} axes to {len(layout)}")
    while wanted and wanted[0] == 1:
        del wanted[0]
    return ctx.reshape(value, wanted)


# several tensors of indices, or one of several axes


def _written_by_tuples(
    ctx: Context, input: ir.Value, items: Sequence[Item], value: ir.Value, reduction: str | None
) -> ir.Value:
    picks = picks_of(ctx, items)
    kept: list[Item] = [
        _WHOLE if any(item is p for p in picks.values()) else item for item in items
    ]
    region = part(ctx, input, kept)
    order, first = gathering_order(len(ctx.shape_of(region)), list(picks))
    front = permuted(ctx, region, order)
    tuples, shape = index_tuples(ctx, list(picks.values()))
    rest = ctx.shape_of(front)[len(picks) :]
    updates = expanded(ctx, value, (*rest[:first], *shape, *rest[first:]))
    back = np.argsort(layout_of(len(shape), len(rest), first))
    updates = permuted(ctx, updates, [int(axis) for axis in back])
    made = written(ctx, "ScatterND", front, tuples, updates, reduction)
    made = permuted(ctx, made, [int(axis) for axis in np.argsort(order)])
    return made if all(item == _WHOLE for item in kept) else _write(ctx, input, kept, made, None)


# ints, slices, new axes and at most one vector of indices


@dataclass
class _Target:
    """Where a write goes, by axis of the whole; an axis in none of them is written whole."""

    shape: tuple[Dim, ...]
    positions: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    vectors: dict[int, ir.Value] = field(default_factory=dict)  # indices that are computed
    spans: dict[int, tuple[Dim, Dim | None]] = field(default_factory=dict)  # of open axes
    layout: list[int | None] = field(default_factory=list)  # of the part; see `_aligned`


def _target(ctx: Context, input: ir.Value, items: Sequence[Item]) -> _Target:
    target, axis = _Target(ctx.shape_of(input)), 0
    for item in items:
        if item is None:
            target.layout.append(None)
            continue
        if not is_select(ctx, item):
            target.layout.append(axis)
        _point(ctx, target, axis, item)
        axis += 1
    target.layout += range(axis, len(target.shape))
    return target


def _point(ctx: Context, target: _Target, axis: int, item: Item) -> None:
    length = target.shape[axis]
    if isinstance(item, ir.Value):
        array = ctx.array_of(item)
        if array is not None and isinstance(length, int):
            target.positions[axis] = np.atleast_1d(array) % length
        else:
            vector = plain_index(ctx, item)
            target.vectors[axis] = ctx.reshape(vector, (product(ctx.shape_of(item)),))
    elif isinstance(item, slice):
        bounds = (item.start, item.stop, item.step)
        if isinstance(length, int) and all(isinstance(bound, int | None) for bound in bounds):
            if len(range(length)[item]) != length:
                target.positions[axis] = np.arange(length)[item]
        elif item != _WHOLE:
            target.spans[axis] = _span(item)
    elif isinstance(item, int) and isinstance(length, int):
        target.positions[axis] = np.array([item % length])
    elif isinstance(item, int):
        target.spans[axis] = (item, item + 1 if item != -1 else None)
    elif item is not None:
        target.spans[axis] = (item, f"({item})+1")


def _span(item: slice) -> tuple[Dim, Dim | None]:
    """Return where a slice of an open axis starts and stops; it must be clear which comes first."""
    start, stop = item.start or 0, item.stop
    numbers = isinstance(start, int) and isinstance(stop, int)
    ordered = numbers and (start < 0) == (stop < 0) and start <= stop
    if item.step not in (None, 1) or not (start == 0 or stop is None or ordered):
        raise Unsupported("a write to a slice of an open axis that may be empty")
    if not isinstance(start, int | str) or not isinstance(stop, int | str | None):
        raise Unsupported("a write to a slice whose bounds are computed")
    return start, stop


def _placed(ctx: Context, base: ir.Value, target: _Target, value: ir.Value) -> ir.Value:
    """Write a value whose axes are those of the whole."""
    if len(target.spans) + len(target.vectors) > 1:
        raise Unsupported("a write to several places that are computed")
    if target.spans:
        return _spliced(ctx, base, target, value)
    if target.vectors:
        region = base
        for axis, positions in target.positions.items():
            region = gathered(ctx, region, ctx.ints(list(positions)), axis)
        ((axis, vector),) = target.vectors.items()
        shape = list(ctx.shape_of(region))
        shape[axis] = ctx.shape_of(vector)[0]
        value = scattered_along(ctx, region, axis, vector, expanded(ctx, value, shape))
        if not target.positions:
            return value
    return placed(ctx, base, target.positions, value)


def _spliced(ctx: Context, base: ir.Value, target: _Target, value: ir.Value) -> ir.Value:
    """Write to a span of an open axis: what is before, the new, and what is after."""
    ((axis, (start, stop)),) = target.spans.items()
    info = ctx.info_of(base)
    shape = list(info.shape)
    shape[axis] = 1 if axis not in target.layout else UNKNOWN
    cuts = {axis: (start, END if stop is None else stop, 1)}
    middle = sliced(ctx, base, cuts, shape)
    if target.positions:
        middle = placed(ctx, middle, target.positions, value)
    elif ctx.shape_of(value) != tuple(shape):
        middle = ctx.know(
            ctx.op("Expand", value, ctx.op("Shape", middle)), TensorInfo(tuple(shape), info.dtype)
        )
    else:
        middle = value
    shape[axis] = UNKNOWN
    before = [] if start == 0 else [sliced(ctx, base, {axis: (0, start, 1)}, shape)]
    after = [] if stop is None else [sliced(ctx, base, {axis: (stop, END, 1)}, shape)]
    return ctx.know(joined(ctx, [*before, middle, *after], axis), info)


def placed(ctx: Context, base: ir.Value, positions: Positions, value: ir.Value) -> ir.Value:
    """Write a value, whose axes are the last ones of the whole, to known positions.

    One that is the same for all positions goes in by Where; any other is laid out along its axes
    first, or joined to the rest of the only axis.
    """
    shape, given = ctx.shape_of(base), ctx.shape_of(value)
    extents = (*[1] * (len(shape) - len(given)), *given)
    if any(len(p) == 0 for p in positions.values()):
        return base
    if not positions:
        return expanded(ctx, value, shape)
    known = _assigned(ctx, base, positions, value)
    if known is not None:
        return known
    varying = [axis for axis in positions if extents[axis] != 1]
    if len(varying) == len(positions) == 1:
        (axis,) = varying
        wanted = [*shape[:axis], extents[axis], *shape[axis + 1 :]]
        rest = _edge(positions[axis], ctx.size_of(base, axis))
        if rest is not None and list(extents) == wanted:
            kept = cut(ctx, base, axis, *rest)
            parts = [value, kept] if rest[1] is None else [kept, value]
            return joined(ctx, parts, axis)
    value = _laid_out(ctx, base, {axis: positions[axis] for axis in varying}, value)
    return chosen(ctx, _mask(ctx, base, positions), value, base, shape)


def _assigned(
    ctx: Context, base: ir.Value, positions: Positions, value: ir.Value
) -> ir.Value | None:
    """Write a constant to a constant, here and now."""
    old, new = ctx.array_of(base), ctx.array_of(value)
    if old is None or new is None:
        return None
    made = old.copy()
    made[_grid(old.shape, positions)] = new
    return ctx.constant(made, ctx.info_of(base).dtype)


def _grid(shape: Sequence[int], positions: Positions) -> tuple[npt.NDArray[np.int64], ...]:
    return np.ix_(*(positions.get(axis, np.arange(n)) for axis, n in enumerate(shape)))


def _edge(positions: npt.NDArray[np.int64], length: int) -> tuple[int, int | None] | None:
    """Return what is left of an axis where the positions are its begin or its end."""
    count = len(positions)
    if np.array_equal(positions, np.arange(count)):
        return count, None
    return (0, length - count) if np.array_equal(positions, np.arange(length)[-count:]) else None


def _laid_out(ctx: Context, base: ir.Value, positions: Positions, value: ir.Value) -> ir.Value:
    """Return the value as long as the whole along some axes; what is between does not matter."""
    offset = len(ctx.shape_of(base)) - len(ctx.shape_of(value))
    side_by_side = all(np.all(np.diff(found) == 1) for found in positions.values())
    if positions and side_by_side and ctx.info_of(value).dtype != "int16":
        shape = list(ctx.shape_of(value))
        before, after = [0] * len(shape), [0] * len(shape)
        for axis, found in positions.items():
            shape[axis - offset] = length = ctx.size_of(base, axis)
            before[axis - offset] = int(found[0])
            after[axis - offset] = length - 1 - int(found[-1])
        made = ctx.op("Pad", value, ctx.ints([*before, *after]))
        return ctx.know(made, TensorInfo(tuple(shape), ctx.info_of(base).dtype))
    for axis, found in positions.items():
        source = np.zeros(ctx.size_of(base, axis), np.int64)
        source[found] = np.arange(len(found))
        value = gathered(ctx, value, ctx.ints(source.tolist()), axis - offset)
    return value


def _mask(ctx: Context, base: ir.Value, positions: Positions) -> ir.Value:
    """Return truth at the positions, as small as it broadcasts, ones in front left out."""
    first = min(positions)
    lengths = [
        ctx.size_of(base, axis) if axis in positions else 1
        for axis in range(first, len(ctx.shape_of(base)))
    ]
    mask = np.zeros(lengths, np.bool_)
    mask[_grid(lengths, {axis - first: found for axis, found in positions.items()})] = True
    return ctx.constant(mask, "bool")
