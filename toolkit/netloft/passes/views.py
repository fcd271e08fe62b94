"""Views: which part of their operand they show, and how a write through them is put back."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.graph import annotation
from netloft.passes.edit import Edit, NotFunctionalError, called, info_of
from netloft.passes.pure import setitem

__all__ = ["REGROUPING", "axes_order", "gives_parts", "put_back", "repeats_elements"]

REGROUPING = {"reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze"}
"""Operations that keep the order of the elements; `view(dtype)` is one by name alone."""

_PERMUTING = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "adjoint"}
_SPLITTING = {"chunk", "split", "tensor_split"}
_TURNED = ("T", "mT", "H", "mH")
_REPEATING = {"expand", "expand_as", "broadcast_to", "broadcast_tensors", "meshgrid", "unfold",
              "as_strided"}  # fmt: skip
_SAME = {"identity", "dropout", "feature_dropout", "stochastic_depth", "to", "float", "double",
         "getattr", "expand", "expand_as", "broadcast_to"}  # fmt: skip


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
    order = axes_order(view)
    if order is not None:
        made = _known(record, "permute", whole)
        inverse = [order.index(axis) for axis in range(len(order))]
        return edit.insert(before, "call_function", torch.permute, (piece, inverse), made)
    if record.op in _SAME and info_of(view) == info_of(base):
        return piece
    if record.op in REGROUPING and _same_type(view, base):
        made = _known(record, "reshape", whole)
        return edit.insert(before, "call_method", "reshape_as", (piece, base), made)
    index = _index(view, record, base)
    if index is None:
        raise NotFunctionalError(
            f"a write through %{view.name} ({record.op}), which cannot be put back"
        )
    made = _known(record, "setitem", whole)
    return edit.insert(before, "call_function", setitem, (base, index, piece), made)


def gives_parts(node: fx.Node) -> bool:
    """Tell whether a node gives a tuple of tensors, of which there may be only one."""
    return info_of(node) is None or annotation(node).op in _SPLITTING | {"unbind"}


def repeats_elements(view: fx.Node, operand: fx.Node) -> bool:
    """Tell whether several elements of a view may be one element of its operand."""
    return annotation(view).op in _REPEATING and info_of(view) != info_of(operand)


def _same_type(node: fx.Node, other: fx.Node) -> bool:
    first, second = info_of(node), info_of(other)
    return first is not None and second is not None and first.dtype == second.dtype


def _known(record: Annotation, op: str, whole: Annotation) -> Annotation:
    return dataclasses.replace(
        record, op=op, family="shape", attributes={}, value=whole.value, plain=None, macs=0,
        n_params=0, parameters=(), memory=(), bytes_out=whole.bytes_out,
    )  # fmt: skip


def _argument(view: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument; the number where a node gives one."""
    given = view.args[position] if len(view.args) > position else view.kwargs.get(name, default)
    is_number = isinstance(given, fx.Node) and annotation(given).value is None
    return annotation(given).plain if isinstance(given, fx.Node) and is_number else given


def axes_order(view: fx.Node) -> list[int] | None:
    """Return, for each axis of a permuted result, the axis of the operand that it was.

    None where the node does not permute. How it does is read off the strides of an empty tensor.
    """
    info = info_of(view)
    turned = view.target is getattr and view.args[1] in _TURNED
    if info is None or not (turned or annotation(view).op in _PERMUTING):
        return None
    sample = torch.empty([2] * len(info.shape), device="meta")
    made = called(view, lambda n: annotation(n).plain if annotation(n).value is None else sample)
    strides = list(sample.stride())
    return [strides.index(stride) for stride in made.stride()]


def _index(view: fx.Node, record: Annotation, base: fx.Node) -> Any:
    """Return the index that shows what the view shows; None where there is none."""
    whole = info_of(base)
    if record.op == "getitem":
        parts = view.args[0]
        if isinstance(parts, fx.Node) and gives_parts(parts):
            return _part_index(view, parts, whole)
        return view.args[1] if _is_basic(view.args[1]) else None
    dim = _argument(view, 1, "dim")
    if record.op == "select":
        index = _argument(view, 2, "index")
        return _along(dim, index, whole) if isinstance(index, int) else None
    if record.op == "narrow":
        return _narrow_index(dim, _argument(view, 2, "start"), _argument(view, 3, "length"), whole)
    return None


def _narrow_index(dim: Any, start: Any, length: Any, whole: TensorInfo | None) -> Any:
    numbers = isinstance(start, int) and isinstance(length, int) and isinstance(dim, int)
    if not numbers or whole is None:
        return None
    size = whole.shape[dim]
    if start < 0 and not isinstance(size, int):
        return None
    begin = start + size if start < 0 else start
    return _along(dim, slice(begin, begin + length), whole)


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
    if whole is None or not isinstance(number, int):
        return None
    dim = _argument(parts, 1 if record.op == "unbind" else 2, "dim", 0)
    if record.op == "unbind":
        return _along(dim, number, whole)
    if record.op not in _SPLITTING or not isinstance(dim, int):
        return None
    axis = dim % len(whole.shape)
    lengths = [info.shape[axis] for info in tensors(record.value)]
    known = [length for length in lengths if isinstance(length, int)]
    if len(known) < len(lengths):
        return None
    number %= len(known)
    start = sum(known[:number])
    return _along(axis, slice(start, start + known[number]), whole)
