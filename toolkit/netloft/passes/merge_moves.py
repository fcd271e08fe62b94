"""Make one of two moves in a row.

Given:
    %a = permute(%x, (0, 2, 3, 1))
    %b = permute(%a, (0, 3, 1, 2))
    %c = flatten(%b, 1)
    %d = reshape(%c, 2, 8)

Result:
    %d = reshape(%x, 2, 8)     the two permutations undo each other

Leaves alone:
    A first move that something else reads too: it is made anyway. Pads of unlike values, and crops.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.annotation import Annotation
from netloft.graph.graph import annotation
from netloft.passes.edit import Edit, info_of
from netloft.passes.remove_dead import remove_dead
from netloft.passes.views import REGROUPING, axes_order

__all__ = ["merge_moves", "pads_of"]


def merge_moves(edit: Edit) -> None:
    """Merge pairs of permutations, of reshapes and of pads, until none is left."""
    changes = edit.changes
    for node, record in edit:
        if node.op in ("placeholder", "output") or not node.args:
            continue
        first = node.args[0]
        if not isinstance(first, fx.Node) or first.op == "placeholder" or len(first.users) != 1:
            continue
        made = _merged(edit, node, first)
        if made is not None:
            edit.note(node, f"{annotation(first).op} and {record.op} in one")
            edit.replace(node, made)
            edit.erase(first)
    if edit.changes > changes:
        remove_dead(edit)  # sizes that a reshape was given


def _merged(edit: Edit, node: fx.Node, first: fx.Node) -> fx.Node | None:
    record, before = annotation(node), annotation(first)
    if not first.args or not isinstance(first.args[0], fx.Node):
        return None
    outer, inner = axes_order(node), axes_order(first)
    if outer is not None and inner is not None:
        order = [inner[axis] for axis in outer]
        made = _known(record, "permute")
        return edit.insert(node, "call_function", torch.permute, (first.args[0], order), made)
    if record.op in REGROUPING and before.op in REGROUPING:
        return _reshaped(edit, node, first, record)
    if record.op == "pad" and before.op == "pad":
        return _padded(edit, node, first, record)
    return None


def _reshaped(edit: Edit, node: fx.Node, first: fx.Node, record: Annotation) -> fx.Node | None:
    operand = first.args[0]
    assert isinstance(operand, fx.Node)
    info, given = info_of(node), info_of(operand)
    if info is None or given is None or 0 in info.shape or info.dtype != given.dtype:
        return None  # another element type: a view of the same bytes
    open_lengths = sum(not isinstance(dim, int) for dim in info.shape)
    if open_lengths > 1:
        return None
    shape = [dim if isinstance(dim, int) else -1 for dim in info.shape]
    made = _known(record, "reshape")
    return edit.insert(node, "call_function", torch.reshape, (operand, shape), made)


def _known(record: Annotation, op: str) -> Annotation:
    return dataclasses.replace(record, op=op, attributes={}, memory=())


def _padded(edit: Edit, node: fx.Node, first: fx.Node, record: Annotation) -> fx.Node | None:
    inner, outer = pads_of(edit, first), pads_of(edit, node)
    if inner is None or outer is None or inner[1] != outer[1]:
        return None
    size = max(len(inner[0]), len(outer[0]))
    padded = [[*pads, *[0] * (size - len(pads))] for pads, _ in (inner, outer)]
    pads = [a + b for a, b in zip(*padded, strict=True)]
    made = dataclasses.replace(record, attributes={**record.attributes, "pad": pads}, memory=())
    return edit.insert(
        node, "call_function", F.pad, (first.args[0], pads, "constant", outer[1]), made
    )


def pads_of(edit: Edit, node: fx.Node) -> tuple[list[int], float] | None:
    """Return the pads of a constant pad, last axis first, and its value; None for any other."""
    if node.op == "call_module":
        module: Any = edit.module_of(node)
        kind = type(module).__name__
        if kind not in {f"{which}Pad{n}d" for which in ("Zero", "Constant") for n in (1, 2, 3)}:
            return None
        pads, value = list(module.padding), getattr(module, "value", 0.0)
    else:
        names = ("input", "pad", "mode", "value")
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        if given.get("mode", "constant") != "constant":
            return None
        pads, value = list(given["pad"]), given.get("value") or 0.0  # type: ignore[arg-type]
    numbers = all(type(pad) is int and pad >= 0 for pad in pads)
    return (pads, float(value)) if numbers and isinstance(value, int | float) else None
