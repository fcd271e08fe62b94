"""Convolutions of a file, as far as it tells all of them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

__all__ = ["Kind", "Site", "constant_of", "convolutions", "held_of", "site_of"]

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
        strides: Steps down and to the right.
        groups: Of its channels.
    """

    channels: int
    filters: int
    height: int
    width: int
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int]
    strides: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def rows(self) -> int:
        """Height of its result."""
        padded = self.height + self.pads[0] + self.pads[2]
        return (padded - self.kernel[0]) // self.strides[0] + 1

    @property
    def columns(self) -> int:
        """Width of its result."""
        padded = self.width + self.pads[1] + self.pads[3]
        return (padded - self.kernel[1]) // self.strides[1] + 1

    def __str__(self) -> str:
        size = "x".join(map(str, self.kernel))
        text = f"{size}, {self.channels} to {self.filters} at {self.height}x{self.width}"
        if self.strides != (1, 1):
            text += ", step " + "x".join(map(str, dict.fromkeys(self.strides)))
        return text + (f", {self.groups} groups" if self.groups > 1 else "")


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


def convolutions(model: ir.Model) -> list[Site]:
    """Return the convolutions of a file that it tells all of.

    In float32, over pictures whose size stands there, with weights that stand there too and fit;
    of operator set 13 or newer.

    Args:
        model: With the shape of every value.
    """
    if model.opset_imports.get("", 0) < _OPSET:
        return []
    found = (site_of(node) for node in model.graph if (node.domain, node.op_type) == ("", "Conv"))
    return [site for site in found if site is not None]


def site_of(node: ir.Node) -> Site | None:
    """Return a convolution as it stands; None where it is not of these.

    Args:
        node: Of the operator Conv.
    """
    x, weights, bias = node.inputs[0], constant_of(node, 1), constant_of(node, 2)
    given_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if x is None or weights is None or (given_bias and bias is None) or not _is_plain(node):
        return None
    size = [length for length in (x.shape or ())[1:] if isinstance(length, int)]
    shape = tuple(int(length) for length in weights.shape)  # type: ignore[arg-type]
    if len(size) != 3 or len(shape) != 4:
        return None
    kind = Kind(
        channels=size[0],
        filters=shape[0],
        height=size[1],
        width=size[2],
        kernel=(shape[2], shape[3]),
        pads=tuple(node.attributes.get_ints("pads", (0, 0, 0, 0))),  # type: ignore[arg-type]
        strides=tuple(node.attributes.get_ints("strides", (1, 1))),  # type: ignore[arg-type]
        groups=node.attributes.get_int("group", 1),
    )
    return Site(node, kind, weights, bias) if _fits(kind, weights, bias) else None


def _fits(kind: Kind, weights: ir.TensorProtocol, bias: ir.TensorProtocol | None) -> bool:
    """Tell whether it computes anything: the check of a file's shapes does not look at that."""
    return (
        min(kind.groups, kind.filters, kind.channels, kind.rows, kind.columns) > 0
        and weights.shape[1] == kind.channels / kind.groups
        and kind.filters % kind.groups == 0
        and (bias is None or tuple(bias.shape) == (kind.filters,))
    )


def constant_of(node: ir.Node, place: int) -> ir.TensorProtocol | None:
    """Return an operand in float32 that stands in the file, and that nobody can replace."""
    tensor = held_of(node.inputs[place]) if place < len(node.inputs) else None
    return tensor if tensor is not None and tensor.dtype == ir.DataType.FLOAT else None


def held_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return what a value is in every run, where that stands in the file."""
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value


def _is_plain(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        and all(step == 1 for step in attributes.get_ints("dilations", (1, 1)))
        and min(attributes.get_ints("pads", (0,))) >= 0
    )
