"""A file's functions put in the place of their calls, which become module calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from netloft.errors import InputError
from netloft.onnx_graph.load import MAX_NODES
from netloft.onnx_graph.scopes import call_level, scope_of
from netloft.onnx_graph.step import Scope, Step, cleaned, refusal

__all__ = ["flatten"]

_DEEPEST = 64
"""Functions that call each other, one inside of the other."""

_MAX_OPERANDS = 400_000
"""Operands and results of all nodes together."""

_MAX_BYTES = 1 << 27
"""Bytes of the nodes of functions, as often as they are called; large constants are shared."""

_Key = tuple[str, str, str]


def flatten(model: onnx.ModelProto) -> list[Step]:
    """Return the nodes of a model in order, with those of its functions where they are called.

    Raises:
        InputError: A function calls itself, or there are too many nodes.
    """
    functions = {(f.domain, f.name, _overload(f)): f for f in model.functions}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*model.graph.input, *model.graph.initializer)}
    flat = _Flattener(functions, taken)
    sets = {_domain(entry.domain): int(entry.version) for entry in model.opset_import}
    return list(flat.steps(model.graph.node, _Body(sets, {}, (), {}, ())))


def _overload(of: onnx.NodeProto | onnx.FunctionProto) -> str:
    return str(getattr(of, "overload", ""))  # onnx has it since 1.16


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


@dataclass(frozen=True)
class _Body:
    """What the nodes of the graph or of a function's call stand in.

    Attributes:
        sets: Versions of the operator sets, by domain.
        names: What the values of the body are called in the flat graph.
        scope: Module calls around the body.
        given: Attributes of the function's call, by name.
        inside: The functions that the body lies in.
    """

    sets: Mapping[str, int]
    names: Mapping[str, str]
    scope: Scope
    given: Mapping[str, onnx.AttributeProto]
    inside: tuple[_Key, ...]


@dataclass
class _Flattener:
    functions: Mapping[_Key, onnx.FunctionProto]
    taken: set[str]
    count: int = 0
    calls: int = 0
    operands: int = 0
    bytes: int = 0
    sizes: dict[int, int] = field(default_factory=dict)
    kept: list[object] = field(default_factory=list)
    fresh: dict[str, int] = field(default_factory=dict)

    def steps(self, nodes: Iterable[onnx.NodeProto], body: _Body) -> Iterator[Step]:
        """Yield the steps of one body."""
        for node in nodes:
            key = (node.domain, node.op_type, _overload(node))
            step = self._step(node, body, called=key in self.functions)
            self._count(step, body)
            if key not in self.functions:
                yield step
                continue
            self.calls += 1
            if key in body.inside or len(body.inside) >= _DEEPEST or self.calls > MAX_NODES:
                raise refusal(
                    f"the function {cleaned(node.op_type)} calls itself, or calls lie deeper than "
                    f"{_DEEPEST}",
                    step,
                    "a function may call only functions that do not call it",
                )
            yield from self._called(step, key, body)

    def _count(self, step: Step, body: _Body) -> None:
        """Refuse what grows without end: a few bytes of a file may stand for gigabytes."""
        self.count += (step.proto.domain, step.op_type, step.overload) not in self.functions
        self.operands += len(step.reads) + len(step.gives) + len(step.captured)
        if body.inside:
            names = sum(map(len, (*step.reads, *step.gives, *step.captured)))
            scope = len(step.scope[-1].call) if step.scope else 0
            self.bytes += names + scope + self._size(step)
        if self.count > MAX_NODES or self.operands > _MAX_OPERANDS or self.bytes > _MAX_BYTES:
            what = (
                f"{MAX_NODES:,} nodes"
                if self.count > MAX_NODES
                else f"{_MAX_OPERANDS:,} operands, or {_MAX_BYTES:,} bytes of nodes"
            )
            raise InputError(
                f"the file has more than {what}, those of its functions as often as they are "
                "called",
                remedy="draw a part of the network",
            )

    def _size(self, step: Step) -> int:
        """Return the bytes that are copied of a node for each call of its function."""
        found = self.sizes.get(id(step.proto))
        if found is None:
            large = step.op_type == "Constant" and step.known
            found = 64 if large else int(step.proto.ByteSize())
            self.sizes[id(step.proto)] = found
            self.kept.append(step.proto)  # else another may have its id
        return found + sum(
            self._given_size(a) for a in step.attributes.values() if step.op_type != "Constant"
        )

    def _given_size(self, attribute: onnx.AttributeProto) -> int:
        found = self.sizes.get(id(attribute))
        if found is None:
            found = self.sizes[id(attribute)] = int(attribute.ByteSize())
            self.kept.append(attribute)
        return found

    def _called(self, step: Step, key: _Key, body: _Body) -> Iterator[Step]:
        function = self.functions[key]
        names = dict.fromkeys(function.input, "")
        names |= dict(zip(function.input, step.reads, strict=False))
        names |= dict(zip(function.output, step.gives, strict=False))
        for node in function.node:
            for name in node.output:
                if name and not names.get(name):
                    names[name] = self._free(name)
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        given = {**defaults, **step.attributes}
        sets = {_domain(entry.domain): int(entry.version) for entry in function.opset_import}
        around = (*body.scope, call_level(step, body.scope))
        inner = _Body({**body.sets, **sets}, names, around, given, (*body.inside, key))
        yield from self.steps(function.node, inner)

    def _free(self, name: str) -> str:
        """Return a name for a value of a function that no other value has."""
        while True:
            self.fresh[name] = self.fresh.get(name, 0) + 1
            free = f"{name}#{self.fresh[name]}"
            if free not in self.taken:
                self.taken.add(free)
                return free

    def _step(self, node: onnx.NodeProto, body: _Body, *, called: bool) -> Step:
        names, in_function = body.names, bool(body.inside)
        attributes = {}
        for attribute in node.attribute:
            outer = attribute.ref_attr_name
            known = body.given.get(outer) if outer else attribute
            if known is not None:
                attributes[attribute.name] = known
        read = [name for a in attributes.values() if a.HasField("g") for name in _captured(a.g)]
        return Step(
            proto=node,
            # a function sees its own values only
            reads=tuple(names.get(n, f"{n}?" if in_function and n else n) for n in node.input),
            gives=tuple(names.get(name, name) for name in node.output),
            # the call itself is a level of its own, which its function's nodes lie in
            scope=body.scope if called else scope_of(node, body.scope, in_function),
            captured=tuple(dict.fromkeys(names.get(name, name) for name in read)),
            attributes=attributes,
            opset=body.sets.get(_domain(node.domain), 0),
        )


def _captured(graph: onnx.GraphProto) -> list[str]:
    """Return the names that a graph inside of a node reads from outside."""
    own = {v.name for v in (*graph.input, *graph.initializer)} | {""}
    found: dict[str, None] = {}
    for node in graph.node:
        inner = [a.g for a in node.attribute if a.HasField("g")]
        for name in (*node.input, *(n for g in inner for n in _captured(g))):
            if name not in own:
                found[name] = None
        own |= set(node.output)
    found |= {output.name: None for output in graph.output if output.name not in own}
    return list(found)
