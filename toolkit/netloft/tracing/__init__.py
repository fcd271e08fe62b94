"""Module in, proven and annotated graph out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from netloft.errors import InputError, TraceError
from netloft.graph.annotation import ModuleCall, TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.graph import DeadModule, Graph, Value
from netloft.tracing.annotate import annotate
from netloft.tracing.faithful import check_faithful, flatten_outputs, silent
from netloft.tracing.shapes import propagate_shapes
from netloft.tracing.tracer import (
    Tracer,
    bind_inputs,
    detached_copy,
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
) -> Graph:
    """Trace a module into an annotated graph, and prove that it computes the same.

    Args:
        module: A network in eval mode; it is not changed.
        example_inputs: Tensors in order or by name, each with the batch as its first axis.
        batch: `dynamic`, or the one batch size that the graph is for.
        name: Short name of the model; its class in lower case by default.

    Returns:
        The graph; its parameters are the module's own tensors.

    Raises:
        TraceError: The module has no such graph; the message names the line.
        InputError: The inputs do not fit.
    """
    _refuse_training(module)
    inputs = _as_batched(bind_inputs(module, example_inputs), batch)
    work = detached_copy(module)
    tracer = Tracer(inputs)
    fx_graph = tracer.trace(work)
    erased = remove_dead(fx_graph, work)
    dead = _dead_modules(module, tracer.called, fx_graph, erased)
    unused = _unused_parameters(module, dead, fx_graph)
    disarm_names(fx_graph, work)
    graph_module = fx.GraphModule(work, fx_graph, type(module).__name__)
    check_faithful(detached_copy(module), graph_module, inputs, batch)
    annotate(graph_module, propagate_shapes(graph_module, inputs, batch))
    return Graph(
        module=graph_module,
        name=name or type(module).__name__.lower(),
        class_name=type(module).__name__,
        inputs=_inputs(graph_module),
        outputs=_outputs(module, graph_module, inputs),
        batch=batch,
        modules=(ModuleCall("", type(module).__name__), *tracer.called),
        dead_modules=dead,
        unused_parameters=unused,
        side_effects=tuple(dict.fromkeys(tracer.side_effects)),
    )


def _refuse_training(module: nn.Module) -> None:
    training = [path for path, child in module.named_modules() if child.training]
    if training:
        raise TraceError(
            f"{type(module).__name__} is in training mode",
            module=training[0] or "the whole network",
            remedy="call .eval() before tracing",
        )


def _as_batched(inputs: dict[str, torch.Tensor], batch: str | int) -> dict[str, torch.Tensor]:
    sizes = {name: t.shape[0] for name, t in inputs.items() if t.dim()}
    if not sizes:
        raise InputError(
            "no input has a batch axis", remedy="give an --input whose first axis is the batch"
        )
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"the inputs have different batch sizes: {sizes}",
            remedy="give every --input the same first length",
        )
    if isinstance(batch, int) and batch < 1:
        raise InputError(f"batch {batch} is not a size", remedy="give --batch dynamic or 1, 2, …")
    if isinstance(batch, int):
        from netloft.tracing.shapes import resized

        return {name: resized(t, batch) if t.dim() else t for name, t in inputs.items()}
    return inputs


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


def _outputs(
    module: nn.Module, graph: fx.GraphModule, inputs: Mapping[str, torch.Tensor]
) -> tuple[Value, ...]:
    with torch.no_grad(), silent():
        names = list(flatten_outputs(graph(**{k: t.clone() for k, t in inputs.items()})))
    (output,) = (n for n in graph.graph.nodes if n.op == "output")
    infos = tensors(output.meta["netloft"].value)
    nodes = _output_nodes(output.args[0])
    if not (len(names) == len(infos) == len(nodes)) or not names:
        raise TraceError(
            f"{type(module).__name__} returns something other than tensors in dicts and tuples",
            remedy="return a tensor, or a dict, tuple or list of tensors",
        )
    return tuple(
        Value(name, info, node) for name, info, node in zip(names, infos, nodes, strict=True)
    )


def _output_nodes(result: Any) -> list[str]:
    if isinstance(result, fx.Node):
        # a leaf module or function may give several tensors at once (an LSTM, a chunk)
        count = max(len(tensors(result.meta["netloft"].value)), 1)
        return [result.name] * count
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return [name for item in result for name in _output_nodes(item)]
    return []


def _used_prefixes(calls: list[ModuleCall], graph: fx.Graph) -> set[str]:
    used = {call.path for call in calls}
    used |= {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
    return {"", *used}


def _dead_modules(
    module: nn.Module, calls: list[ModuleCall], graph: fx.Graph, erased: list[fx.Node]
) -> tuple[DeadModule, ...]:
    """Modules never called, and whose children never are either; the topmost of each subtree."""
    used = _used_prefixes(calls, graph)
    dropped = {str(n.target) for n in erased if n.op == "call_module"}
    kept = {str(n.target) for n in graph.nodes if n.op == "call_module"}
    used -= dropped - kept
    dead: list[DeadModule] = []
    for path, child in module.named_modules():
        alive = any(u == path or u.startswith(f"{path}.") for u in used if u) or not path
        covered = any(path.startswith(f"{d.path}.") for d in dead)
        parametrised = ".parametrizations" in f".{path}"
        owner_used = parametrised and path.split(".parametrizations")[0].rstrip(".") in used
        if not alive and not covered and not owner_used and not _inside_leaf(path, used):
            size = sum(p.numel() for p in child.parameters())
            dead.append(DeadModule(path, type(child).__name__, size))
    return tuple(dead)


def _inside_leaf(path: str, used: set[str]) -> bool:
    """A module below a called leaf (the projection in an attention layer) runs with the leaf."""
    parts = path.split(".")
    leaves = {u for u in used if u and not any(v.startswith(f"{u}.") for v in used)}
    return any(".".join(parts[:n]) in leaves for n in range(1, len(parts)))


def _unused_parameters(
    module: nn.Module, dead: tuple[DeadModule, ...], graph: fx.Graph
) -> dict[str, int]:
    leaves = {str(n.target) for n in graph.nodes if n.op == "call_module"}
    read = {str(n.target) for n in graph.nodes if n.op == "get_attr"}
    names = dict(module.named_parameters(remove_duplicate=False))
    live_ids = {
        id(p)
        for name, p in names.items()
        if name in read or any(name.startswith(f"{leaf}.") for leaf in leaves)
    }
    return {
        name: p.numel()
        for name, p in names.items()
        if id(p) not in live_ids and not any(name.startswith(f"{m.path}.") for m in dead)
    }
