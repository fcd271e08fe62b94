"""Drop operations that give what they are given.

Given:
    %a = dropout(%x)        in eval mode, or contiguous(%x) in front of a view
    %b = reshape(%a, 2, 8)  which has that shape already
    %c = to(%b, float32)    which has that type already
    %d = relu(%c)

Result:
    %d = relu(%x)

Leaves alone:
    Dropout that was forced on; a result that is an output while its operand is an input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import Annotation
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import annotation
from netloft.passes.edit import Edit, info_of
from netloft.passes.remove_dead import remove_dead
from netloft.passes.views import REGROUPING, axes_order

__all__ = ["remove_identity"]

# Same shape and element type in and out: then nothing happened.
_IDLE = REGROUPING | {
    "expand", "expand_as", "broadcast_to", "to", "float", "double", "half", "type", "type_as",
    "identity",
}  # fmt: skip
_DROPOUTS = {"dropout", "feature_dropout", "stochastic_depth"}


def remove_identity(edit: Edit) -> None:
    """Let the readers of such a node read its operand."""
    changes = edit.changes
    for node, record in edit:
        operand = node.args[0] if node.args else node.kwargs.get("input")
        if isinstance(operand, tuple | list) and len(operand) == 1:
            operand = operand[0]
        if not isinstance(operand, fx.Node) or node.op in ("output", "placeholder", "get_attr"):
            continue
        if _is_alike(node, operand) and _does_nothing(node, record) and not _is_bare(node, operand):
            edit.note(node, f"{record.op} changes nothing")
            edit.replace(node, operand)
    if edit.changes > changes:
        _reshape_views(edit)
        remove_dead(edit)  # sizes that a reshape was given


def _reshape_views(edit: Edit) -> None:
    """Turn `view` into `reshape`, which needs no `contiguous` before it; a value has no memory."""
    for node, record in edit:
        if node.op == "call_method" and record.op == "reshape" and not _is_cast(node):
            node.target = {"view": "reshape", "view_as": "reshape_as"}.get(
                str(node.target), node.target
            )


def _is_cast(node: fx.Node) -> bool:
    """Tell whether a `view` reads the same bytes as another element type."""
    return any(isinstance(value, torch.dtype) for value in (*node.args, *node.kwargs.values()))


def _is_alike(node: fx.Node, operand: fx.Node) -> bool:
    """Tell whether shape and element type are the same; two unknown lengths may have changed."""
    info = info_of(node)
    return info is not None and info == info_of(operand) and info.shape.count(UNKNOWN) < 2


def _is_bare(node: fx.Node, operand: fx.Node) -> bool:
    """An input handed straight through keeps its one node, which an output needs."""
    return operand.op == "placeholder" and any(user.op == "output" for user in node.users)


def _does_nothing(node: fx.Node, record: Annotation) -> bool:
    order = axes_order(node)
    if record.op in _IDLE or (order is not None and order == sorted(order)):
        return True
    if record.op in _DROPOUTS:
        return node.op == "call_module" or record.attributes.get("training") is False
    rule = _RULES.get(record.op)
    return rule is not None and rule(node, record)


def _takes_all(node: fx.Node, record: Annotation) -> bool:
    info = info_of(node)
    assert info is not None
    index = node.args[1]
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if dots:
        items[dots[0] : dots[0] + 1] = [slice(None)] * (len(info.shape) - len(items) + 1)
    return all(
        isinstance(item, slice) and (item == slice(None) or type(length) is int)
        # an open axis that is cut at 2,000 is as long as before for all that was tried
        for item, length in zip(items, info.shape, strict=False)
    )


def _by_one(node: fx.Node, record: Annotation) -> bool:
    if len(node.args) != 2 or node.kwargs:  # a rounding mode
        return False
    return type(node.args[1]) in (int, float) and bool(node.args[1] == 1)


def _is_one_tensor(node: fx.Node, record: Annotation) -> bool:
    return isinstance(node.args[0], tuple | list) and len(node.args[0]) == 1


def _pads_nothing(node: fx.Node, record: Annotation) -> bool:
    # a pad of some and a crop of as much gives the same shape and other values
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    return isinstance(pads, tuple | list) and all(type(pad) is int and pad == 0 for pad in pads)


def _same_size(node: fx.Node, record: Annotation) -> bool:
    info = annotation(node.all_input_nodes[0])
    return info.shape is not None and all(isinstance(d, int) for d in info.shape[2:])


_RULES: dict[str, Callable[[fx.Node, Annotation], Any]] = {
    "getitem": _takes_all,
    "mul": _by_one,
    "div": _by_one,
    "cat": _is_one_tensor,
    "pad": _pads_nothing,
    **{f"adaptive_avg_pool{n}d": _same_size for n in (1, 2, 3)},
}
