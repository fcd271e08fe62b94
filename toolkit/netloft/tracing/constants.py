"""Tensors that forward makes out of numbers, such as `z = torch.zeros(3)`.

fx keeps one as a weight of the graph. It is right for as long as nobody writes to it: a write that
the graph records would change it for the next call, and one that is carried out while tracing
changes what was recorded before.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import fx, nn

from netloft.graph.ops import writes

__all__ = ["Watched", "fresh_constants"]

_PREFIX = "_tensor_constant"


class Watched:
    """Tensors that a graph reads, each as it was when it was read first."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[torch.Tensor, int]] = {}

    def read(self, tensor: torch.Tensor) -> None:
        """Note that the graph reads a tensor.

        Raises:
            fx.proxy.TraceError: It was written to since the graph read it first.
        """
        if tensor.is_inference():
            return
        _, version = self._seen.setdefault(id(tensor), (tensor, tensor._version))
        if tensor._version != version:
            raise fx.proxy.TraceError("a tensor is read, written to and read again")


def fresh_constants(graph: fx.Graph, root: nn.Module) -> None:
    """Let each call of the graph start with a copy of a constant that it writes to.

    Args:
        graph: As fx traced it.
        root: What it was traced from.

    Raises:
        fx.proxy.TraceError: Two of them share memory.
    """
    reads: defaultdict[int, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "get_attr" and str(node.target).startswith(_PREFIX):
            reads[getattr(root, str(node.target)).untyped_storage()._cdata].append(node)
    for nodes in reads.values():
        if any(_is_written(node, root) for node in nodes):
            _share_a_copy(graph, nodes)


def _is_written(node: fx.Node, root: nn.Module) -> bool:
    """Tell whether a write reaches a node, itself or through what may be a view of it."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        for user in each.users:
            target = user.kwargs.get("out") or user.all_input_nodes[0]
            if target is each and writes(user, root):
                return True
            if target is each:
                waiting.append(user)
    return False


def _share_a_copy(graph: fx.Graph, nodes: list[fx.Node]) -> None:
    first, *others = nodes
    if {node.target for node in others} - {first.target}:
        raise fx.proxy.TraceError("a tensor made in forward is written to through a view of it")
    with graph.inserting_after(first):
        made = graph.call_method("clone", (first,))
    made.meta = dict(first.meta)
    for node in nodes:
        node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)
    for node in others:
        graph.erase_node(node)
