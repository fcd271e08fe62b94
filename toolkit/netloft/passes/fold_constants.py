"""Compute now what does not depend on the inputs.

Given:
    %w = get_attr(scale)
    %e = exp(%w)
    %y = mul(%x, %e)

Result:
    %folded = get_attr(folded)   the exponential, worked out in float64 and rounded once
    %y = mul(%x, %folded)

Leaves alone:
    Results that follow the batch, and those much larger than what they are made from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import Annotation
from netloft.graph.cost import tensors
from netloft.passes.edit import Edit
from netloft.passes.remove_dead import remove_dead
from netloft.passes.wide import WideInterpreter

__all__ = ["fold_constants"]

LARGEST = 2**22
"""Elements of a result that is worth keeping in the file whatever it was made from: 16 MiB."""


def fold_constants(edit: Edit) -> None:
    """Replace what is known by its value."""
    known: dict[fx.Node, Any] = {}
    for node, record in edit:
        if node.op == "get_attr":
            tensor = edit.tensor_of(node)
            if tensor is not None:
                known[node] = tensor
        elif _is_known(node, record, known):
            known[node] = WideInterpreter.evaluate(edit, node, known)
    folded = [
        node for node, value in known.items() if node.op != "get_attr" and _is_read(node, known)
        and isinstance(value, torch.Tensor)
    ]  # fmt: skip
    for node in folded:
        value, record = known[node], node.meta["netloft"]
        edit.note(node, f"{record.op} of constants computed")
        edit.replace(node, edit.constant(node, value.contiguous(), record))
    if folded:
        remove_dead(edit)


def _is_read(node: fx.Node, known: dict[fx.Node, Any]) -> bool:
    return any(user not in known for user in node.users)


def _is_known(node: fx.Node, record: Annotation, known: dict[fx.Node, Any]) -> bool:
    if node.op in ("placeholder", "output") or record.op in ("assert", "dropout"):
        return False
    infos = tensors(record.value)
    lengths = [d for info in infos for d in info.shape]
    if not infos or not all(isinstance(d, int) for d in lengths):
        return False
    inputs = [n for n in node.all_input_nodes if tensors(n.meta["netloft"].value)]
    if len(inputs) < len(node.all_input_nodes) or not all(n in known for n in inputs):
        return False
    size = sum(_elements(info.shape) for info in infos)
    given = sum(_elements(i.shape) for n in inputs for i in tensors(n.meta["netloft"].value))
    return size <= max(LARGEST, 2 * given)


def _elements(shape: tuple[Any, ...]) -> int:
    product = 1
    for length in shape:
        product *= int(length)
    return product
