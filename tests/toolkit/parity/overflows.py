"""Files that are right or wrong by how far ONNX Runtime optimises them, and their modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

__all__ = ["Scaled", "right_as_written", "right_optimised", "write"]


class Scaled(nn.Module):
    """A convolution between two scales."""

    def __init__(self, before: float, weights: float, after: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3, generator=generator) * weights)
        self.before, self.after = before, after

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.conv2d(input * self.before, self.weight) * self.after


def right_as_written(path: Path) -> nn.Module:
    """Write a file that the optimiser breaks.

    It multiplies the scale behind the convolution into the weights: 1e30 times 1e10 is beyond
    float32, though no value on the way through the network is.
    """
    module = Scaled(1e-20, 1e30, 1e10).eval()
    write(path, 1e-20, module.weight.detach().numpy(), 1e10)
    return module


def right_optimised(path: Path) -> nn.Module:
    """Write a file that is wrong as it stands: a value overflows, unless the scales are merged."""
    module = Scaled(1e10, 1e20, 1.0).eval()
    write(path, 1e10, module.weight.detach().numpy() * np.float32(1e10), 1e-10)
    return module


def write(path: Path, before: float, weight: np.ndarray, after: float) -> None:
    """Write Mul, Conv and Mul."""
    weights = [
        numpy_helper.from_array(np.array(before, np.float32), "before"),
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.full((4, 1, 1), after, np.float32), "after"),
    ]
    nodes = [
        helper.make_node("Mul", ["input", "before"], ["small"]),
        helper.make_node("Conv", ["small", "weight"], ["large"]),
        helper.make_node("Mul", ["large", "after"], ["output"]),
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])
    made = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4, 6, 6])
    graph = helper.make_graph(nodes, "scaled", [given], [made], weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
