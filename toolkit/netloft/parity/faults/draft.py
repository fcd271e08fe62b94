"""A copy of a file in which a fault can be planted; its weights stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from netloft.defaults import INLINE_LIMIT
from netloft.parity.flat import flat_header

__all__ = ["Draft", "Original", "Plant", "Planted"]

Array = npt.NDArray[Any]
Shape = tuple[int | str | None, ...]
Planted = tuple[NodeProto, str] | None
"""The node that was changed and what was done to it; None where the file has no place for it."""

_KEEP_SIGN = {
    "AveragePool", "Concat", "Dropout", "Expand", "Flatten", "Gather", "GlobalAveragePool",
    "GlobalMaxPool", "Identity", "MaxPool", "ReduceMax", "ReduceMean", "ReduceSum", "Reshape",
    "Slice", "Squeeze", "Transpose", "Unsqueeze", "Add", "Mul",
}  # fmt: skip
_NOT_NEGATIVE = {"Relu", "Sigmoid", "Softmax", "Abs", "Exp", "Sqrt", "HardSigmoid", "Softplus"}


class Original:
    """A file, read once, that any number of drafts are made of.

    Attributes:
        path: Of the file, which is never written to.
        model: Without its large weights, functions called where they stand, constants as weights.
        shapes: Lengths of each value, as far as they can be inferred.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = _plain(flat_header(path))
        self.shapes = _shapes(self.model)

    @property
    def folder(self) -> Path:
        """Where the weights lie that are not in the model."""
        return self.path.absolute().parent


class Draft:
    """A copy of the model of a file, to be changed in one place.

    Attributes:
        model: The copy; weights that are not changed lie outside, in `folder`.
        folder: Of the file.
    """

    def __init__(self, original: Original) -> None:
        self._original = original
        self.folder = original.folder
        self.model = onnx.ModelProto()
        self.model.CopyFrom(original.model)
        self.graph = self.model.graph
        self._weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self._live = _live(self.graph, self.producers)

    def nodes(self, random: Random, *kinds: str) -> list[NodeProto]:
        """Return the nodes of these kinds that outputs depend on, in a random order."""
        found = [n for n in self._live if n.op_type in kinds and n.domain in ("", "ai.onnx")]
        random.shuffle(found)
        return found

    def shape(self, name: str) -> Shape | None:
        """Return the lengths of a value; None where its rank is not known."""
        if name in self._weights:
            return tuple(self._weights[name].dims)
        return self._original.shapes.get(name)

    def is_constant(self, name: str) -> bool:
        """Tell whether a value is a weight or a constant, and one that can be replaced."""
        tensor = self._weights.get(name)
        return tensor is not None and int(np.prod(tensor.dims)) * 8 < INLINE_LIMIT

    def constant(self, node: NodeProto, index: int) -> Array | None:
        """Read the constant that is an operand of a node; None where it is not one."""
        if index >= len(node.input) or not self.is_constant(node.input[index]):
            return None
        tensor = TensorProto()
        tensor.CopyFrom(self._weights[node.input[index]])
        return np.array(numpy_helper.to_array(tensor, str(self.folder)))

    def change(self, node: NodeProto, index: int, array: Array) -> bool:
        """Put another constant in the place of an operand, for this node alone.

        Returns:
            False, and nothing is done, where it is the same one.
        """
        before = self.constant(node, index)
        if before is not None and np.array_equal(before, array):
            return False
        name = node.input[index]
        users = sum(name == used for other in self.graph.node for used in other.input)
        if users > 1 or before is None:
            name = node.input[index] = f"{name}/changed"
            self._weights[name] = self.graph.initializer.add()
        made = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self._weights[name].CopyFrom(made)
        return True

    def insert(self, node: NodeProto, place: int) -> None:
        """Add a node to the graph, ahead of the one at that place."""
        self.graph.node.insert(place, node)

    def place(self, node: NodeProto) -> int:
        """Return where a node stands in the graph."""
        made = [other.output[0] for other in self.graph.node]
        return made.index(node.output[0])

    def forget(self, name: str) -> tuple[int, list[int]]:
        """Take a weight out of the graph, and return its element type and shape."""
        tensor = self._weights.pop(name)
        found = tensor.data_type, list(tensor.dims)
        self.graph.initializer.remove(tensor)
        return found

    def users(self, name: str) -> Iterator[NodeProto]:
        """Return the nodes that take a value."""
        return (node for node in self._live if name in node.input)

    def not_negative(self, name: str, depth: int = 12) -> bool:
        """Tell whether a value has no negative elements, whatever comes in."""
        node = self.producers.get(name)
        if node is None or depth == 0:
            return False
        if node.op_type in _NOT_NEGATIVE:
            return True
        if node.op_type == "Clip":
            least = self.constant(node, 1)
            return least is not None and float(least) >= 0
        operands = node.input if node.op_type in ("Add", "Mul", "Concat") else node.input[:1]
        return node.op_type in _KEEP_SIGN and all(
            self.not_negative(operand, depth - 1) for operand in operands
        )


Plant = Callable[[Draft, Random], Planted]
"""Plants one kind of fault in a draft, at a place that chance chooses."""


def bypass(node: NodeProto, operand: int = 0) -> None:
    """Let a node hand on one of its operands as it is; its result keeps its name."""
    source = node.input[operand]
    node.op_type = "Identity"
    del node.input[:], node.attribute[:], node.output[1:]
    node.input.append(source)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute of a node, or what it is by default."""
    found = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(found, default)


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Give a node an attribute."""
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn constants into weights, and weights into no inputs, as old files have them."""
    graph = model.graph
    model.ir_version = max(model.ir_version, 4)
    for node in [n for n in graph.node if n.op_type == "Constant"]:
        (value,) = node.attribute
        if value.name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(value.t)
        elif value.name in ("value_float", "value_int", "value_floats", "value_ints"):
            made = np.asarray(helper.get_attribute_value(value))
            dtype = np.float32 if "float" in value.name else np.int64
            tensor = graph.initializer.add()
            tensor.CopyFrom(numpy_helper.from_array(made.astype(dtype)))
        else:
            continue
        tensor.name = node.output[0]
        graph.node.remove(node)
    weights = {tensor.name for tensor in graph.initializer}
    for given in [value for value in graph.input if value.name in weights]:
        graph.input.remove(given)
    return model


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, Shape] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            lengths = (d.dim_value or d.dim_param or None for d in tensor.shape.dim)
            found[value.name] = tuple(lengths)
    return found


def _live(graph: onnx.GraphProto, producers: dict[str, NodeProto]) -> list[NodeProto]:
    """Return the nodes that outputs depend on, in the file's order."""
    wanted, reached = [output.name for output in graph.output], set[str]()
    while wanted:
        node = producers.get(wanted.pop())
        if node is not None and node.output[0] not in reached:
            reached.add(node.output[0])
            wanted += node.input
            wanted += [n for a in node.attribute if a.HasField("g") for n in _outer(a.g)]
    return [node for node in graph.node if node.output[0] in reached]


def _outer(graph: onnx.GraphProto) -> Iterator[str]:
    """Return what the nodes of a branch may take from around it."""
    for node in graph.node:
        yield from node.input
        for found in node.attribute:
            if found.HasField("g"):
                yield from _outer(found.g)
    yield from (output.name for output in graph.output)
