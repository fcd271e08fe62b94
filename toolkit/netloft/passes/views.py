"""Views: which part of their operand they show, and how a write through them is put back."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.graph import annotation
from netloft.passes.edit import Edit, NotFunctionalError, info_of
from netloft.passes.pure import setitem

__all__ = ["axes_order", "put_back"]

_REGROUPING = {"reshape", "flatten", "unflatten", "squeeze", "unsqueeze"}
_SAME = {"identity", "dropout", "feature_dropout", "stochastic_depth", "to", "float", "double"}


def put_back(edit: Edit, view: fx.Node, base: fx.Node, piece: fx.Node, before: fx.Node) -> fx.Node:
    """Return `base` with `piece` in the place that `view` shows.

    Args:
        edit: The graph.
        view: The node that made the view: of `base`, or of one part of what split `base`.
        base: The value that was viewed.
        piece: What was written through the view.
        before: Where new nodes go.

    Raises:
        NotFunctionalError: This kind of view cannot be put back.
    """
    record, whole = annotation(view), annotation(base)
    if record.op in _SAME and info_of(view) == info_of(base):
        return piece
    if record.op in _REGROUPING:
        made = _known(record, "reshape", whole.value)
        return edit.insert(before, "call_method", "reshape_as", (piece, base), made)
    if record.op in ("permute", "transpose", "swapaxes", "t"):
        made = _known(record, "permute", whole.value)
        order = _inverse(axes_order(view, record))
        return edit.insert(before, "call_function", torch.permute, (piece, order), made)
    index = _index(view, record, base)
    if index is None:
        raise NotFunctionalError(
            f"a write through %{view.name} ({record.op}), which cannot be put back"
        )
    made = _known(record, "setitem", whole.value)
    return edit.insert(before, "call_function", setitem, (base, index, piece), made)


def _known(record: Annotation, op: str, value: Any) -> Annotation:
    return dataclasses.replace(
        record, op=op, family="shape", attributes={}, value=value, plain=None, macs=0, n_params=0,
        parameters=(), memory=(),
    )  # fmt: skip


def _argument(view: fx.Node, position: int, name: str, default: Any = None) -> Any:
    if name in view.kwargs:
        return view.kwargs[name]
    return view.args[position] if len(view.args) > position else default


def axes_order(view: fx.Node, record: Annotation) -> list[int]:
    """Return, for each axis of a permuted result, the axis of the operand that it was."""
    value = record.value
    assert isinstance(value, TensorInfo)
    rank = len(value.shape)
    if record.op == "permute":
        dims = _argument(view, 1, "dims")
        given = list(dims) if isinstance(dims, list | tuple) else list(view.args[1:])
        return [d % rank for d in given if isinstance(d, int)]
    order = list(range(rank))
    if record.op == "t":
        return order[::-1]
    first = _argument(view, 1, "dim0", _argument(view, 1, "axis0"))
    second = _argument(view, 2, "dim1", _argument(view, 2, "axis1"))
    order[first], order[second] = order[second], order[first]
    return order


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _index(view: fx.Node, record: Annotation, base: fx.Node) -> Any:
    """Return the index that shows what the view shows; None where there is none."""
    whole = info_of(base)
    parts = view.args[0]
    if record.op == "getitem" and isinstance(parts, fx.Node) and info_of(parts) is None:
        return _part_index(view, parts, whole)
    if record.op == "getitem":
        return view.args[1] if _is_basic(view.args[1]) else None
    if record.op == "select":
        return _along(_argument(view, 1, "dim"), _argument(view, 2, "index"), whole)
    if record.op == "narrow":
        start, length = _argument(view, 2, "start"), _argument(view, 3, "length")
        if isinstance(start, int) and isinstance(length, int):
            return _along(_argument(view, 1, "dim"), slice(start, start + length), whole)
    return None


def _along(dim: Any, item: Any, whole: TensorInfo | None) -> Any:
    if whole is None or not isinstance(dim, int):
        return None
    return (*[slice(None)] * (dim % len(whole.shape)), item)


def _is_basic(index: Any) -> bool:
    items = index if isinstance(index, tuple) else (index,)
    return all(
        item is None or item is Ellipsis or isinstance(item, slice) or type(item) is int
        for item in items
    )


def _part_index(view: fx.Node, parts: fx.Node, whole: TensorInfo | None) -> Any:
    """Return the index of one part of a chunk, split or unbind in what was split."""
    record, number = annotation(parts), view.args[1]
    if whole is None or not isinstance(number, int) or not isinstance(record.value, tuple):
        return None
    dim = _argument(parts, 1 if record.op == "unbind" else 2, "dim", 0)
    if record.op == "unbind":
        return _along(dim, number, whole)
    if record.op not in ("chunk", "split", "tensor_split") or not isinstance(dim, int):
        return None
    axis = dim % len(whole.shape)
    lengths = [info.shape[axis] for info in record.value]
    known = [length for length in lengths if isinstance(length, int)]
    if len(known) < len(lengths):
        return None
    number %= len(known)
    start = sum(known[:number])
    return _along(axis, slice(start, start + known[number]), whole)
