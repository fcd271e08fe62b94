"""An ONNX file's nodes as a `Graph`: annotated, to look at, and not to run."""

from __future__ import annotations

import itertools
import keyword
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import onnx
import torch
from torch import fx, nn

from netloft.graph.annotation import Annotation, ModuleCall, Source, TensorInfo
from netloft.graph.cost import at_batch
from netloft.graph.graph import KEY, Value
from netloft.onnx_graph.calls import Placed
from netloft.onnx_graph.constants import Constant, Sorted, is_size_operand
from netloft.onnx_graph.exact import EXACT, Exact
from netloft.onnx_graph.macs import macs
from netloft.onnx_graph.operands import Node
from netloft.onnx_graph.operators import Meaning
from netloft.onnx_graph.stand_in import Operation, operation, result_at
from netloft.onnx_graph.step import Step, cleaned, refusal
from netloft.onnx_graph.values import NO_SHAPE, Values, item_bits, sized

__all__ = ["GIVES", "WEIGHTS", "Builder", "Read"]

WEIGHTS = "netloft_weights"
"""Where a node's meta names the tensors of the file that it reads as weights, in order."""

GIVES = "netloft_gives"
"""Where a node's meta names the value of the file that it gives, where it gives one."""


@dataclass(frozen=True)
class Read:
    """All that is known of a file.

    Attributes:
        model: Its structure.
        steps: Its nodes, each after what it reads.
        values: Shapes.
        sorted: What takes part in the flow, and what does not.
        meanings: What each step does.
        places: The module calls around each drawn step.
        root: Class of the network.
    """

    model: onnx.ModelProto
    steps: Sequence[Step]
    values: Values
    sorted: Sorted
    meanings: Sequence[Meaning]
    places: Mapping[int, Placed]
    root: str


