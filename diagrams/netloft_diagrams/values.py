"""Writes in place as values, so that a drawing shows who reads what was written."""

from __future__ import annotations

from torch import fx

from netloft.graph import Graph, annotation
from netloft.graph.ops import writes
from netloft.passes import NotFunctionalError, run_passes

__all__ = ["as_values"]


def as_values(graph: Graph) -> Graph:
    """Return a graph whose writes give the tensor anew, for whoever reads it under an older name.

    A graph whose writes are read by their own results alone, as those of `nn.ReLU(inplace=True)`
    are, is returned as it is, and so is one with a write that no value stands for.
    """
    if not _hides_a_write(graph):
        return graph
    try:
        return run_passes(graph, ()).graph
    except NotFunctionalError:
        return graph


def _hides_a_write(graph: Graph) -> bool:
    """Tell whether something that was written is read again through a node from before that."""
    holders: dict[int, set[fx.Node]] = {}  # by memory, who has it
    stale: set[tuple[int, fx.Node]] = set()  # memory that was written since, and who had it
    for node, record in graph:
        if stale and any(
            (home, n) in stale for n in node.all_input_nodes for home in annotation(n).memory
        ):
            return True
        if writes(node, graph.module):
            homes = {home for n in _written(node) for home in annotation(n).memory}
            stale.update((home, n) for home in homes for n in holders[home])
        for home in record.memory:
            holders.setdefault(home, set()).add(node)
    return False


def _written(node: fx.Node) -> list[fx.Node]:
    """Return what a node writes to: its `out`, one tensor or several, or its first operand."""
    out = node.kwargs.get("out")
    operands = (*node.args, *node.kwargs.values())
    tensors = (value for value in operands if isinstance(value, fx.Node | tuple | list))
    given = out if out is not None else next(tensors, None)
    several = given if isinstance(given, tuple | list) else (given,)
    return [n for n in several if isinstance(n, fx.Node)]
