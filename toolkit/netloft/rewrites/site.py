"""Convolutions of a file that may be computed in another way, and each of them as a file alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = ["Kind", "Site", "alone", "constant", "sites_of"]

_TAPS = (3, 5)
"""Heights of filters that few products are known for, with errors that float32 bears."""

_OPSET = 13
"""The oldest whose operators are what is written in their place."""


@dataclass(frozen=True, order=True)
class Kind:
    """What decides how long a convolution takes.

    Attributes:
        channels: Of its input.
        filters: Channels of its result.
        height: Of its input.
        width: Of its input.
        kernel: Height and width of its filters.
        pads: Zeros above, left, below, right.
    """

    channels: int
    filters: int
    height: int
    width: int
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def rows(self) -> int:
        """Height of its result."""
        return self.height + self.pads[0] + self.pads[2] - self.kernel[0] + 1

    @property
    def columns(self) -> int:
        """Width of its result."""
        return self.width + self.pads[1] + self.pads[3] - self.kernel[1] + 1

    def __str__(self) -> str:
        size = "x".join(map(str, self.kernel))
        return f"{size}, {self.channels} to {self.filters} at {self.height}x{self.width}"


@dataclass(frozen=True)
class Site:
    """One convolution.

    Attributes:
        node: It.
        kind: What it is.
        weights: Its filters.
        bias: Of each filter; None for none.
    """

    node: ir.Node
    kind: Kind
    weights: ir.TensorProtocol
    bias: ir.TensorProtocol | None


def sites_of(model: ir.Model) -> list[Site]:
    """Return the convolutions that few products are known for.

    Of any width, with filters three or five high, step 1 and no groups, in float32, over pictures
    whose size the file says; of operator set 13 or newer.

    Args:
        model: With the shape of every value.
    """
    if model.opset_imports.get("", 0) < _OPSET:
        return []
    found = (_site(node) for node in model.graph if (node.domain, node.op_type) == ("", "Conv"))
    return [site for site in found if site is not None]


def _site(node: ir.Node) -> Site | None:
    x, weights, bias = node.inputs[0], _constant(node, 1), _constant(node, 2)
    given_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if x is None or weights is None or (given_bias and bias is None):
        return None
    size = [length for length in (x.shape or ())[1:] if isinstance(length, int)]
    shape = tuple(int(length) for length in weights.shape)  # type: ignore[arg-type]
    if len(size) != 3 or len(shape) != 4 or not _is_plain(node) or shape[2] not in _TAPS:
        return None
    pads = tuple(node.attributes.get_ints("pads", (0, 0, 0, 0)))
    kind = Kind(size[0], shape[0], size[1], size[2], (shape[2], shape[3]), pads)  # type: ignore[arg-type]
    return Site(node, kind, weights, bias) if min(kind.rows, kind.columns) > 0 else None


def _constant(node: ir.Node, place: int) -> ir.TensorProtocol | None:
    """Return an operand in float32 that is written in the file, and that nobody can replace."""
    value = node.inputs[place] if place < len(node.inputs) else None
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    tensor = value.const_value
    return tensor if tensor is not None and tensor.dtype == ir.DataType.FLOAT else None


def _is_plain(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        attributes.get_int("group", 1) == 1
        and attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        and all(step == 1 for step in attributes.get_ints("strides", (1, 1)))
        and all(step == 1 for step in attributes.get_ints("dilations", (1, 1)))
        and min(attributes.get_ints("pads", (0,))) >= 0
    )


def alone(site: Site, batch: int) -> ir.Model:
    """Return a file with one convolution and the ReLU that mostly follows it, to be measured.

    Args:
        site: The convolution.
        batch: Items in its input.
    """
    kind = site.kind
    shape = (batch, kind.channels, kind.height, kind.width)
    x = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    given = {"weights": site.weights, "bias": site.bias}
    held = [constant(name, np.array(t.numpy())) for name, t in given.items() if t is not None]
    conv = ir.node("Conv", [x, *held], {"pads": list(kind.pads)}, name="conv")
    relu = ir.node("Relu", conv.outputs, name="relu")
    (y,) = relu.outputs
    y.name, y.type = "y", ir.TensorType(ir.DataType.FLOAT)
    y.shape = ir.Shape((batch, kind.filters, kind.rows, kind.columns))
    graph = ir.Graph(
        [x], [y], nodes=[conv, relu], initializers=held, opset_imports={"": 17}, name="alone"
    )
    return ir.Model(graph, ir_version=8)


def constant(name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    """Return a tensor that is written in a file, under a name."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
    return ir.Value(name=name, const_value=tensor, shape=shape, type=kind)
