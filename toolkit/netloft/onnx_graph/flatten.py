"""A file's functions put in the place of their calls, which become module calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from netloft.errors import InputError
from netloft.onnx_graph.load import MAX_NODES
from netloft.onnx_graph.scopes import call_level, scope_of
from netloft.onnx_graph.step import Scope, Step, cleaned, refusal

__all__ = ["flatten"]

_DEEPEST = 64
"""Functions that call each other, one inside of the other."""

_Key = tuple[str, str]


def flatten(model: onnx.ModelProto) -> list[Step]:
    """Return the nodes of a model in order, with those of its functions where they are called.

    Raises:
        InputError: A function calls itself, or there are too many nodes.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    flat = _Flattener(functions, taken)
    return list(flat.steps(model.graph.node, {}, (), {}, ()))


@dataclass
class _Flattener:
    functions: Mapping[_Key, onnx.FunctionProto]
    taken: set[str]
    count: int = 0
    calls: int = 0
    fresh: dict[str, int] = field(default_factory=dict)

    def steps(
        self,
        nodes: Iterator[onnx.NodeProto],
        names: Mapping[str, str],
        scope: Scope,
        given: Mapping[str, onnx.AttributeProto],
        inside: tuple[_Key, ...],
    ) -> Iterator[Step]:
        """Yield the steps of one body.

        Args:
            nodes: Of the graph or the function.
            names: What the values of the body are called in the flat graph.
            scope: Module calls around the body.
            given: Attributes of the function's call, by name.
            inside: The functions that the body lies in.
        """
        for node in nodes:
            step = self._step(node, names, scope, given, bool(inside))
            key = (node.domain, node.op_type)
            if key not in self.functions:
                self.count += 1
                if self.count > MAX_NODES:
                    raise InputError(
                        f"the file has more than {MAX_NODES:,} nodes, those of its functions as "
                        "often as they are called",
                        remedy="draw a part of the network",
                    )
                yield step
                continue
            self.calls += 1
            if key in inside or len(inside) >= _DEEPEST or self.calls > MAX_NODES:
                raise refusal(
                    f"the function {cleaned(node.op_type)} calls itself, or calls lie deeper than "
                    f"{_DEEPEST}",
                    step,
                    "a function may call only functions that do not call it",
                )
            yield from self._called(step, self.functions[key], scope, (*inside, key))

    def _called(
        self, step: Step, function: onnx.FunctionProto, scope: Scope, inside: tuple[_Key, ...]
    ) -> Iterator[Step]:
        names = dict.fromkeys(function.input, "")
        names |= dict(zip(function.input, step.reads, strict=False))
        names |= dict(zip(function.output, step.gives, strict=False))
        for node in function.node:
            for name in node.output:
                if name and not names.get(name):
                    names[name] = self._free(name)
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        given = {**defaults, **step.attributes}
        around = (*scope, call_level(step, scope))
        yield from self.steps(function.node, names, around, given, inside)

    def _free(self, name: str) -> str:
        """Return a name for a value of a function that no other value has."""
        while True:
            self.fresh[name] = self.fresh.get(name, 0) + 1
            free = f"{name}#{self.fresh[name]}"
            if free not in self.taken:
                self.taken.add(free)
                return free

    def _step(
        self,
        node: onnx.NodeProto,
        names: Mapping[str, str],
        scope: Scope,
        given: Mapping[str, onnx.AttributeProto],
        in_function: bool,
    ) -> Step:
        attributes = {}
        for attribute in node.attribute:
            known = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
            if known is not None:
                attributes[attribute.name] = known
        read = [name for a in attributes.values() if a.HasField("g") for name in _captured(a.g)]
        called = (node.domain, node.op_type) in self.functions
        return Step(
            proto=node,
            # a function sees its own values only
            reads=tuple(names.get(n, f"{n}?" if in_function and n else n) for n in node.input),
            gives=tuple(names.get(name, name) for name in node.output),
            # the call itself is a level of its own, which its function's nodes lie in
            scope=scope if called else scope_of(node, scope, in_function),
            captured=tuple(dict.fromkeys(names.get(name, name) for name in read)),
            attributes=attributes,
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
