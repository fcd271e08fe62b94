"""Two graphs as one to draw: the second, with what was removed put in where it stood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from netloft.comparing import Change, Difference
from netloft.graph import Annotation, Graph, ModuleCall, Value, annotation
from netloft.graph.graph import KEY
from netloft.graph.module import make_module
from netloft.onnx_graph.stand_in import Operation, operation
from netloft_diagrams.mark import MARK, Mark

__all__ = ["merged"]


def merged(difference: Difference) -> Graph:
    """Return the union of two graphs; each node's meta holds its `Mark`.

    It is to be drawn, and does not run. What was removed counts no parameters, so that the totals
    are the second graph's.

    Args:
        difference: The two, aligned.
    """
    made = _Union(difference).run()
    a, b = difference.a, difference.b
    name = f"{a.name} → {b.name}" if a.name != b.name else b.name
    told = dict(difference.counts)
    told["not compared"] = told.pop("uncompared")
    counts = ", ".join(f"{n} {kind}" for kind, n in told.items() if n or kind != "not compared")
    return replace(
        b,
        module=make_module(made.root, made.graph, "Merged"),
        name=name,
        class_name=counts,
        inputs=tuple(made.inputs),
        outputs=tuple(replace(v, node=made.new[v.node].name) for v in b.outputs),
    )


@dataclass
class _Union:
    """Make the nodes.

    Attributes:
        difference: What to draw.
        graph: Grows.
        root: Holds what the nodes call.
        old: The node for each of the first graph, by its name there.
        new: Likewise for the second.
        inputs: Of both.
        calls: The second graph's module calls, by path and number.
    """

    difference: Difference
    graph: fx.Graph = field(default_factory=fx.Graph)
    root: nn.Module = field(default_factory=nn.Module)
    old: dict[str, fx.Node] = field(default_factory=dict)
    new: dict[str, fx.Node] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    calls: dict[tuple[str, int], ModuleCall] = field(default_factory=dict)

    def run(self) -> _Union:
        """Make all nodes, in the order of the second graph."""
        waiting = dict(self._places())
        marks = {n: c for c in self.difference.changes if c.b for n in c.b.node}
        self._calls = {
            (call.path, call.index): call
            for _, record in self.difference.b
            for call in record.calls
        }
        for gone in waiting.pop(-1, []):
            self._remove(gone)
        for index, (node, record) in enumerate(self.difference.b):
            change = marks.get(node.name)
            args = self._arguments(node, change)
            self.new[node.name] = made = self._copy(node, record, args, self.difference.b)
            made.meta[MARK] = Mark.of(change, node.name)
            if change is not None and change.a is not None:
                for name in change.a.node:
                    self.old[name] = made
            for gone in waiting.pop(index, []):
                self._remove(gone)
        self._say_who_read()
        return self

    def _say_who_read(self) -> None:
        """Tell in the box of what was removed what read it, where no wire can: it stands before."""
        for change in self.difference.changes:
            if change.kind != "removed" or change.a is None:
                continue
            name = change.a.node[-1]
            made, users = self.old[name], self.difference.a.node(name).users
            readers = [_called(self.old[u.name]) for u in users if u.name in self.old]
            if readers and not made.users:
                mark: Mark = made.meta[MARK]
                told = f"read by {', '.join(dict.fromkeys(readers))}"
                made.meta[MARK] = replace(mark, words=(*mark.words, told))

    def _places(self) -> dict[int, list[Change]]:
        """Return what was removed by the place, in the second graph, behind which it stands."""
        order = {node.name: i for i, (node, _) in enumerate(self.difference.b)}
        ends = {id(c): max(order[n] for n in c.b.node) for c in self.difference.changes if c.b}
        place = {n: ends[id(c)] for c in self.difference.changes if c.a and c.b for n in c.a.node}
        found: dict[int, list[Change]] = {}
        at = -1
        for change in self.difference.changes:
            if change.kind != "removed" or change.a is None:
                at = ends[id(change)]
                continue
            nodes = [self.difference.a.node(name) for name in change.a.node]
            read = [place.get(n.name, -1) for node in nodes for n in node.all_input_nodes]
            here = min(max(at, *read, -1), len(order) - 2)
            place |= dict.fromkeys(change.a.node, here)
            found.setdefault(here, []).append(change)
        return found

    def _remove(self, change: Change) -> None:
        """Add what the second graph lacks."""
        assert change.a is not None
        for name in change.a.node:
            node = self.difference.a.node(name)
            known = annotation(node)
            # frames go on around it: the other side may know other names of the classes
            calls = tuple(self.calls.get((c.path, c.index), c) for c in known.calls)
            record = replace(known, calls=calls, n_params=0, macs=0, bytes_out=0, parameters=())
            args = [self.old[n.name] if isinstance(n, fx.Node) else n for n in self._known(node)]
            self.old[name] = made = self._copy(node, record, args, self.difference.a)
            made.meta[MARK] = Mark.of(change, name)

    def _known(self, node: fx.Node) -> Iterator[Any]:
        for arg in _flat(node):
            if not isinstance(arg, fx.Node) or arg.name in self.old:
                yield arg

    def _arguments(self, node: fx.Node, change: Change | None) -> list[Any]:
        """Return what a node reads; what was removed before it stands between."""
        args = [self.new[a.name] if isinstance(a, fx.Node) else a for a in _flat(node)]
        if change is None or change.a is None or change.entry.node[0] != node.name:
            return args
        before = [n for name in change.a.node for n in self.difference.a.node(name).all_input_nodes]
        for gone in (self.old[n.name] for n in before if n.name in self.old):
            if gone.meta[MARK].kind != "removed":
                continue
            source = gone
            while source.meta[MARK].kind == "removed" and source.all_input_nodes:
                source = source.all_input_nodes[0]
            if source in args:
                args[args.index(source)] = gone
            elif gone not in args and node.op not in ("placeholder", "get_attr"):
                args.append(gone)
        return args

    def _copy(self, node: fx.Node, record: Annotation, args: list[Any], graph: Graph) -> fx.Node:
        name = node.name
        if node.op == "placeholder":
            made = self.graph.create_node("placeholder", f"input_{len(self.inputs)}", name=name)
            self.inputs += [replace(v, node=made.name) for v in graph.inputs if v.node == name]
        elif node.op == "output":
            nodes = tuple(arg for arg in args if isinstance(arg, fx.Node))
            made = self.graph.output(nodes[0] if len(nodes) == 1 else nodes)
        elif node.op == "get_attr":
            made = self.graph.create_node("get_attr", self._target(str(node.target)), name=name)
        elif node.op == "call_module":
            target = f"layer_{len(self.graph.nodes)}"
            self.root.add_module(target, Operation(record.op))
            made = self.graph.create_node("call_module", target, tuple(args), name=name)
        else:
            made = self.graph.create_node(
                "call_function", operation(record.op), tuple(args), name=name
            )
        made.meta[KEY] = record
        return made

    def _target(self, name: str) -> str:
        """Return a place for a weight under its own name, where the other graph has no other."""
        owner: nn.Module = self.root
        *path, leaf = name.split(".")
        for word in path:
            if not hasattr(owner, word):
                owner.add_module(word, nn.Module())
            inner = getattr(owner, word)
            if not isinstance(inner, nn.Module):
                return self._renamed()
            owner = inner
        if leaf not in owner._buffers and hasattr(owner, leaf):
            return self._renamed()
        owner.register_buffer(leaf, torch.empty(0, device="meta"))
        return name

    def _renamed(self) -> str:
        target = f"renamed_{len(self.graph.nodes)}"
        self.root.register_buffer(target, torch.empty(0, device="meta"))
        return target


def _called(node: fx.Node) -> str:
    record = annotation(node)
    return (record.module if node.op == "call_module" else "") or record.op


def _flat(node: fx.Node) -> list[Any]:
    """Return operands and plain numbers in order, lists opened."""
    found: list[Any] = []

    def take(value: Any) -> None:
        if isinstance(value, tuple | list):
            for item in value:
                take(item)
        elif isinstance(value, Mapping):
            take(list(value.values()))
        elif isinstance(value, fx.Node | int | float):
            found.append(value)

    take((node.args, node.kwargs))
    return found
