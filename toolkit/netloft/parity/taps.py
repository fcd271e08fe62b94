"""Values before a saturating head: softmax and sigmoid hide faults, so look in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation

__all__ = ["Tap", "find_taps", "tapped_module", "tapped_onnx"]

SATURATING = {
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}
_PASSING = {"reshape", "flatten", "squeeze", "unsqueeze", "identity", "dropout", "permute"}
_PASSING_ONNX = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "Dropout"}


@dataclass(frozen=True)
class Tap:
    """A value in front of a saturating head.

    Attributes:
        name: For the report, e.g. `output before softmax`.
        output: Name of the output that the head gives.
        node: Name of the graph node that gives the value.
        value: Name of the same value in the ONNX file.
        dtype: Its element type.
    """

    name: str
    output: str
    node: str
    value: str
    dtype: str


def find_taps(graph: Graph, model: onnx.ModelProto) -> tuple[Tap, ...]:
    """Find the heads that both the graph and the file have."""
    found = []
    for output in graph.outputs:
        head = _graph_head(graph.node(output.node))
        value = _onnx_head(model, output.name, SATURATING[annotation(head).op]) if head else None
        if head is not None and value is not None:
            operand = head.all_input_nodes[0]
            op = annotation(head).op
            info = annotation(operand).value
            dtype = info.dtype if isinstance(info, TensorInfo) else output.info.dtype
            name = f"{output.name} before {op}"
            found.append(Tap(name, output.name, operand.name, value, dtype))
    own = {output.name for output in model.graph.output}
    distinct = {tap.value: tap for tap in found if tap.value not in own}
    return tuple(distinct.values())


def _graph_head(node: fx.Node) -> fx.Node | None:
    while annotation(node).op in _PASSING and node.all_input_nodes:
        node = node.all_input_nodes[0]
    if annotation(node).op not in SATURATING or not node.all_input_nodes:
        return None
    given, made = annotation(node.all_input_nodes[0]).value, annotation(node).value
    # what stands before a head that casts is another value in the file
    casts = (
        isinstance(given, TensorInfo) and isinstance(made, TensorInfo) and given.dtype != made.dtype
    )
    return None if casts else node


def _onnx_head(model: onnx.ModelProto, output: str, op_type: str) -> str | None:
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(output)
    while node is not None and node.op_type in _PASSING_ONNX:
        node = producers.get(node.input[0])
    if node is None or node.op_type != op_type or node.input[0] not in producers:
        return None
    return str(node.input[0])


def tapped_module(graph: Graph, taps: Mapping[str, str]) -> fx.GraphModule:
    """Return a graph of the same weights that gives a dict of what some of its nodes give.

    Args:
        graph: The graph.
        taps: Names of nodes, by the names that their values get.
    """
    tapped = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    tapped.graph_copy(graph.module.graph, copies)
    tapped.output({name: copies[graph.node(node)] for name, node in taps.items()})
    return fx.GraphModule(graph.module, tapped)


def tapped_onnx(model: onnx.ModelProto, taps: Sequence[Tap]) -> bytes:
    """Return a model's bytes with the tapped values as further outputs."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for tap in taps:
        element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tap.dtype))
        copied.graph.output.append(onnx.helper.make_tensor_value_info(tap.value, element, None))
    data: bytes = copied.SerializeToString()
    return data
