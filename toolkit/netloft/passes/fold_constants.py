"""Compute now what does not depend on the inputs.

Given:
    %w = get_attr(scale)
    %e = exp(%w)
    %y = mul(%x, %e)

Result:
    %folded = get_attr(folded)   the exponential, worked out in float64 and rounded once
    %y = mul(%x, %folded)

Leaves alone:
    Results that follow the batch, those much larger than what they are made from, and those that
    hang on a rounding, as the floor of 6.9999999 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.graph import annotation
from netloft.passes.edit import Edit, called
from netloft.passes.remove_dead import remove_dead
from netloft.passes.wide import called_wide, widened
from netloft.tracing.faithful import flatten_outputs

__all__ = ["fold_constants"]

LARGEST = 2**18
"""Elements of a result that is worth keeping in the file whatever it was made from: 1 MiB.

A Swin of videos makes matrices of up to 5 million elements out of small tables, 24 times over; kept
in the file, they would double it. ONNX Runtime works them out when it loads the file."""

ROUNDINGS = 64
"""Units in the last place that a result may be away from float64; more hangs on a branch."""


@dataclass(frozen=True)
class _Known:
    """What a node gives: as the module itself computes it, and in float64.

    A weight is widened when it is read; most are read by nothing that is constant.
    """

    own: Any
    computed: Any = None

    @property
    def wide(self) -> Any:
        return widened(self.own) if self.computed is None else self.computed


def fold_constants(edit: Edit) -> None:
    """Replace what is known by its value."""
    known: dict[fx.Node, _Known] = {}
    hanging: set[fx.Node] = set()
    for node, record in edit:
        tensor = edit.tensor_of(node)
        if tensor is not None:
            known[node] = _Known(tensor)
        elif _is_known(node, record, known):
            found = _computed(edit, node, known)
            if found is None:  # and what it reads is computed as the module does, to the last bit
                hanging.update(node.all_input_nodes)
            else:
                known[node] = found
    folded = [node for node in known if node not in hanging and _is_folded(node, known)]
    origins = {node: _origins(node) for node in folded}
    made = {node: _replaced(edit, node, known[node].wide) for node in folded}
    if folded:
        remove_dead(edit)
        _hand_over_parameters(edit, {made[node]: origins[node] for node in folded})


def _computed(edit: Edit, node: fx.Node, known: dict[fx.Node, _Known]) -> _Known | None:
    module = edit.module_of(node) if node.op == "call_module" else None
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: known[n].wide)
    try:
        with torch.no_grad():
            own = called(node, lambda n: known[n].own, module)
            wide = called_wide(node.op, module or node.target, args, kwargs)
    except Exception:  # noqa: BLE001 - no such call in float64, or none on its own
        return None
    pairs = zip(flatten_outputs(own).values(), flatten_outputs(wide).values(), strict=True)
    return _Known(own, wide) if all(_is_near(*pair) for pair in pairs) else None


def _is_near(own: torch.Tensor, wide: torch.Tensor) -> bool:
    if not own.dtype.is_floating_point:
        return torch.equal(own, wide)
    near = ROUNDINGS * torch.finfo(own.dtype).eps
    single, double = own.detach().double(), wide.detach().double()
    scale = float(single.abs().nan_to_num().max()) if single.numel() else 0.0
    return torch.allclose(single, double, rtol=near, atol=near * scale, equal_nan=True)


def _is_folded(node: fx.Node, known: dict[fx.Node, _Known]) -> bool:
    own, info = known[node].own, annotation(node).value
    if node.op == "get_attr" or not _is_read(node, known) or not isinstance(own, torch.Tensor):
        return False
    return info == TensorInfo(tuple(own.shape), str(own.dtype).removeprefix("torch."))


def _replaced(edit: Edit, node: fx.Node, value: torch.Tensor) -> fx.Node:
    record = annotation(node)
    edit.note(node, f"{record.op} of constants computed")
    made = edit.constant(node, value.contiguous(), record)
    edit.replace(node, made)
    return made


def _origins(node: fx.Node) -> list[fx.Node]:
    """Return a node and all that it is computed from."""
    found: dict[fx.Node, None] = {}
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            waiting += each.all_input_nodes
    return list(found)


def _hand_over_parameters(edit: Edit, origins: dict[fx.Node, list[fx.Node]]) -> None:
    """Let the first constant that was made from a parameter count it, once no node reads it."""
    told = set(edit.fx.nodes)
    for constant, nodes in origins.items():
        records = [annotation(node) for node in nodes if node not in told]
        told.update(nodes)
        names = tuple(name for record in records for name in record.parameters)
        edit.set(constant, parameters=names, n_params=sum(r.n_params for r in records))


def _is_read(node: fx.Node, known: dict[fx.Node, _Known]) -> bool:
    return any(user not in known for user in node.users)


def _is_known(node: fx.Node, record: Annotation, known: dict[fx.Node, _Known]) -> bool:
    if node.op in ("placeholder", "output") or record.op in ("assert", "dropout"):
        return False
    infos = tensors(record.value)
    lengths = [d for info in infos for d in info.shape]
    if not infos or not all(isinstance(d, int) for d in lengths):
        return False
    inputs = [n for n in node.all_input_nodes if tensors(annotation(n).value)]
    if len(inputs) < len(node.all_input_nodes) or not all(n in known for n in inputs):
        return False
    size = sum(_elements(info.shape) for info in infos)
    given = sum(_elements(i.shape) for n in inputs for i in tensors(annotation(n).value))
    return size <= max(LARGEST, 2 * given)


def _elements(shape: tuple[Any, ...]) -> int:
    product = 1
    for length in shape:
        product *= int(length)
    return product
