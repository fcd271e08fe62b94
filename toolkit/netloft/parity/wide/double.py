"""An ONNX file in float64: what it would give if nothing were rounded; needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper

from netloft.errors import CheckError

__all__ = ["MOST_BYTES", "Doubled", "bytes_of_weights", "doubled"]

_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype")
"""Attributes that name the element type of a result."""
_PLAIN_FLOATS = {"value_float": (), "value_floats": (-1,)}
"""Attributes of Constant that are float32 by definition, and the shapes of what they stand for."""
MOST_BYTES = 1 << 29
"""Weights of a file that is still widened: protobuf ends at 2 GiB, and float64 is twice as much."""


@dataclass(frozen=True)
class Doubled:
    """A file in float64.

    Attributes:
        model: The file, with its inputs and outputs in float64 too.
        narrow: Operators that ONNX defines for float32 and not for float64, which still round.
    """

    model: onnx.ModelProto
    narrow: tuple[str, ...]


def doubled(path: Path) -> Doubled:
    """Return a file with its weights, constants and types widened to float64.

    Where an operator takes or gives float32 alone (the scales of a Resize, what a DequantizeLinear
    gives), a Cast stands before or behind it.

    Args:
        path: The file; weights that lie beside it are read.

    Raises:
        CheckError: It is too large, or has an operator whose types are not known.
    """
    if bytes_of_weights(onnx.load(str(path), load_external_data=False)) > MOST_BYTES:
        raise CheckError(f"its weights are more than {MOST_BYTES >> 20} MiB")
    model = onnx.load(str(path))
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model.ir_version = max(model.ir_version, 4)  # before, all weights were inputs too
    widening = _Widening({entry.domain: entry.version for entry in model.opset_import})
    widening.types = _types(model)
    widening.graph(model.graph)
    return Doubled(model, tuple(sorted(widening.narrow)))


def bytes_of_weights(header: onnx.ModelProto) -> int:
    """Return how much memory a file's weights take, as if all of them were float32."""
    sizes = (int(np.prod([*tensor.dims], dtype=np.float64)) for tensor in header.graph.initializer)
    return 4 * sum(sizes)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element types of all values of a file, as far as they can be inferred."""
    found: dict[str, int] = {}
    for graph in _graphs(onnx.shape_inference.infer_shapes(model).graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            found[value.name] = value.type.tensor_type.elem_type
        found |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in _inside(attribute):
                yield from _graphs(inner)


def _inside(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    # to look at a graph that is not there would put an empty one there
    is_graph = attribute.type == onnx.AttributeProto.GRAPH
    return [attribute.g] if is_graph else list(attribute.graphs)


@dataclass
class _Widening:
    """A file on its way to float64.

    Attributes:
        opsets: Version of each domain.
        types: Element types of the values, as they were.
        narrow: Operators that give float32 whatever they get.
    """

    opsets: Mapping[str, int]
    types: Mapping[str, int] = field(default_factory=dict)
    narrow: set[str] = field(default_factory=set)

    def graph(self, graph: onnx.GraphProto) -> None:
        """Widen a graph, and those inside of its nodes."""
        if graph.sparse_initializer:
            raise CheckError("it has sparse weights")
        for tensor in graph.initializer:
            _widen(tensor)
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _NARROW:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        del graph.value_info[:]
        nodes = [made for node in graph.node for made in self._node(node)]
        del graph.node[:]
        graph.node.extend(nodes)

    def _node(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield a node with the casts that it needs."""
        schema = self._schema(node)
        for attribute in node.attribute:
            self._attribute(attribute)
        if node.op_type == "ConstantOfShape" and not node.attribute:  # its default is float32's 0
            zero = numpy_helper.from_array(np.zeros(1), "")
            node.attribute.append(helper.make_attribute("value", zero))
        if node.op_type == "Constant":
            _widen_constant(node)
        after = list[onnx.NodeProto]()
        for index, name in enumerate(node.input):
            if name and self.types.get(name) in _NARROW and not _takes(schema.inputs, index):
                node.input[index] = f"{name}/float32/{node.output[0]}/{index}"
                yield helper.make_node("Cast", [name], [node.input[index]], to=TensorProto.FLOAT)
        for index, name in enumerate(node.output):
            if name and self.types.get(name) in _NARROW and not _takes(schema.outputs, index):
                self.narrow.add(node.op_type)
                node.output[index] = f"{name}/float32"
                cast = helper.make_node("Cast", [node.output[index]], [name], to=TensorProto.DOUBLE)
                after.append(cast)
        yield node
        yield from after

    def _schema(self, node: onnx.NodeProto) -> onnx.defs.OpSchema:
        version = self.opsets.get(node.domain, self.opsets.get("", 1))
        try:
            return _schema_of(node.op_type, version, node.domain)
        except onnx.defs.SchemaError as error:
            name = ".".join(filter(None, (node.domain, node.op_type)))
            raise CheckError(f"which types {name} takes is not known") from error

    def _attribute(self, attribute: onnx.AttributeProto) -> None:
        if attribute.type == onnx.AttributeProto.TENSOR:
            _widen(attribute.t)
        if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _NARROW:
            attribute.i = TensorProto.DOUBLE
        for inner in _inside(attribute):
            self.graph(inner)


@functools.cache
def _schema_of(op_type: str, version: int, domain: str) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(op_type, version, domain)


def _takes(formal: Sequence[onnx.defs.OpSchema.FormalParameter], index: int) -> bool:
    """Tell whether float64 may stand in a place; the last one of many stands for those behind."""
    types = formal[min(index, len(formal) - 1)].types
    return any("tensor(double)" in each for each in types)


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        array = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _widen_constant(node: onnx.NodeProto) -> None:
    """Put a tensor in the place of plain numbers."""
    for attribute in [*node.attribute]:
        if attribute.name in _PLAIN_FLOATS:
            numbers = attribute.floats if attribute.name == "value_floats" else attribute.f
            shape = _PLAIN_FLOATS[attribute.name]
            value = numpy_helper.from_array(np.array(numbers, np.float64).reshape(shape), "")
            node.attribute.remove(attribute)
            node.attribute.append(helper.make_attribute("value", value))
