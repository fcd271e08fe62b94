"""The exported file with what every node of the graph gives as a further output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from netloft.defaults import DEFAULT_OPSET
from netloft.errors import ExportError
from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph
from netloft.passes import DEFAULT, NotFunctionalError, run_passes
from netloft_exporters.onnx.check import IR_VERSION
from netloft_exporters.onnx.direct_route import lower_directly
from netloft_exporters.onnx.lowering import Unsupported
from netloft_exporters.onnx.lowering.context import dtype_of
from netloft_exporters.onnx.naming import name_model
from netloft_exporters.onnx.writing import parts_of, write_parts

__all__ = ["Watched", "write_watched"]

_FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Watched:
    """A file to look into.

    Attributes:
        graph: After its passes: what the file was made from, node by node.
        outputs: Names of the file's outputs, by the node of `graph` that gives the same.
    """

    graph: Graph
    outputs: dict[str, str]


def write_watched(graph: Graph, path: Path, opset: int = DEFAULT_OPSET) -> Watched:
    """Write a file whose outputs are all real tensors on the way, in a folder of our own.

    Raises:
        ExportError: netloft does not lower the graph itself, so it cannot tell which is which.
    """
    try:
        passed = run_passes(graph, DEFAULT)
        lowered = lower_directly(passed.graph, opset)
    except (Unsupported, NotFunctionalError) as reason:
        raise ExportError(
            f"the network is exported by torch.onnx, since netloft's own route lacks {reason}; "
            "which of its values is which is not known there",
            remedy="netloft verify compares the outputs",
        ) from reason
    model = name_model(lowered, graph)
    model.ir_version = IR_VERSION
    found = _real(passed.graph, model, lowered.values)
    own = {id(value) for value in model.graph.outputs}
    further = {id(value): value for value in found.values() if id(value) not in own}
    model.graph.outputs.extend(further.values())
    write_parts(parts_of(model), path)
    return Watched(passed.graph, {name: value.name or "" for name, value in found.items()})


def _real(graph: Graph, model: ir.Model, values: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    """Return the real tensors among the values that the file's nodes make, with their types."""
    made = {id(value) for node in model.graph for value in node.outputs}
    found = {}
    for node, record in graph:
        value, info = values.get(node.name), record.value
        if value is None or id(value) not in made or not isinstance(info, TensorInfo):
            continue
        if info.dtype in _FLOATS:
            value.type = ir.TensorType(dtype_of(info.dtype))
            found[node.name] = value
    return found
