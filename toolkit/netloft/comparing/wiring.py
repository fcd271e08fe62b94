"""What each operation reads: of which operation, which of its results, and how written over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import fx

from netloft.graph.annotation import Annotation
from netloft.graph.graph import Graph
from netloft.graph.ops import writes

__all__ = ["Read", "Wiring", "is_part"]


class Read(NamedTuple):
    """One operand.

    Attributes:
        position: Of the entry that gives it.
        part: Which of the entry's results it is; empty where it has one.
        parts: All of its results that are read, in order.
        written: Position of the entry that wrote over a part of it last; -1 where none did. One
            that wrote over all of it is what is read.
    """

    position: int
    part: tuple[object, ...] = ()
    parts: tuple[object, ...] = ()
    written: int = -1


class Wiring:
    """Follow the values of a graph, those that are written in place too."""

    def __init__(self, graph: Graph, at: Mapping[fx.Node, int]) -> None:
        self._at = at
        self._order: dict[fx.Node, int] = {}
        self._wholly: set[fx.Node] = set()
        self._writers: list[tuple[int, fx.Node, frozenset[int]]] = []
        for i, (node, record) in enumerate(graph):
            self._order[node] = i
            if graph.file is None and node.all_input_nodes and writes(node, graph.module):
                first = node.kwargs.get("out") or node.all_input_nodes[0]
                known = first.meta.get("netloft") if isinstance(first, fx.Node) else None
                memory = known.memory if isinstance(known, Annotation) else record.memory
                self._writers.append((i, node, frozenset(memory)))
                if record.op != "setitem" and "out" not in node.kwargs:
                    self._wholly.add(node)

    def reads(self, node: fx.Node) -> tuple[Read, ...]:
        """Return what a node reads, in order; what is read twice is there twice."""
        found = []
        for operand in operands(node):
            if operand in self._at:
                parts = _parts(_giver(operand)) if _part(operand) else ()
                writer = self._writer(operand, node)
                if writer is None:
                    found.append(Read(self._at[operand], _part(operand), parts))
                elif self._root(writer) is self._root(operand):  # all of it was written over
                    found.append(Read(self._at[writer]))
                else:
                    found.append(Read(self._at[operand], _part(operand), parts, self._at[writer]))
        return tuple(found)

    def _root(self, node: fx.Node) -> fx.Node:
        """Return the value that a node wrote over, and all of it."""
        while node in self._wholly:
            node = node.all_input_nodes[0]
        return node

    def _writer(self, operand: fx.Node, reader: fx.Node) -> fx.Node | None:
        """Return the last that wrote over an operand between its making and its reading."""
        record = operand.meta.get("netloft")
        memory = set(record.memory) if isinstance(record, Annotation) else set()
        last = None
        for i, writer, written in self._writers:
            if self._order[operand] < i < self._order[reader] and memory & written:
                last = writer if writer in self._at else last
        return last


def operands(node: fx.Node) -> list[fx.Node]:
    """Return operands in order; one that is read twice is there twice."""
    found: list[fx.Node] = []

    def take(operand: fx.Node) -> fx.Node:
        found.append(operand)
        return operand

    fx.node.map_arg((node.args, node.kwargs), take)
    return found


def is_part(node: fx.Node, record: Annotation) -> bool:
    """Taking one of several results is no operation of its own."""
    if record.op != "getitem" or not node.all_input_nodes:
        return False
    before = node.all_input_nodes[0].meta.get("netloft")
    if not isinstance(before, Annotation):
        return False
    # the second result of an attention may be nothing at all
    return isinstance(before.value, tuple) or before.family in ("attention", "recurrent")


def _part(node: fx.Node) -> tuple[object, ...]:
    """Return the way to a value in the results of the node that gives it."""
    record = node.meta.get("netloft")
    if not isinstance(record, Annotation) or not is_part(node, record) or len(node.args) < 2:
        return ()
    before = node.all_input_nodes[0]
    return (*_part(before), _index(node.args[1], before))


def _index(index: object, before: fx.Node) -> object:
    record = before.meta.get("netloft")
    value = record.value if isinstance(record, Annotation) else None
    if isinstance(index, int) and index < 0 and isinstance(value, tuple):
        return index + len(value)
    return index if isinstance(index, int | str) else repr(index)


def _giver(node: fx.Node) -> fx.Node:
    while _part(node):
        node = node.all_input_nodes[0]
    return node


def _parts(giver: fx.Node) -> tuple[object, ...]:
    """Return all ways into the results of a node that are read, in order."""
    found: set[tuple[object, ...]] = set()
    waiting = list(giver.users)
    while waiting:
        user = waiting.pop()
        way = _part(user)
        if way and _giver(user) is giver:
            found.add(way)
            waiting += list(user.users)
    return tuple(sorted(found, key=repr))
