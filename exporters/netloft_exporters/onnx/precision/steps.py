"""Steps of 8-bit weights that no x86 processor overflows with.

With AVX2 and without VNNI, ONNX Runtime multiplies 8-bit activations (0 to 255) and weights with
`vpmaddubsw`, which adds the products of two neighbours in 16 bits and cuts the sum off at 32767 and
-32768. So neighbours of one sign may add up to 128 and no more. Rounding all weights to 7 bits is
the usual way (ONNX Runtime's `reduce_range`) and costs 6 dB of what the weights have. But the
largest weight of a channel seldom stands beside another large one: a step by the sums of
neighbours, and not by the largest weight, gives most of these back and has the same guarantee.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from netloft_exporters.onnx.precision.layers import weight_layers

__all__ = ["LARGEST_SUM", "overrides", "steps"]

LARGEST_SUM = 128
"""Of two neighbours of one sign, in magnitude: 255 · 128 < 2¹⁵."""

_BEFORE_ROUNDING = LARGEST_SUM - 1
"""The same before each of the two is rounded by up to a half; and the largest 8-bit integer."""


def overrides(
    model: onnx.ModelProto, keep: Collection[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Return the step of each channel of each weight, as `TensorQuantOverrides` takes it.

    What has none is left to the quantizer: a transposed convolution, for which no kernel of
    integers is known, and a stack of matrices, which has a channel for each of them.

    Args:
        model: In float32.
        keep: Names of the nodes that stay so.
    """
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    found = dict[str, list[dict[str, Any]]]()
    for node in weight_layers(model):
        axis, tensor = _channel_axis(node), held.get(node.input[1])
        if axis is None or tensor is None or node.name in keep:
            continue
        if node.op_type == "Conv" or len(tensor.dims) == 2:
            each = steps(numpy_helper.to_array(tensor), axis)
            found[tensor.name] = [
                {"axis": axis, "scale": step, "zero_point": np.int8(0)} for step in each
            ]
    return found


def _channel_axis(node: onnx.NodeProto) -> int | None:
    """Return the axis of a layer's weight that its results lie along, as the quantizer has it."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "MatMul":
        return 1
    if node.op_type == "Gemm":
        given = {attribute.name: attribute.i for attribute in node.attribute}
        return 0 if given.get("transB") else 1
    return None


def steps(weight: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Return the step of each channel.

    Args:
        weight: Of a convolution (results, channels, *window), or of a matrix product.
        axis: That the results lie along.

    Returns:
        One for each result; 1 where all weights are 0, or next to it. With weights rounded to
        multiples of it, neighbours of one sign, in the order in which kernels add (window, then
        channels), sum up to `LARGEST_SUM` or less.
    """
    rows = np.moveaxis(weight, axis, 0)
    if rows.ndim > 2:
        rows = np.moveaxis(rows, 1, -1)  # kernels have the channels of a point side by side
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    largest = np.abs(flat).max(axis=1, initial=0.0)
    for same in (np.maximum(flat, 0), np.maximum(-flat, 0)):
        sums = same[:, 1:] + same[:, :-1]
        largest = np.maximum(largest, sums.max(axis=1, initial=0.0))
    step = (largest / _BEFORE_ROUNDING).astype(np.float32)
    return np.where(step >= np.finfo(np.float32).tiny, step, np.float32(1))
