"""Which value of a file is which of a module's graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from netloft.comparing import Difference, diff
from netloft.comparing.entry import Entry
from netloft.errors import CheckError
from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation
from netloft.locating.replaced import ends_of, with_replaced
from netloft.onnx_graph import GIVES
from netloft.passes import DEFAULT, NotFunctionalError, run_passes

__all__ = ["Matched", "Pair", "match"]

_FLOATS = ("float16", "float32", "float64")
_MOVES = ("shape", "input", "output", "parameter", "identity")
"""Families that round nothing: a fault there shows in what reads them."""


@dataclass(frozen=True)
class Pair:
    """One value on both sides.

    Attributes:
        node: Name of the graph's node that gives it.
        value: Its name in the file.
        step: Name of the file's node that gives it.
    """

    node: str
    value: str
    step: str


@dataclass(frozen=True)
class Matched:
    """A graph and a file, operation by operation.

    Attributes:
        graph: Without writes in place; compiled, where the file is.
        difference: All operations of either, aligned.
        pairs: The values that both have, in the order of the graph.
    """

    graph: Graph
    difference: Difference
    pairs: tuple[Pair, ...]


def match(graph: Graph, path: Path, header: onnx.ModelProto) -> Matched:
    """Match the operations of a module and of a file that any exporter made of it.

    A file whose norms were folded is held against the graph with its norms folded, and another
    one against the graph as it was traced: the one that has less to explain.

    Args:
        graph: As it was traced.
        path: The file.
        header: Its structure, with the nodes of its functions where they are called.

    Raises:
        CheckError: A write in place cannot be expressed as a value.
    """
    try:
        compiled = run_passes(graph, DEFAULT).graph
    except NotFunctionalError as reason:
        raise CheckError(
            f"layers are not compared: {reason}",
            remedy="netloft verify compares the outputs",
        ) from reason
    found = diff(compiled, path)
    if not found.equal:
        plain = run_passes(graph, ()).graph
        other = diff(plain, path)
        if _unlike(other) < _unlike(found):
            compiled, found = plain, other
    order = {node.name: i for i, (node, _) in enumerate(compiled)}
    found = with_replaced(found)
    pairs = sorted(_pairs(found, compiled, header), key=lambda pair: order[pair.node])
    return Matched(compiled, found, tuple(pairs))


def _unlike(found: Difference) -> int:
    return sum(change.kind in ("added", "removed", "changed") for change in found.changes)


def _pairs(found: Difference, graph: Graph, header: onnx.ModelProto) -> Iterator[Pair]:
    makers = {name: node.name for node in header.graph.node for name in node.output}
    ends = ends_of(found)
    seen: set[str] = set()
    for change in found.changes:
        if change.a is None or change.a.family in _MOVES:
            continue
        there = change.b or ends.get(change.a.position)
        value = _value(there, found.b) if there else ""
        node = _last(change.a, graph)
        if value in makers and value not in seen and _is_real(graph, node):
            seen.add(value)
            yield Pair(node, value, makers[value])


def _last(entry: Entry, graph: Graph) -> str:
    """Return the node that gives what the operation gives: a bias may stand behind a product."""
    if len(entry.node) == 1:
        return entry.node[0]
    return max(entry.node, key=[node.name for node in graph.module.graph.nodes].index)


def _value(entry: Entry, file: Graph) -> str:
    return str(file.node(_last(entry, file)).meta.get(GIVES, ""))


def _is_real(graph: Graph, name: str) -> bool:
    info = annotation(graph.node(name)).value
    return isinstance(info, TensorInfo) and info.dtype in _FLOATS