@dataclass
class Builder:
    """Make the nodes of the graph, in order.

    Attributes:
        read: The file.
        graph: Grows.
        root: Holds a stand-in for each layer.
        made: The node that gives each value.
        taken: Weights that a node has been given; a tied one is counted once.
    """

    read: Read
    graph: fx.Graph = field(default_factory=fx.Graph)
    root: nn.Module = field(default_factory=nn.Module)
    made: dict[str, fx.Node] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def inputs(self) -> tuple[Value, ...]:
        """Add the inputs; a weight that is listed among them, as in old files, is none."""
        found: list[Value] = []
        constants = self.read.sorted.constants
        for value in self.read.model.graph.input:
            if value.name in constants or value.name in self.made:
                continue
            info = self.read.values.info(value.name)
            node = self.graph.create_node("placeholder", f"input_{len(found)}")
            record = Annotation("input", "input", value=info, bytes_out=_bytes(info))
            self._annotate(node, record, (("operator", "input"),))
            self.made[value.name] = node
            found.append(Value(cleaned(value.name), info, node.name))
        return tuple(found)

    def steps(self) -> None:
        """Add the file's nodes.

        Raises:
            InputError: A node reads what nothing gives, or gives what is there already.
        """
        users = {name for step in self.read.steps for name in (*step.reads, *step.captured)}
        users |= {value.name for value in self.read.model.graph.output}
        for position, step in enumerate(self.read.steps):
            if position in self.read.sorted.hidden:
                self._hidden(position, step)
            else:
                self._drawn(position, step, users)

    def outputs(self) -> tuple[Value, ...]:
        """Add the outputs."""
        found: list[Value] = []
        nodes: list[fx.Node] = []
        for value in self.read.model.graph.output:
            node = self.made.get(value.name) or self._parameter(value.name)
            info = self.read.values.info(value.name)
            nodes.append(node)
            found.append(Value(cleaned(value.name), info, node.name))
        infos = tuple(value.info for value in found)
        node = self.graph.output(tuple(nodes) if len(nodes) != 1 else nodes[0])
        told = infos[0] if len(infos) == 1 else infos or None
        record = Annotation("output", "output", value=told)
        self._annotate(node, record, (("operator", "output"),))
        return tuple(found)

    def unused(self) -> dict[str, int]:
        """Return the weights that no node reads, with their elements."""
        read = {n for step in self.read.steps for n in (*step.reads, *step.captured)}
        read |= {value.name for value in self.read.model.graph.output}
        return {
            cleaned(tensor.name): math.prod(tensor.dims)
            for tensor in self.read.model.graph.initializer
            if tensor.name not in read
        }

    def _hidden(self, position: int, step: Step) -> None:
        """Add a node that the drawing counts and does not show."""
        op, family, attributes = self.read.meanings[position]
        node = self._call(step, [self.made[n] for n in step.reads if n in self.made])
        calls = tuple(ModuleCall(cleaned(level.path), level.class_name) for level in step.scope)
        plain = tuple(cleaned(name) for name in step.gives if name) or ("",)
        record = Annotation(op, family, attributes, plain=plain[0], calls=(self._root(), *calls))
        self._annotate(node, record, self._exact.of(step, (), hidden=True))
        for name in step.gives:
            if name and name not in self.read.sorted.constants:
                self.made[name] = node

    def _drawn(self, position: int, step: Step, users: set[str]) -> None:
        op, family, attributes = self.read.meanings[position]
        own: list[str] = []
        args = self._arguments(step, op, family, own)
        args += [self.made[name] for name in step.captured if name in self.made]
        placed = _named(self.read.places[position], own)
        node = self._call(step, args, layer=placed.is_layer)
        weights = self._weights(step, family)
        names = _results(step, users)
        node.meta |= {WEIGHTS: weights, GIVES: names[0] if len(names) == 1 else ""}
        infos = [self.read.values.info(name) for name in names]
        used = [info for name, info in zip(names, infos, strict=True) if name in users]
        fresh = self._fresh(own)
        items = self.read.values.items
        asked = Node(step, self.read.sorted.constants, self.read.values)
        record = Annotation(
            op,
            family,
            attributes,
            value=infos[0] if len(infos) == 1 else tuple(infos) or NO_SHAPE,
            calls=(self._root(), *placed.calls),
            source=_source(step),
            parameters=tuple(fresh),
            n_params=sum(fresh.values()),
            macs=macs(asked, op, attributes) // items,
            bytes_out=sum(map(_bytes, used or infos[:1])) // items,
        )
        free = [name for arg in args if isinstance(arg, fx.Node) for name in arg.meta[WEIGHTS]]
        self._annotate(node, record, self._exact.of(step, (*weights, *free), hidden=False))
        self._give(node, record, names, users)

    def _give(
        self, node: fx.Node, record: Annotation, names: Sequence[str], users: set[str]
    ) -> None:
        """Let values be read; each that is not the one result is taken out by its position."""
        if len(names) == 1:
            self.made |= dict.fromkeys(filter(None, names), node)
            return
        for index, name in enumerate(names):
            if name not in users:
                continue
            part = self.graph.call_function(result_at, (node, index))
            info = self.read.values.info(name)
            told = Annotation("getitem", "shape", value=info, calls=record.calls)
            self._annotate(part, told, (("part", index),))
            self.made[name] = part

    def _arguments(self, step: Step, op: str, family: str, own: list[str]) -> list[Any]:
        """Return the operands; weights of a layer go to `own`, free ones are nodes."""
        found: list[Any] = []
        for position, name in enumerate(step.reads):
            constant = self.read.sorted.constants.get(name)
            if not name or (constant is not None and is_size_operand(step, position)):
                continue
            if constant is None:
                found.append(self._made(name, step))
            elif constant.scalar is not None and not _is_weight(constant, op, family):
                found.append(constant.scalar)
            elif family in _FREE and constant.numel > 0:
                found.append(self._parameter(name))
            elif not _is_statistic(step, position):
                own += [name]
        return found

    def _weights(self, step: Step, family: str) -> tuple[str, ...]:
        """Return the tensors that a node reads as weights, statistics too, in order.

        Those that the weights are mainly made of are first. What is not read here because it is
        large is one too, even where it says how large or where.
        """
        found: list[tuple[str, ...]] = []
        for position, name in enumerate(step.reads):
            constant = self.read.sorted.constants.get(name)
            if constant is None or constant.dtype == "string":
                continue
            if is_size_operand(step, position):
                listed = constant.array is None and constant.numel > 0
            else:
                listed = family in _LAYERS or (constant.shape != () and family not in _FREE)
            found += [constant.names] if listed else []
        names = dict.fromkeys([*(n for ns in found for n in ns[:1]), *itertools.chain(*found)])
        return tuple(name for name in names if name in self._listed)

    def _made(self, name: str, step: Step) -> fx.Node:
        if name not in self.made:
            raise refusal(
                f"a node reads '{cleaned(name)}', which nothing before it gives",
                step,
                "check the file with netloft verify, or write it again",
            )
        return self.made[name]

    def _fresh(self, names: Sequence[str]) -> dict[str, int]:
        """Return the weights that no node before has been given, with their elements."""
        found: dict[str, int] = {}
        for name in names:
            constant = self.read.sorted.constants[name]
            for tensor, size in zip(constant.names, constant.sizes, strict=True):
                if tensor not in self.taken:
                    self.taken.add(tensor)
                    found[cleaned(tensor)] = size
        return found

    def _parameter(self, name: str) -> fx.Node:
        """Return the node of a weight that is no layer's own, such as a position embedding."""
        constant = self.read.sorted.constants[name]
        key = f"parameter {constant.names} {self._exact.recipe(name)}"
        if key in self.made and self.read.values.info(name).shape == constant.shape:
            return self.made[key]
        node = self.graph.create_node("get_attr", self._target(constant), name=_spelled(name))
        fresh = self._fresh([name])
        is_weight = constant.names[0] in self._initializers
        info = TensorInfo(constant.shape or ("?",), constant.dtype)
        record = Annotation(
            "parameter" if is_weight else "constant",
            "parameter",
            value=info,
            calls=(self._root(),),
            parameters=tuple(fresh),
            n_params=sum(fresh.values()) if is_weight else 0,
            bytes_out=_bytes(info),
        )
        weights = tuple(tensor for tensor in constant.names if tensor in self._listed)
        told = self._exact.operand(name, frozenset(weights))
        self._annotate(node, record, (("operator", "weight"), ("operands", (told,))))
        node.meta[WEIGHTS] = weights
        self.made[key] = node
        return node

    def _target(self, constant: Constant) -> str:
        """Return a name that the generated code can hold; an odd one is told by the annotation."""
        name, count = constant.names[0], len(self.made)
        plain = re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", name, re.ASCII) and len(name) <= 200
        odd = not plain or any(keyword.iskeyword(word) for word in name.split("."))
        if odd:
            return self._renamed(count)
        target = name
        owner: nn.Module = self.root
        *path, leaf = target.split(".")
        for word in path:
            if not isinstance(getattr(owner, word, None), nn.Module):
                if hasattr(owner, word):
                    return self._renamed(count)
                owner.add_module(word, nn.Module())
            owner = getattr(owner, word)
        if hasattr(owner, leaf):
            return target if leaf in owner._buffers else self._renamed(count)
        owner.register_buffer(leaf, torch.empty(0, device="meta"), persistent=False)
        return target

    def _renamed(self, count: int) -> str:
        name = self._unused_name(f"renamed_{count}")
        self.root.register_buffer(name, torch.empty(0, device="meta"))
        return name

    def _unused_name(self, name: str) -> str:
        """Return a name that no attribute of the module has; a weight may be called anything."""
        while hasattr(self.root, name):
            name += "_"
        return name

    def _call(self, step: Step, args: Sequence[Any], *, layer: bool = False) -> fx.Node:
        name = _spelled(step.proto.name or step.op_type)
        if not layer:
            return self.graph.create_node(
                "call_function", operation(step.op_type), tuple(args), name=name
            )
        target = self._unused_name(f"layer_{len(self.graph.nodes)}")
        self.root.add_module(target, Operation(step.op_type))
        return self.graph.create_node("call_module", target, tuple(args), name=name)

    def _root(self) -> ModuleCall:
        return ModuleCall("", self.read.root)

    @cached_property
    def _exact(self) -> Exact:
        return Exact(self.read.model, self.read.sorted.constants)

    @cached_property
    def _initializers(self) -> frozenset[str]:
        return frozenset(tensor.name for tensor in self.read.model.graph.initializer)

    @cached_property
    def _listed(self) -> frozenset[str]:
        """Tensors that the file holds under a name."""
        constants = self.read.sorted.constants.values()
        return frozenset(c.names[0] for c in constants if c.is_listed)

    @staticmethod
    def _annotate(node: fx.Node, record: Annotation, exact: tuple[Hashable, ...]) -> None:
        node.meta[KEY] = record
        node.meta[EXACT] = exact
        node.meta.setdefault(WEIGHTS, ())


