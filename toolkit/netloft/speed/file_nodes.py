"""The nodes of a file, found by the names that ONNX Runtime gives to kernels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netloft.defaults import MODULE
from netloft.runtime.header import header_of
from netloft.speed.counting import NOTHING, FromFile, Shape

if TYPE_CHECKING:
    import onnx

__all__ = ["FileNodes", "Origin"]

_ADDED = re.compile(r"(_nchwc|_token_\d+)+$")
"""What ONNX Runtime puts behind the name of a node that it rewrites."""

_PLAIN, _TURNED = "convolution", "transposed convolution"
_WEIGHT_AT = {
    "Conv": (_PLAIN, 1), "FusedConv": (_PLAIN, 1), "NhwcFusedConv": (_PLAIN, 1),
    "ConvInteger": (_PLAIN, 1), "QLinearConv": (_PLAIN, 3), "ConvTranspose": (_TURNED, 1),
}  # fmt: skip
"""Kernel or operator to its family and the place of the weight among what it reads."""

_STEPS = 4
"""Operators that may be fused behind a convolution: an activation, a step to int8."""


class Origin(NamedTuple):
    """Where a kernel comes from.

    Attributes:
        node: The file's node, the last one of several that were fused; empty for none.
        value: Name of the value that it gives.
        op: Its operator; that of the kernel where there is no node.
        module: Path of its module call.
    """

    node: str
    value: str
    op: str
    module: str


class FileNodes:
    """The nodes of a file, those inside of others and of functions too.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        import onnx

        model = onnx.load_from_string(header_of(path))
        parts = (model.graph.node, *(function.node for function in model.functions))
        nodes = [node for part in parts for node in _among(part)]
        self._makers = {name: node for node in nodes for name in node.output if name}
        self._nodes = self._makers | {node.name: node for node in nodes if node.name}
        self._weights: dict[str, Shape] = {}
        for name, shape in _weights(model.graph):
            # two branches may have one name each for two things: then neither is known
            self._weights[name] = shape if self._weights.get(name, shape) == shape else ()

    def origin(self, name: str, kernel: str) -> Origin:
        """Return where a kernel comes from; a fused one is named by its value."""
        node = self._find(name)
        if node is None:
            return Origin("", "", kernel, "")
        facts = {entry.key: entry.value for entry in node.metadata_props}
        value = str(node.output[0]) if node.output else ""
        return Origin(str(node.name), value, str(node.op_type), facts.get(MODULE, ""))

    def known(self, name: str, kernel: str) -> FromFile:
        """Return what the file says of a kernel that its shapes may not."""
        node = self._find(name)
        if kernel == "Einsum" and node is not None:
            text = (a.s.decode() for a in node.attribute if a.name == "equation")
            return FromFile(equation=next(text, ""))
        family = _WEIGHT_AT[kernel][0] if kernel in _WEIGHT_AT else ""
        for _ in range(_STEPS if family else 0):
            if node is None or not node.input:
                break
            found, place = _WEIGHT_AT.get(node.op_type, ("", 0))
            if found == family:
                return FromFile(self._weight(node.input[place]))
            node = self._makers.get(node.input[0])
        return NOTHING

    def _find(self, name: str) -> onnx.NodeProto | None:
        return self._nodes.get(name) or self._nodes.get(_ADDED.sub("", name))

    def _weight(self, name: str) -> Shape:
        """Return the shape of a weight, which may be made of one in other steps."""
        maker = self._makers.get(name)
        while maker is not None and maker.op_type in ("DequantizeLinear", "Cast", "Identity"):
            name = maker.input[0]
            maker = self._makers.get(name)
        return self._weights.get(name, ())


def _among(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, and those of the branches and bodies that they hold."""
    for node in nodes:
        yield node
        for graph in _held(node):
            yield from _among(graph.node)


def _held(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, Shape]]:
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for node in graph.node:
        for held in _held(node):
            yield from _weights(held)
