"""Names that carry the module path, and metadata that carries no path of the builder's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import onnx_ir as ir

from netloft import __version__
from netloft.defaults import MODULE, SCOPE
from netloft.graph.graph import Graph
from netloft_exporters.onnx.lowered import Lowered

__all__ = ["name_model"]


def name_model(
    lowered: Lowered, graph: Graph, metadata: Mapping[str, str] | None = None
) -> ir.Model:
    """Name every node after its module call and rewrite all metadata.

    Given:
        node_Conv_293: metadata with absolute paths and whole stack traces

    Result:
        layer1.0.conv1/Conv: netloft.module, netloft.class, netloft.source (relative), and
        netloft.scope, the calls around it with their classes

    Two exports of one network give the same names, whatever the folder they were made in.

    Args:
        lowered: Changed in place.
        graph: What it was made from.
        metadata: What the file tells beside its graph, by key.
    """
    model = lowered.model
    _name_values(model, graph)
    used: Counter[str] = Counter()
    scopes = _scopes(graph)
    keep = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    keep |= {name for name, value in model.graph.initializers.items() if value.name == name}
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        module = node.metadata_props.get(MODULE, "")
        if module in scopes:
            node.metadata_props[SCOPE] = scopes[module]
        node.name = _unique(f"{module}/{node.op_type}".lstrip("/"), used)
        node.doc_string = None
        for index, output in enumerate(node.outputs):
            if output.name not in keep and output.name:
                output.name = f"{node.name}:{index}"
            output.metadata_props.clear()
    _strip(model)
    model.metadata_props.update(metadata or {})
    model.graph.name = graph.name
    model.producer_name, model.producer_version = "netloft", __version__
    return model


def _scopes(graph: Graph) -> dict[str, str]:
    """Tell for each module call those around it: a path does not say which of its words call."""
    calls = {str(record.calls[-1]): record.calls[1:] for _, record in graph if record.calls}
    return {
        call: json.dumps([[str(outer), outer.class_name] for outer in around], ensure_ascii=False)
        for call, around in calls.items()
        if "." in call
    }


def _name_values(model: ir.Model, graph: Graph) -> None:
    """Give inputs and outputs the graph's names; each output gets a value of its own."""
    _free_names(model, {value.name for value in (*graph.inputs, *graph.outputs)})
    for found, wanted in zip(model.graph.inputs, graph.inputs, strict=True):
        found.name = wanted.name
    taken = {id(value) for value in model.graph.inputs}
    for index, (value, wanted) in enumerate(zip(model.graph.outputs, graph.outputs, strict=True)):
        if id(value) in taken or value.is_initializer():
            # an input or a weight handed through, or one value returned twice
            node = ir.node("Identity", [value])
            node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
            model.graph.append(node)
            model.graph.outputs[index] = value = node.outputs[0]
        value.name = wanted.name
        taken.add(id(value))


def _free_names(model: ir.Model, names: set[str]) -> None:
    """Rename weights that stand under a name that an input or output needs."""
    weights = model.graph.initializers
    for value in list(weights.values()):
        name = value.name or ""
        if name not in names:
            continue
        del weights[name]
        while name in names or name in weights:
            name = f"{name}_value"
        value.name = name
        weights[name] = value


def _unique(name: str, used: Counter[str]) -> str:
    used[name] += 1
    return name if used[name] == 1 else f"{name}@{used[name] - 1}"


def _strip(model: ir.Model) -> None:
    model.metadata_props.clear()
    model.doc_string = None
    for graph in (model.graph, *_branches(model)):
        graph.metadata_props.clear()
        graph.doc_string = None
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
            value.metadata_props.clear()
            value.doc_string = None


def _branches(model: ir.Model) -> Iterator[ir.Graph]:
    """Return the graphs inside of nodes: the two ways of an If."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield attribute.as_graph()
