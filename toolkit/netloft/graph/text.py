"""The graph as text: what tests compare and `netloft trace --text` prints."""

from __future__ import annotations

from netloft.graph.annotation import Annotation
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph

__all__ = ["print_graph"]


def print_graph(graph: Graph, *, sources: bool = False) -> str:
    """Return one line a node; the same graph always gives the same text.

    Args:
        graph: What to print.
        sources: Add the line of the user's code that made each node.
    """
    return "".join(_line(node, record, sources) for node, record in graph)


def _line(node: object, record: Annotation, sources: bool) -> str:
    from torch import fx

    assert isinstance(node, fx.Node)
    shapes = ", ".join(map(str, tensors(record.value))) or "()"
    operands = ", ".join(f"%{n.name}" for n in node.all_input_nodes)
    where = f"  # {record.calls[-1]}" if record.calls and record.module else ""
    source = f"  @ {record.source}" if sources and record.source else ""
    return f"%{node.name}: {shapes} = {record.op}({operands}){where}{source}\n"
