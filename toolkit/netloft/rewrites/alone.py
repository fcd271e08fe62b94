"""A convolution as a file alone, to be measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.rewrites.names import constant
from netloft.rewrites.site import Site

__all__ = ["alone", "input_of"]

_Shape = tuple[int, int, int, int]


class _Step(NamedTuple):
    op_type: str
    held: list[npt.NDArray[np.float32]]
    attributes: Mapping[str, int | list[int]]
    shape: _Shape


def input_of(site: Site, batch: int) -> _Shape:
    """Return the shape of what the file with a convolution alone reads.

    Args:
        site: The convolution.
        batch: Items in its input.
    """
    kind = site.kind
    return batch, 1 if kind.groups > 1 else kind.channels, kind.height, kind.width


def alone(site: Site, batch: int) -> ir.Model:
    """Return a file with one convolution and the ReLU that mostly follows it, to be measured.

    One with groups stands between two small ones, with a single channel at the other end: they give
    and take values in the layout that the processor's kernels have, as in a network, and can have
    channels that nothing reads.

    Args:
        site: The convolution.
        batch: Items in its input.
    """
    shape = input_of(site, batch)
    x = value = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    nodes, held = list[ir.Node](), list[ir.Value]()
    for step in _steps(site, batch):
        place = len(nodes)
        own = [constant(f"{place}.{i}", array) for i, array in enumerate(step.held)]
        node = ir.node(step.op_type, [value, *own], step.attributes, name=f"{place}")
        (value,) = node.outputs
        value.name, value.shape = f"{place}:0", ir.Shape(step.shape)
        value.type = ir.TensorType(ir.DataType.FLOAT)
        nodes.append(node)
        held += own
    value.name = "y"
    graph = ir.Graph(
        [x], [value], nodes=nodes, initializers=held, opset_imports={"": 17}, name="alone"
    )
    return ir.Model(graph, ir_version=8)


def _steps(site: Site, batch: int) -> Iterator[_Step]:
    kind = site.kind
    shape = batch, kind.filters, kind.rows, kind.columns
    if kind.groups > 1:
        before = batch, kind.channels, kind.height, kind.width
        yield _Step("Conv", [np.ones((kind.channels, 1, 1, 1), np.float32)], {}, before)
    given = [np.array(t.numpy()) for t in (site.weights, site.bias) if t is not None]
    steps = {"pads": list(kind.pads), "strides": list(kind.strides)}
    yield _Step("Conv", given, {**steps, "group": kind.groups}, shape)
    yield _Step("Relu", [], {}, shape)
    if kind.groups > 1:
        after = batch, 1, kind.rows, kind.columns
        yield _Step("Conv", [np.ones((1, kind.filters, 1, 1), np.float32)], {}, after)
