"""Module in, proven and annotated graph out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn

from netloft.errors import TraceError
from netloft.garbage import collector_paused
from netloft.graph.annotation import ModuleCall, TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph, Value
from netloft.graph.module import compiled, make_module
from netloft.graph.results import output_nodes
from netloft.tracing.annotate import annotate
from netloft.tracing.axes import Axes, checked_axes, lengths_of
from netloft.tracing.capture import Captured, capture
from netloft.tracing.clone import detached_copy, private_copy
from netloft.tracing.dead import dead_modules, unused_parameters
from netloft.tracing.declared import check_declared
from netloft.tracing.faithful import UnfaithfulError, check_faithful, flatten_outputs
from netloft.tracing.guard import as_batched, check_module
from netloft.tracing.nesting import room_for
from netloft.tracing.shapes import propagate_shapes
from netloft.tracing.tracer import (
    bind_inputs,
    disarm_names,
    remove_dead,
)

__all__ = ["trace"]


def trace(
    module: nn.Module,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    batch: str | int = "dynamic",
    *,
    name: str = "",
    prove: bool = True,
    dynamic: Axes = MappingProxyType({}),
) -> Graph:
    """Trace a module into an annotated graph, and prove that it computes the same.

    Args:
        module: A network in eval mode; it is not changed.
        example_inputs: Tensors in order or by name, each with the batch as its first axis.
        batch: `dynamic`, or the one batch size that the graph is for.
        name: Short name of the model; its class in lower case by default.
        prove: Run module and graph side by side at several batch sizes. Without it neither is run
            on data, and a module that is random, keeps state between calls or branches on what
            tracing cannot see gives a graph that is wrong: for a caller who proves it afterwards.
            A module that only torch.export captures is run and proven all the same.
        dynamic: Other axes whose length is left open, such as `{"x": {2: "height", 3: "width"}}`.

    Returns:
        The graph; its parameters are the module's own tensors.

    Raises:
        TraceError: The module has no such graph; the message names the line.
        InputError: The inputs do not fit.
    """
    check_module(module)
    inputs = as_batched(bind_inputs(compiled(module), example_inputs), batch)
    # proving copies the network, so that there the collector is needed
    axes = checked_axes(dynamic, inputs)
    check_declared(module, inputs, batch, axes)
    with room_for(module), contextlib.nullcontext() if prove else collector_paused():
        return _traced(module, inputs, batch, name, prove, axes)


def _traced(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    batch: str | int,
    name: str,
    prove: bool,
    axes: Axes,
) -> Graph:
    captured = capture(module, inputs, batch, axes, private_copy if prove else detached_copy)
    called = captured.tracer.called
    erased = remove_dead(captured.graph, captured.root)
    dead = dead_modules(module, called, captured.graph, erased)
    unused = unused_parameters(module, dead, captured.graph)
    disarm_names(captured.graph, captured.root)
    graph_module = make_module(captured.root, captured.graph, type(module).__name__)
    lengths: dict[str, tuple[int, ...]] = {
        symbol: (length,) for symbol, length in lengths_of(axes, inputs).items()
    }
    if prove or captured.refusal:
        others = _proven(captured, module, graph_module, inputs, batch, axes)
        lengths = {symbol: (*lengths[symbol], other) for symbol, other in others.items()}
        _share_weights(captured, graph_module, module)
    shapes = propagate_shapes(graph_module, inputs, batch, axes, captured.runs)
    captured.tracer.forget()
    annotate(graph_module, shapes, lengths_of(axes, inputs))
    return Graph(
        module=graph_module,
        name=name or type(module).__name__.lower(),
        class_name=type(module).__name__,
        inputs=_inputs(graph_module),
        outputs=_outputs(module, graph_module, tuple(flatten_outputs(shapes.result))),
        batch=batch,
        modules=(ModuleCall("", type(module).__name__), *called),
        dead_modules=dead,
        unused_parameters=unused,
        side_effects=tuple(dict.fromkeys(captured.tracer.side_effects)),
        axes=axes,
        lengths=lengths,
        capture=captured.how,
        program=captured.program,
    )


def _proven(
    captured: Captured,
    module: nn.Module,
    graph: fx.GraphModule,
    inputs: Mapping[str, torch.Tensor],
    batch: str | int,
    axes: Axes,
) -> dict[str, int]:
    """Prove a graph; one that torch.export captured wrongly is told with why torch.fx stopped."""
    try:
        return check_faithful(module, captured.root, graph, inputs, batch, axes)
    except UnfaithfulError as fault:
        raise captured.explained(fault) from fault


def _share_weights(captured: Captured, graph: fx.GraphModule, module: nn.Module) -> None:
    """Let the graph hold the module's own tensors, so that no weight is kept twice."""
    own = dict(graph.named_parameters(remove_duplicate=False))
    held = {} if captured.program is None else captured.program.state_dict
    for path, parameter in module.named_parameters(remove_duplicate=False):
        if path in own:
            owner, _, name = path.rpartition(".")
            setattr(graph.get_submodule(owner), name, parameter)
        if path in held:
            held[path] = parameter


def _inputs(module: fx.GraphModule) -> tuple[Value, ...]:
    found = []
    for node in module.graph.nodes:
        if node.op == "placeholder":
            info = node.meta["netloft"].value
            assert isinstance(info, TensorInfo)
            found.append(Value(node.target, info, node.name))
    if len(found) == 1:  # what a person who has only the file would try first
        return (Value("input", found[0].info, found[0].node),)
    return tuple(found)


def _outputs(module: nn.Module, graph: fx.GraphModule, names: Sequence[str]) -> tuple[Value, ...]:
    (output,) = (n for n in graph.graph.nodes if n.op == "output")
    infos = tensors(output.meta["netloft"].value)
    nodes = output_nodes(output.args[0])
    complex_ = [info.dtype for info in infos if info.dtype.startswith("complex")]
    if complex_:
        raise TraceError(
            f"{type(module).__name__} returns {complex_[0]} numbers, which ONNX files do not hold",
            remedy="return torch.view_as_real of it",
        )
    if not (len(names) == len(infos) == len(nodes)) or not names or "" in nodes:
        raise TraceError(
            f"{type(module).__name__} returns something other than tensors in dicts and tuples",
            remedy="return a tensor, or a dict, tuple or list of tensors",
        )
    unlike = _unlike(names, {value.name for value in _inputs(graph)})
    return tuple(
        Value(name, info, node) for name, info, node in zip(unlike, infos, nodes, strict=True)
    )


def _unlike(names: Sequence[str], taken: set[str]) -> Iterator[str]:
    """Give each output that is named like an input another name."""
    for name in names:
        free = name
        while free in taken or (free != name and free in names):
            free = f"{free}_out"
        yield free
