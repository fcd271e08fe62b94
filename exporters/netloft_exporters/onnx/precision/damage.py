"""What rounding one layer alone costs at the end of the network.

A layer's own error says little: MobileNetV2 with random weights turns the rounding of a picture to
8 bits, which is all that its first layer's input gets, into an error of a sixth at its end. So each
layer in turn runs in float32 weights and values as the quantised file has them, and all others as
they were; the error at the outputs is what that layer costs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.parity.task_level import rms_error
from netloft.runtime.providers import start_session
from netloft_exporters.onnx.precision.layers import producers_of

__all__ = ["damages"]

Arrays = Mapping[str, npt.NDArray[Any]]


def damages(
    source: Path, quantised: Path, layers: Collection[str], feeds: Arrays
) -> dict[str, float]:
    """Return the relative error at the outputs of rounding each layer alone.

    Args:
        source: The float32 file.
        quantised: The file that was made from it; of a layer that it keeps in float32 the inputs
            may be rounded.
        layers: Names of the nodes to measure, in both files.
        feeds: Inputs by name.

    Returns:
        The largest over the outputs, root mean square over that of the float32 result, by layer.
    """
    model, other = onnx.load(source), onnx.load(quantised)
    true = _run(model, feeds)
    found = dict[str, float]()
    for name in layers:
        mixed = _with_one(model, other, name)
        if mixed is not None:
            pairs = zip(_run(mixed, feeds), true, strict=True)
            found[name] = max(rms_error(value, wanted) for value, wanted in pairs)
    return found


def _run(model: onnx.ModelProto, feeds: Arrays) -> Sequence[npt.NDArray[Any]]:
    session = start_session(model.SerializeToString(), "cpu")
    values = session.run(None, dict(feeds))
    return [value for value in values if np.issubdtype(value.dtype, np.floating)]


def _with_one(
    model: onnx.ModelProto, quantised: onnx.ModelProto, name: str
) -> onnx.ModelProto | None:
    """Return the float32 model with one layer as the quantised one has it; None where it is not.

    The quantizer names the layer's result as the float32 graph does, after an activation that it
    absorbed; only an output of the whole graph is named behind its rounding.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel

    nodes = {node.name: node for node in quantised.graph.node}
    layer = nodes.get(name)
    if layer is None:
        return None
    readers = {node.input[0]: node for node in nodes.values() if node.op_type in _ROUNDING}
    rounding = readers.get(layer.output[0])
    back = readers.get(rounding.output[0]) if rounding is not None else None
    behind = [node for node in (rounding, back) if node is not None]
    values = producers_of(model)
    ends = [layer.output[0], *(node.output[0] for node in behind)]
    true = next((value for value in ends if value in values), None)
    if true is None:
        return None
    mixed = onnx.ModelProto()
    mixed.CopyFrom(model)
    for node in mixed.graph.node:
        if true in node.output:
            node.output[:] = [
                f"{value}{_TRUE}" if value == true else value for value in node.output
            ]
    _Copier(mixed, quantised, true).copy(layer, behind)
    ordered = ONNXModel(mixed)
    ordered.topological_sort()
    made: onnx.ModelProto = ordered.model
    return made


_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
_OWN, _TRUE = "own!", "!true"


class _Copier:
    """Copy a layer of the quantised model, with its roundings, into a float32 one."""

    def __init__(self, mixed: onnx.ModelProto, quantised: onnx.ModelProto, true: str) -> None:
        self._graph, self._true = mixed.graph, true
        self._producers = producers_of(quantised)
        self._weights = {tensor.name: tensor for tensor in quantised.graph.initializer}
        self._done = set[str]()

    def copy(self, layer: onnx.NodeProto, behind: Sequence[onnx.NodeProto]) -> None:
        given = self._node(layer, [self._input(value) for value in layer.input])
        for node in behind:
            given = self._node(node, [given, *map(self._weight, node.input[1:])])
        self._graph.node[-1].output[:] = [self._true]

    def _input(self, value: str) -> str:
        """Return an input, rounded where it is rounded in the quantised model."""
        node = self._producers.get(value)
        if node is None or node.op_type not in _ROUNDING:
            return self._weight(value)
        inputs = [self._input(node.input[0]), *map(self._weight, node.input[1:])]
        return self._node(node, inputs)

    def _weight(self, value: str) -> str:
        """Return a weight under a name that is free in the float32 model."""
        tensor = self._weights.get(value)
        if tensor is None:
            return value
        name = f"{_OWN}{value}"
        if name not in self._done:
            held = self._graph.initializer.add()
            held.CopyFrom(tensor)
            held.name = name
            self._done.add(name)
        return name

    def _node(self, node: onnx.NodeProto, inputs: Sequence[str]) -> str:
        output = f"{_OWN}{node.output[0]}"
        if output not in self._done:
            copied = self._graph.node.add()
            copied.CopyFrom(node)
            copied.name = f"{_OWN}{node.name}"
            copied.input[:] = inputs
            copied.output[:] = [output]
            self._done.add(output)
        return output
