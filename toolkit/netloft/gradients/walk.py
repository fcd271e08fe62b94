"""Go through a graph forwards, keep what each node gives, and pull gradients back through it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from netloft.gradients.adjoint import ADJOINTS, NoAdjointError, Step, parameters_of
from netloft.graph.annotation import ModuleCall
from netloft.graph.arguments import NUMPY_NAMES
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph, annotation
from netloft.graph.layer_calls import UnknownLayerError, function_call
from netloft.passes import NotFunctionalError, run_passes
from netloft.tracing.origins import told_as

__all__ = ["Walk", "adopt", "functional"]

BACKWARD = ModuleCall("gradient", "Gradient")
"""The call that gradients are told as parts of, each below it with the path of its own module."""

Gradients = dict[fx.Node, Any]


def functional(graph: Graph) -> Graph:
    """Return a graph without writes in place: what a node gives is still there afterwards.

    Raises:
        NoAdjointError: A write cannot be expressed as a value.
    """
    try:
        return run_passes(graph, ()).graph
    except NotFunctionalError as error:
        raise NoAdjointError(f"there is no gradient through a write in place: {error}") from error


def adopt(root: nn.Module, graph: Graph) -> None:
    """Make the modules and weights of a graph those of another module, under the same names."""
    for name, child in graph.module.named_children():
        root.add_module(name, child)
    for name, parameter in graph.module._parameters.items():
        root.register_parameter(name, parameter)
    for name, buffer in graph.module._buffers.items():
        root.register_buffer(name, buffer)
    for name, value in vars(graph.module).items():  # tensors that the network made while traced
        if isinstance(value, Tensor):
            root.register_buffer(name, value)


class Walk:
    """One pass through a graph, forwards and then backwards.

    What it runs on may be traced itself: every operation is one that a graph may hold, and is told
    as coming from the module call and the line of what it belongs to.

    Args:
        root: What has the graph's modules and weights.
        graph: Without writes in place.
    """

    def __init__(self, root: nn.Module, graph: Graph) -> None:
        self._root, self._module = root, graph.module
        self._nodes = list(graph.module.graph.nodes)
        self._values: dict[fx.Node, Any] = {}

    def forward(self, inputs: Sequence[Tensor]) -> Any:
        """Return what the graph gives for inputs in order."""
        left = iter(inputs)
        for node in self._nodes:
            if node.op == "output":
                return self._given(node.args[0])
            record = annotation(node)
            with told_as(record.calls, record.source):
                self._values[node] = next(left) if node.op == "placeholder" else self._run(node)
        raise AssertionError("a graph has an output")

    def value(self, node: fx.Node) -> Any:
        """Return what a node gave."""
        return self._values[node]

    def _run(self, node: fx.Node) -> Any:
        args, kwargs = self._given(node.args), self._given(node.kwargs)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self._root)
        if node.op == "call_module":
            return self._root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _given(self, argument: Any) -> Any:
        return fx.map_arg(argument, self._values.__getitem__)

    def backward(self, seeds: Mapping[fx.Node, Tensor], at: Sequence[fx.Node]) -> list[Tensor]:
        """Return the gradient at some nodes of a sum of values, each weighted by its seed.

        Args:
            seeds: By node, a tensor of the shape of what it gave.
            at: Where the gradient is wanted.

        Raises:
            NoAdjointError: An operation in between has none; or none leads from there to a seed.
        """
        gradients: Gradients = dict(seeds)
        on_the_way = _between(self._nodes, set(at), set(seeds))
        for node in reversed(self._nodes):
            grad, wanted = gradients.get(node), on_the_way.intersection(node.all_input_nodes)
            if grad is None or not wanted:
                continue
            record = annotation(node)
            with told_as(_backward_calls(record.calls), record.source):
                pulled = list(self._pulled(node, grad))
                for operand, part in pulled:
                    if operand in wanted:
                        _add(gradients, operand, part)
            for operand in wanted.difference(operand for operand, _ in pulled):
                Step(node, None, {}, {}).refuse(f"with respect to %{operand.name}")
        for node in at:
            if node not in gradients:
                raise NoAdjointError(f"nothing leads from %{node.name} to what is asked for")
        return [gradients[node] for node in at]

    def _pulled(self, node: fx.Node, grad: Any) -> Iterator[tuple[fx.Node, Any]]:
        """Give the gradient of each operand of a node."""
        if node.target is operator.getitem and _gives_several(node.args[0]):
            source, index = node.args
            assert isinstance(source, fx.Node)
            if not isinstance(index, int):
                Step(node, None, {}, {}).refuse("parts that are not taken one by one")
            count = len(tensors(annotation(source).value))
            yield source, {index % count: grad}
            return
        op, named, weights = self._call(node)
        if op not in ADJOINTS:
            Step(node, None, {}, {}).refuse("it has no adjoint")
        function = ADJOINTS[op]
        try:
            bound = parameters_of(function).bind(None, None, *node.args, **named, **weights)
        except TypeError as error:
            Step(node, None, {}, {}).refuse(str(error))
        step = Step(node, self._values[node], bound.arguments, self._shaped(node, weights))
        found = function(
            step, self._whole(node, grad), *self._given(node.args), **self._given(named), **weights
        )
        for name, part in found.items():
            yield from _paired(bound.arguments[name], part)

    def _whole(self, node: fx.Node, grad: Any) -> Any:
        """Return a gradient for each part of a result of several, with zeros for those unread."""
        if not isinstance(grad, dict):
            return grad
        return [grad.get(i) for i in range(len(tensors(annotation(node).value)))]

    def _call(self, node: fx.Node) -> tuple[str, dict[str, Any], dict[str, Tensor | None]]:
        """Return operation, named arguments and weights; a layer is a call of its function."""
        named = {
            NUMPY_NAMES.get(name, name): value
            for name, value in node.kwargs.items()
            if name != "inplace"
        }
        if node.op != "call_module":
            return annotation(node).op, named, {}
        module = self._root.get_submodule(str(node.target))
        try:
            op, plain, names = function_call(module)
        except UnknownLayerError as error:
            Step(node, None, {}, {}).refuse(str(error))
        # read by path: while this is traced, that is an operation of its own
        weights = {name: getattr(module, name, None) for name in names}
        return op, {**named, **plain}, weights

    def _shaped(self, node: fx.Node, weights: Iterable[str]) -> dict[str, Tensor | None]:
        """Return a layer's weights for their shapes: traced themselves, the root's have none."""
        if node.op != "call_module":
            return {}
        module = self._module.get_submodule(str(node.target))
        held = {**module._parameters, **module._buffers}  # as they are, whatever traces getattr
        return {n: held[n] if n in held else getattr(module, n, None) for n in weights}


def _backward_calls(calls: tuple[ModuleCall, ...]) -> tuple[ModuleCall, ...]:
    below = [
        ModuleCall(f"{BACKWARD.path}.{call.path}", call.class_name, call.index)
        for call in calls[1:]
    ]
    return (*calls[:1], BACKWARD, *below)


def _between(nodes: Sequence[fx.Node], starts: set[fx.Node], ends: set[fx.Node]) -> set[fx.Node]:
    """Return the nodes on a way from a start to an end through numbers that are not whole."""
    reached = set(starts)
    for node in nodes:
        if not reached.isdisjoint(node.all_input_nodes) and _is_real(node):
            reached.add(node)
    leading = set(ends)
    for node in reversed(nodes):
        if node not in leading and not leading.isdisjoint(node.users):
            leading.add(node)
    return reached & leading


def _is_real(node: fx.Node) -> bool:
    if node.target in ("detach", torch.detach):  # no gradient goes through, nor does autograd's
        return False
    return any(
        info.dtype.startswith(("float", "bfloat")) for info in tensors(annotation(node).value)
    )


def _gives_several(argument: Any) -> bool:
    if not isinstance(argument, fx.Node):
        return False
    record = annotation(argument)  # of attention without its weights, one tensor and None
    return isinstance(record.value, tuple) or record.op == "multihead_attention"


def _paired(argument: Any, grad: Any) -> Iterator[tuple[fx.Node, Any]]:
    """Pair nodes of an argument with their gradients."""
    if isinstance(argument, fx.Node):
        if grad is not None:
            yield argument, grad
    elif isinstance(argument, tuple | list) and isinstance(grad, tuple | list):
        for item, part in zip(argument, grad, strict=True):
            yield from _paired(item, part)


def _add(gradients: Gradients, node: fx.Node, part: Any) -> None:
    before = gradients.get(node)
    if before is None:
        gradients[node] = part
    elif isinstance(part, dict):
        gradients[node] = {
            index: _sum(before.get(index), part.get(index)) for index in {**before, **part}
        }
    else:
        gradients[node] = before + part


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return torch.add(a, b)
