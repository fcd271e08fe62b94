"""Which of a graph's tensors live in the same memory, seen in runs without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from netloft.graph.ops import op_of, writes

__all__ = ["may_share_at_one", "shared_memory"]

_COPIES_IF_IT_MUST = {"reshape", "flatten", "unflatten"}

_Home = tuple[str, int]
"""A memory: the first node that has it, and which of its tensors."""


def shared_memory(runs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Number the memories of all tensors, by node name.

    Args:
        runs: What each node gives, by name, at several batch sizes.

    Returns:
        A number for each tensor of a node, and behind these the numbers of what it shares memory
        with at some of the batch sizes only.
    """
    numbers: dict[_Home, int] = {}
    found: dict[str, list[int]] = {}
    for homes in map(_homes, runs):
        for name, theirs in homes.items():
            known = found.setdefault(name, [])
            more = [numbers.setdefault(home, len(numbers)) for home in theirs]
            known += more if not known else [n for n in more if n not in known]
    return {name: tuple(known) for name, known in found.items()}


def _homes(values: Mapping[str, Any]) -> dict[str, list[_Home]]:
    first: dict[int, _Home] = {}
    return {
        name: [
            first.setdefault(tensor.untyped_storage()._cdata, (name, index))
            for index, tensor in enumerate(_tensors(value))
        ]
        for name, value in values.items()
    }


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def may_share_at_one(module: fx.GraphModule, memory: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether something that is copied here may be a view for a batch of one, and matter.

    `x.chunk(2, 1)[0].contiguous()` is a copy of a part, but for one item, where the part lies in
    one piece; a write to it reaches `x` then.
    """
    written = set[int]()
    for node in module.graph.nodes:
        if writes(node, module):
            written.update(*(memory[n.name] for n in (node, *node.all_input_nodes)))
    return any(
        _is_copy(node, module, memory)
        and not written.isdisjoint((*memory[node.name], *memory[node.all_input_nodes[0].name]))
        for node in module.graph.nodes
    )


def _is_copy(node: fx.Node, module: fx.GraphModule, memory: Mapping[str, tuple[int, ...]]) -> bool:
    if node.target != "contiguous" and op_of(node, module) not in _COPIES_IF_IT_MUST:
        return False
    operands = node.all_input_nodes[:1]
    return bool(operands) and set(memory[node.name]).isdisjoint(memory[operands[0].name])
