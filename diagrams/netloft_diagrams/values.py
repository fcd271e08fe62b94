"""Writes in place as values, so that a drawing shows who reads what was written."""

from __future__ import annotations

from torch import fx

from netloft.graph import Annotation, Graph, annotation
from netloft.graph.ops import is_inplace
from netloft.passes import NotFunctionalError, run_passes

__all__ = ["as_values"]


def as_values(graph: Graph) -> Graph:
    """Return a graph whose writes into a part of a tensor give the tensor anew.

    A graph without such writes, or with one that no value stands for, is returned as it is.
    """
    if not any(_writes_a_part(graph, node, record) for node, record in graph):
        return graph
    try:
        return run_passes(graph, ()).graph
    except NotFunctionalError:
        return graph


def _writes_a_part(graph: Graph, node: fx.Node, record: Annotation) -> bool:
    if record.op == "setitem":
        return True
    written = node.all_input_nodes[:1]
    views = [n for n in written if n.op != "placeholder" and annotation(n).family == "shape"]
    return bool(views) and is_inplace(node, graph.module)
