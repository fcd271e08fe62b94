"""An ONNX file's nodes as a `Graph`: annotated, to look at, and not to run."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from torch import fx, nn

from netloft.graph.annotation import Annotation, ModuleCall, Source, TensorInfo
from netloft.graph.cost import at_batch, macs_of
from netloft.graph.dims import symbols_of
from netloft.graph.graph import KEY, Value
from netloft.onnx_graph.calls import Placed
from netloft.onnx_graph.constants import Constant, Sorted, is_size_operand
from netloft.onnx_graph.operators import Meaning
from netloft.onnx_graph.stand_in import Operation, operation, result_at
from netloft.onnx_graph.step import Step, cleaned, refusal
from netloft.onnx_graph.values import NO_SHAPE, Values, item_bits

__all__ = ["WEIGHTS", "Builder", "Read"]

WEIGHTS = "netloft_weights"
"""Where a node's meta names the tensors of the file that it reads as weights, in order."""


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
            self._annotate(node, Annotation("input", "input", value=info, bytes_out=_bytes(info)))
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
        self._annotate(node, Annotation("output", "output", value=told))
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
        self._annotate(node, record)
        for name in step.gives:
            if name and name not in self.read.sorted.constants:
                self.made[name] = node

    def _drawn(self, position: int, step: Step, users: set[str]) -> None:
        op, family, attributes = self.read.meanings[position]
        own: list[str] = []
        args = self._arguments(step, family, own)
        args += [self.made[name] for name in step.captured if name in self.made]
        placed = _named(self.read.places[position], own)
        node = self._call(step, args, layer=placed.is_layer)
        node.meta[WEIGHTS] = () if family in _FREE else self._weights(step)
        names = [name for name in step.gives if name in users] or list(step.gives[:1])
        infos = [self.read.values.info(name) for name in names]
        fresh = self._fresh(own)
        operands = [_sized(self.read.values.info(n)) for n in step.reads if n in self.made]
        sized = [_sized(info) for info in infos]
        batch = self.read.values.batch
        items = batch if isinstance(batch, int) else 1
        record = Annotation(
            op,
            family,
            attributes,
            value=infos[0] if len(infos) == 1 else tuple(infos) or NO_SHAPE,
            calls=(self._root(), *placed.calls),
            source=_source(step),
            parameters=tuple(fresh),
            n_params=sum(fresh.values()),
            macs=macs_of(op, tuple(operands), sized[0], attributes) // items if sized else 0,
            bytes_out=sum(map(_bytes, infos)) // items,
        )
        self._annotate(node, record)
        self._give(node, record, names)

    def _give(self, node: fx.Node, record: Annotation, names: Sequence[str]) -> None:
        """Let values be read; of several that one node gives, each is taken out of it."""
        if len(names) == 1:
            self.made[names[0]] = node
            return
        for index, name in enumerate(names):
            part = self.graph.call_function(result_at, (node, index))
            info = self.read.values.info(name)
            told = Annotation("getitem", "shape", value=info, calls=record.calls)
            self._annotate(part, told)
            self.made[name] = part

    def _arguments(self, step: Step, family: str, own: list[str]) -> list[Any]:
        """Return the operands; weights of a layer go to `own`, free ones are nodes."""
        found: list[Any] = []
        for position, name in enumerate(step.reads):
            constant = self.read.sorted.constants.get(name)
            if not name or (constant is not None and is_size_operand(step, position)):
                continue
            if constant is None:
                found.append(self._made(name, step))
            elif constant.scalar is not None and constant.numel == 1:
                found.append(constant.scalar)
            elif family in _FREE and constant.numel > 1:
                found.append(self._parameter(name))
            elif not _is_statistic(step, position):
                own += [name]
        return found

    def _weights(self, step: Step) -> tuple[str, ...]:
        """Return the tensors that a node reads as weights, statistics too, in order."""
        constants = self.read.sorted.constants
        read = [(i, constants[name]) for i, name in enumerate(step.reads) if name in constants]
        return tuple(
            constant.names[0]
            for i, constant in read
            if not is_size_operand(step, i) and constant.numel > 1 and "float" in constant.dtype
        )

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
        key = f"parameter {constant.names[0]}"
        if key in self.made and self.read.values.info(name).shape == constant.shape:
            return self.made[key]
        node = self.graph.create_node("get_attr", self._target(constant), name=_spelled(name))
        fresh = self._fresh([name])
        is_weight = constant.names[0] in {t.name for t in self.read.model.graph.initializer}
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
        self._annotate(node, record)
        node.meta[WEIGHTS] = (constant.names[0],)
        self.made[key] = node
        return node

    def _target(self, constant: Constant) -> str:
        """Return a name that the generated code can hold; an odd one is told by the annotation."""
        name, count = constant.names[0], len(self.made)
        plain = re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", name, re.ASCII) and len(name) <= 200
        odd = not plain or any(keyword.iskeyword(word) for word in name.split("."))
        # unlike a layer's, no name of a weight begins so
        target = f"renamed_{count}" if odd else name
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
        self.root.register_buffer(f"renamed_{count}", torch.empty(0, device="meta"))
        return f"renamed_{count}"

    def _call(self, step: Step, args: Sequence[Any], *, layer: bool = False) -> fx.Node:
        name = _spelled(step.proto.name or step.op_type)
        if not layer:
            return self.graph.create_node(
                "call_function", operation(step.op_type), tuple(args), name=name
            )
        target = f"layer_{len(self.graph.nodes)}"
        self.root.add_module(target, Operation(step.op_type))
        return self.graph.create_node("call_module", target, tuple(args), name=name)

    def _root(self) -> ModuleCall:
        return ModuleCall("", self.read.root)

    @staticmethod
    def _annotate(node: fx.Node, record: Annotation) -> None:
        node.meta[KEY] = record


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


_FREE = ("merge", "shape")
"""Families whose constants are no layer's own, and are nodes."""

_STATISTICS = {"BatchNormalization": (3, 4)}


def _is_statistic(step: Step, position: int) -> bool:
    """Tell a running mean and variance from parameters, as PyTorch does."""
    return step.known and position in _STATISTICS.get(step.op_type, ())


def _sized(info: TensorInfo) -> TensorInfo:
    """Return a shape whose open lengths are one."""
    lengths = {name: 1 for dim in info.shape for name in symbols_of(dim)}
    return TensorInfo(at_batch(info.shape, 1, lengths), info.dtype)


def _bytes(info: TensorInfo) -> int:
    return math.prod(at_batch(_sized(info).shape, 1)) * item_bits(info.dtype) // 8


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
