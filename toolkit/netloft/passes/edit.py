"""A graph under change: what a pass works on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.graph import KEY, Graph, Value, annotation
from netloft.graph.module import make_module
from netloft.graph.results import output_nodes

__all__ = ["Edit", "NotFunctionalError", "Note", "called", "info_of"]


class NotFunctionalError(Exception):
    """A write in place that cannot be expressed as a value; the text says which and where."""


@dataclass(frozen=True)
class Note:
    """What a pass did to one node, and why, for `netloft trace --explain`.

    Attributes:
        node: Name of the node.
        module: Path of its module call.
        source: `file.py:line` of the user's code.
        text: What was done.
        by: Name of the pass.
    """

    node: str
    module: str
    source: str
    text: str
    by: str = ""


class Edit:
    """A private copy of a graph; weights are shared until a pass puts others in their place.

    Attributes:
        fx: The nodes.
        changes: How many changes were made; a pass that made none left the graph as it was.
        running: Name of the pass at work.
        notes: What was done, node by node.
    """

    def __init__(self, graph: Graph) -> None:
        self._origin = graph
        self.changes = 0
        self.running = ""
        self.notes: list[Note] = []
        self.fx = fx.Graph()
        copied: dict[fx.Node, fx.Node] = {}
        old_output = next(iter(reversed(graph.module.graph.nodes)))
        result = self.fx.graph_copy(graph.module.graph, copied)
        output = self.fx.output(result)
        output.meta = dict(old_output.meta)
        self._modules: dict[str, nn.Module] = {}
        self._tensors: dict[str, torch.Tensor] = {}
        self._suffix: Counter[str] = Counter()
        self._readers: Counter[str] = Counter()  # of a module, or of what lies below it
        for node in self.fx.nodes:
            self._count(node, 1)

    @classmethod
    def of(cls, edit: Edit) -> Edit:
        """Return an edit of what another one has come to, so that the other can be kept."""
        fork = cls(edit.finish(wide=True))
        fork.notes = list(edit.notes)
        return fork

    # reading

    def __iter__(self) -> Iterator[tuple[fx.Node, Annotation]]:
        return ((node, annotation(node)) for node in list(self.fx.nodes))

    @property
    def root(self) -> nn.Module:
        """The graph module whose weights are read where no pass has put others."""
        return self._origin.module

    def module_of(self, node: fx.Node) -> nn.Module:
        """Return the module that a `call_module` node calls."""
        target = str(node.target)
        return self._modules[target] if target in self._modules else self.root.get_submodule(target)

    def tensor_of(self, node: fx.Node) -> torch.Tensor | None:
        """Return the tensor that a `get_attr` node reads; None for any other node."""
        if node.op != "get_attr":
            return None
        target = str(node.target)
        if target in self._tensors:
            return self._tensors[target]
        path, _, name = target.rpartition(".")
        found = getattr(self.root.get_submodule(path), name)
        return found if isinstance(found, torch.Tensor) else None

    # changing

    def insert(
        self, before: fx.Node, op: str, target: Any, args: tuple[Any, ...], record: Annotation
    ) -> fx.Node:
        """Add a node in front of another one.

        Args:
            before: The node that it comes in front of.
            op: As fx calls it: `call_function`, `call_method` …
            target: What is called.
            args: Its arguments.
            record: What is known of it.
        """
        with self.fx.inserting_before(before):
            node = self.fx.create_node(op, target, args)
        node.meta[KEY] = record
        self._count(node, 1)
        self.changes += 1
        return node

    def copy(self, node: fx.Node, before: fx.Node, mapped: Callable[[fx.Node], fx.Node]) -> fx.Node:
        """Add a copy of a node in front of another one, reading other operands."""
        with self.fx.inserting_before(before):
            made = self.fx.node_copy(node, mapped)
        self._count(made, 1)
        self.changes += 1
        return made

    def constant(self, before: fx.Node, tensor: torch.Tensor, record: Annotation) -> fx.Node:
        """Add a node that gives a tensor which is known now."""
        name = self._free_name("folded")
        self._tensors[name] = tensor
        made = dataclasses.replace(
            record, op="parameter", family="parameter", attributes={}, macs=0, plain=None
        )
        return self.insert(before, "get_attr", name, (), made)

    def put_module(self, node: fx.Node, module: nn.Module, *, shared: bool = False) -> None:
        """Let a node call another module; other calls of the old one keep it unless `shared`."""
        target = str(node.target)
        if self._readers[target] > 1 and not shared:
            self._count(node, -1)
            node.target = target = self._free_name(target.replace(".", "_"))
            self._count(node, 1)
        self._modules[target] = module
        self.changes += 1

    def call_module(
        self, node: fx.Node, name: str, module: nn.Module, args: tuple[Any, ...]
    ) -> None:
        """Turn a node into a call of a new module."""
        self._count(node, -1)
        node.op, node.target = "call_module", self._free_name(name)
        node.args, node.kwargs = args, {}
        self._count(node, 1)
        self._modules[str(node.target)] = module
        self.changes += 1

    def set(self, node: fx.Node, **facts: Any) -> None:
        """Change what is known of a node."""
        node.meta[KEY] = dataclasses.replace(annotation(node), **facts)

    def replace(self, node: fx.Node, other: fx.Node) -> None:
        """Let every reader of a node read another one, and drop the node."""
        node.replace_all_uses_with(other)
        self.erase(node)

    def erase(self, node: fx.Node) -> None:
        """Drop a node that nobody reads."""
        self._count(node, -1)
        self.fx.erase_node(node)
        self.changes += 1

    def drop_unread(self, nodes: Iterable[fx.Node], heir: fx.Node) -> None:
        """Drop weights that nobody reads any more.

        Args:
            nodes: That read a weight, or do something else.
            heir: What holds their values now, and so counts their parameters.
        """
        for node in nodes:
            if node.op == "get_attr" and not node.users:
                gone, record = annotation(node), annotation(heir)
                names = (*record.parameters, *gone.parameters)
                self.set(heir, parameters=names, n_params=record.n_params + gone.n_params)
                self.erase(node)

    def note(self, node: fx.Node, text: str) -> None:
        """Say what was done to a node."""
        record = annotation(node)
        source = str(record.source or "")
        self.notes.append(Note(node.name, record.module, source, text, self.running))

    def _free_name(self, name: str) -> str:
        while True:
            number = self._suffix[name]
            self._suffix[name] += 1
            free = f"{name}_{number}" if number else name
            if not self._readers[free] and not hasattr(self.root, free):
                return free

    def _count(self, node: fx.Node, number: int) -> None:
        """Note that a node reads a module or a tensor, and so all that it lies in."""
        if node.op in ("call_module", "get_attr"):
            path = str(node.target)
            while path:
                self._readers[path] += number
                path = path.rpartition(".")[0]

    # the result

    def finish(self, *, wide: bool = False) -> Graph:
        """Return the graph as it is now; the very same one where nothing was changed.

        Args:
            wide: Keep folded constants in float64, for a proof or another pass; else they are
                rounded to the element type that the graph says, once.
        """
        wide_before = any(_is_wide(self.tensor_of(node), node) for node in self.fx.nodes)
        if not self.changes and (wide or not wide_before):
            return self._origin
        module = make_module(self._attributes(wide), self.fx, self._origin.class_name)
        (output,) = (node for node in module.graph.nodes if node.op == "output")
        nodes = output_nodes(output.args[0])
        outputs = tuple(
            Value(value.name, value.info, node)
            for value, node in zip(self._origin.outputs, nodes, strict=True)
        )
        return dataclasses.replace(self._origin, module=module, outputs=outputs)

    def _attributes(self, wide: bool) -> dict[str, Any]:
        """Return every module and tensor that the graph reads, by target."""
        found: dict[str, Any] = {}
        for node in self.fx.nodes:
            if node.op == "call_module":
                found[str(node.target)] = self.module_of(node)
            elif node.op == "get_attr":
                found[str(node.target)] = self._attribute(node, wide)
        return found

    def _attribute(self, node: fx.Node, wide: bool) -> Any:
        tensor = self.tensor_of(node)
        if tensor is None:
            path, _, name = str(node.target).rpartition(".")
            return getattr(self.root.get_submodule(path), name)
        info = info_of(node)
        if wide or info is None or not _is_wide(tensor, node):
            return tensor
        return tensor.to(getattr(torch, info.dtype))


def _is_wide(tensor: torch.Tensor | None, node: fx.Node) -> bool:
    """Tell whether a folded constant is still in float64 where the graph has a shorter type."""
    info = info_of(node)
    return (
        tensor is not None
        and tensor.dtype is torch.float64
        and info is not None
        and info.dtype != "float64"
    )


def info_of(node: fx.Node) -> TensorInfo | None:
    """Return the one tensor that a node gives; None for several or none."""
    value = annotation(node).value
    return value if isinstance(value, TensorInfo) else None


def called(node: fx.Node, value: Callable[[fx.Node], Any], module: nn.Module | None = None) -> Any:
    """Call what a node calls.

    Args:
        node: The node.
        value: Gives what an operand stands for.
        module: What a `call_module` node calls.
    """
    args, kwargs = fx.map_arg((node.args, node.kwargs), value)
    if module is not None:
        return module(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]
