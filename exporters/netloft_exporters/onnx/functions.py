"""A model's nodes gathered into ONNX functions, one for each kind of module call.

ONNX Runtime puts a function's nodes in the place of its call before it optimises; so the file runs
as the flat one does, and a person who opens it sees the modules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
import onnx_ir as ir

from netloft.defaults import CLASS, MODULE, SCOPE, SOURCE
from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import Graph
from netloft.runtime.header import SMALL
from netloft_exporters.onnx.writing import Parts

__all__ = ["DOMAIN", "gather_functions"]

DOMAIN = "netloft"
"""Domain of the functions, version 1; each is called as its class."""

_INDEX = re.compile(r"@\d+(?=[./]|$)")  # which call of a module it is, in a name


def gather_functions(parts: Parts, graph: Graph, weights: Collection[str]) -> None:
    """Gather the nodes of each module call into a function, nested as the calls are.

    Given:
        layer1.0.conv1/Conv, layer1.0.relu/Relu, layer1.1.conv1/Conv, layer1.1.relu/Relu

    Result:
        layer1: a call of Sequential, which calls BasicBlock twice, with other weights each time;
        BasicBlock calls Conv2d and ReLU

    Leaves alone:
        Nodes that hold a graph of their own (a loop), and the calls around them.

    Args:
        parts: The model with its final names. It is changed.
        graph: Says which calls each module call lies in.
        weights: Names of the module's own tensors; a function is given them, and what is made of
            them, and holds other small constants that it reads.
    """
    model = parts.shell
    own = tuple(weights)
    constants = {
        name: ir.serde.serialize_tensor(tensor)
        for name, tensor in parts.weights.items()
        if tensor.nbytes <= SMALL and "." not in name and not name.startswith(own)
    }
    gatherer = _Gatherer(model, constants, graph)
    nodes = gatherer.run()
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.functions.extend(gatherer.functions)
    if gatherer.functions:
        model.opset_import.add(domain=DOMAIN, version=1)
    _drop_unused(parts, constants)


def _drop_unused(parts: Parts, constants: Collection[str]) -> None:
    graph = parts.shell.graph
    read = {name for node in graph.node for name in _read(node)}
    read |= {output.name for output in graph.output}
    for name in set(constants) - read:
        del parts.weights[name]
    made = {name for node in graph.node for name in node.output}
    shown = [info for info in graph.value_info if info.name in made]
    del graph.value_info[:]
    graph.value_info.extend(shown)


@dataclass
class _Region:
    """Nodes that follow each other and lie in one module call; others of it may come later."""

    call: ModuleCall | None
    items: list[onnx.NodeProto | _Region] = field(default_factory=list)
    end: int = 0  # position behind its last node


class _Gatherer:
    """Turn regions into calls, the innermost first."""

    def __init__(
        self, model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto], graph: Graph
    ) -> None:
        self._model, self._constants = model, constants
        self._calls = {str(r.calls[-1]): r.calls[1:] for _, r in graph if r.calls}
        self._versions = {i.domain: i.version for i in model.opset_import} | {DOMAIN: 1}
        self._last_read: dict[str, int] = {}
        for position, node in enumerate(model.graph.node):
            self._last_read |= dict.fromkeys(_read(node), position)
        count = len(model.graph.node)
        self._last_read |= {output.name: count for output in model.graph.output}
        self._names: dict[bytes, str] = {}
        self._count: Counter[str] = Counter()
        self._parts: Counter[str] = Counter()
        self.functions: list[onnx.FunctionProto] = []

    def run(self) -> list[onnx.NodeProto]:
        """Return the nodes of the main graph; `functions` holds the rest."""
        return list(self._emitted(self._regions()))

    def _regions(self) -> _Region:
        open_ = [_Region(None)]
        for position, node in enumerate(self._model.graph.node):
            calls = self._calls_of(node)
            shared = 0
            for region, call in zip(open_[1:], calls, strict=False):
                if region.call != call:
                    break
                shared += 1
            del open_[shared + 1 :]
            for call in calls[shared:]:
                region = _Region(call)
                open_[-1].items.append(region)
                open_.append(region)
            open_[-1].items.append(node)
            for region in open_:
                region.end = position + 1
        return open_[0]

    def _calls_of(self, node: onnx.NodeProto) -> tuple[ModuleCall, ...]:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return ()
        path = _facts(node).get(MODULE, "")
        while path and path not in self._calls:  # torch.onnx names layers that are never called
            path = path.rpartition(".")[0]
        return self._calls.get(path, ())

    def _emitted(self, region: _Region) -> Iterator[onnx.NodeProto]:
        for item in region.items:
            if isinstance(item, onnx.NodeProto):
                yield item
            else:
                yield from self._called(item)

    def _called(self, region: _Region) -> list[onnx.NodeProto]:
        """Return the call that stands for a region; its nodes where nothing of it is read."""
        assert region.call is not None
        nodes = list(self._emitted(region))
        made = [name for node in nodes for name in node.output]
        outputs = [name for name in made if self._last_read.get(name, -1) >= region.end]
        if not outputs:
            return nodes
        known = {"", *made, *self._constants}
        read = dict.fromkeys(name for node in nodes for name in node.input)
        inputs = [name for name in read if name not in known]
        body = _Body(region.call, inputs, outputs, self._constants)
        facts = {MODULE: str(region.call), CLASS: region.call.class_name, SOURCE: _one_line(nodes)}
        function = body.function(nodes, self._versions, told=facts[SOURCE])
        call = onnx.helper.make_node(
            self._name(function, region.call.class_name),
            inputs,
            outputs,
            name=self._call_name(region.call),
            domain=DOMAIN,
        )
        _write_facts(call, facts)
        return [call]

    def _call_name(self, call: ModuleCall) -> str:
        """Return the name of a call; where other nodes lie between, one call has several parts."""
        self._parts[str(call)] += 1
        part = self._parts[str(call)]
        return str(call) if part == 1 else f"{call}/{part}"

    def _name(self, function: onnx.FunctionProto, class_name: str) -> str:
        """Return the name of a function; of two that are alike there is one."""
        function.name = class_name
        key = function.SerializeToString(deterministic=True)
        if key not in self._names:
            count = self._count[class_name]
            self._count[class_name] += 1
            function.name = f"{class_name}_{count}" if count else class_name
            self._names[key] = function.name
            self.functions.append(function)
        return self._names[key]


class _Body:
    """The inside of a function: names of its own, the same for every module of the same kind."""

    def __init__(
        self,
        call: ModuleCall,
        inputs: Sequence[str],
        outputs: Sequence[str],
        constants: Mapping[str, onnx.TensorProto],
    ) -> None:
        self._path, self._constants = call.path, constants
        self._taken: Counter[str] = Counter()
        self._local: dict[str, str] = {}
        self._held: list[onnx.NodeProto] = []
        self._outputs = outputs
        for name in inputs:
            own = name.startswith(f"{call.path}.") and ":" not in name
            self._rename(name, self._inside(name) if own else "input")

    def function(
        self, nodes: Sequence[onnx.NodeProto], versions: Mapping[str, int], told: str
    ) -> onnx.FunctionProto:
        """Return the function, which has no name yet.

        Args:
            nodes: What it does.
            versions: Operator set by domain.
            told: The line that its call tells in place of its nodes.
        """
        inputs = list(self._local.values())
        inside = [self._moved(node, told) for node in nodes]
        outputs = [self._local[name] for name in self._outputs]
        domains = sorted({node.domain for node in (*self._held, *inside)})
        imports = [onnx.helper.make_opsetid(domain, versions[domain]) for domain in domains]
        return onnx.helper.make_function(
            DOMAIN, "", inputs, outputs, [*self._held, *inside], imports
        )

    def _moved(self, node: onnx.NodeProto, told: str) -> onnx.NodeProto:
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        facts = _facts(node)
        moved.name = self._unique(self._inside(node.name))
        moved.input[:] = [self._read(name) for name in node.input]
        for index, name in enumerate(node.output):
            moved.output[index] = self._rename(name, f"{moved.name}:{index}") if name else ""
        source = "" if told else facts.get(SOURCE, "")
        _write_facts(moved, {**facts, MODULE: self._inside(facts.get(MODULE, "")), SOURCE: source})
        return moved

    def _read(self, name: str) -> str:
        if name in self._constants and name not in self._local:
            local = self._rename(name, "constant")
            made = onnx.helper.make_node("Constant", [], [local], name=f"{local}/Constant")
            made.attribute.add(
                name="value", type=onnx.AttributeProto.TENSOR, t=self._constants[name]
            ).t.ClearField("name")
            self._held.append(made)
        return self._local[name] if name else ""

    def _rename(self, name: str, wanted: str) -> str:
        self._local[name] = self._unique(wanted)
        return self._local[name]

    def _unique(self, name: str) -> str:
        self._taken[name] += 1
        return name if self._taken[name] == 1 else f"{name}_{self._taken[name] - 1}"

    def _inside(self, name: str) -> str:
        """Return a name without the path of this module and without counts of calls."""
        name = _INDEX.sub("", name)
        rest = name.removeprefix(self._path)
        return rest[1:] if rest != name and rest[:1] in ("", ".", "/") else name


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Return what a node reads, in the graphs that it holds too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from (output.name for output in graph.output)
            for inner in graph.node:
                yield from _read(inner)


def _one_line(nodes: Sequence[onnx.NodeProto]) -> str:
    """Return the line of a layer, which is its caller's: two layers alike are one function."""
    lines = {_facts(node).get(SOURCE, "") for node in nodes}
    return lines.pop() if len(lines) == 1 and not any(n.domain == DOMAIN for n in nodes) else ""


def _facts(node: onnx.NodeProto) -> dict[str, str]:
    """Return what a node tells of itself; which calls it lies in is told by the functions."""
    return {entry.key: entry.value for entry in node.metadata_props if entry.key != SCOPE}


def _write_facts(node: onnx.NodeProto, facts: Mapping[str, str]) -> None:
    del node.metadata_props[:]
    for key, value in facts.items():
        if value:
            node.metadata_props.add(key=key, value=value)