def _named(placed: Placed, own: Sequence[str]) -> Placed:
    """Call a layer as its weights are called, where the file knows no name, or that of its norm.

    torch.onnx tells a convolution that its norm was folded into by the norm's name.
    """
    path = next((n[: -len(".weight")] for n in own if n.endswith(".weight")), "")
    if not path or (placed.calls and not placed.is_layer):
        return placed
    *around, last = placed.calls or (ModuleCall("", ""),)
    same = last.path.rpartition(".")[0] == path.rpartition(".")[0]
    if path == last.path or (placed.calls and not same):
        return placed
    return Placed((*around, ModuleCall(cleaned(path), "")), is_layer=True)


def _results(step: Step, users: set[str]) -> tuple[str, ...]:
    """Return the results up to the last that is read; the first alone where no other is."""
    last = max((i for i, name in enumerate(step.gives) if name and name in users), default=0)
    return step.gives[: last + 1]


_LAYERS = ("conv", "linear", "norm", "activation", "attention", "recurrent", "embedding")
"""Families that own the weights they read, however small these are."""


def _is_weight(constant: Constant, op: str, family: str) -> bool:
    """Tell a weight of one element from a number that is counted with."""
    return family in _LAYERS and (constant.shape != () or op == "prelu")


_FREE = ("merge", "shape")
"""Families whose constants are no layer's own, and are nodes."""

_STATISTICS = {"BatchNormalization": (3, 4)}


def _is_statistic(step: Step, position: int) -> bool:
    """Tell a running mean and variance from parameters, as PyTorch does."""
    return step.known and position in _STATISTICS.get(step.op_type, ())


def _bytes(info: TensorInfo) -> int:
    return math.prod(at_batch(sized(info).shape, 1)) * item_bits(info.dtype) // 8


def _source(step: Step) -> Source | None:
    """Return the line that netloft wrote into the file."""
    from netloft.defaults import SOURCE

    file, _, line = step.facts.get(SOURCE, "").rpartition(":")
    if not file or not (line.isascii() and line.isdecimal()) or len(line) > 9:
        return None
    return Source(cleaned(file), int(line))


def _spelled(name: str) -> str:
    """Return a name for a node: fx itself spells what Python does not allow."""
    return re.sub(r"[^0-9A-Za-z_]+", "_", name[:200]).strip("_") or "node"
