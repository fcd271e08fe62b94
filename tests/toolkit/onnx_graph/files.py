"""ONNX files, made by hand and by every exporter there is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


class Block(nn.Module):
    """A residual block with a norm to fold."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    """A stem, two equal blocks, a head: what a small picture network is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 5)

    def block(self, index: int) -> Block:
        """One of the blocks."""
        found = self.blocks[index]
        assert isinstance(found, Block)
        return found

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.head(x.mean((2, 3)))


def net() -> Net:
    """The network, with norms that a fold has something to do for."""
    torch.manual_seed(0)
    module = Net().eval()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.bias, 0.5, 1)
    return module


PICTURE = torch.zeros(2, 3, 16, 16)


def written(folder: Path, *, functions: bool = False) -> Path:
    """The file that netloft writes of `Net`."""
    path, module = folder / "net.onnx", net()
    graph = trace(module, (PICTURE,), name="net")
    write_onnx(graph, module, {"x": PICTURE}, path, functions=functions)
    return path


def exported(folder: Path, *, dynamo: bool) -> Path:
    """The file that torch.onnx writes of `Net`."""
    path = folder / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net(), (PICTURE,), str(path), dynamo=dynamo, verbose=False)
    return path


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


def tensor(name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def saved(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[TensorProto] = (),
    **more: Any,
) -> Path:
    """A file of these nodes; it is not checked."""
    graph = helper.make_graph(nodes, more.pop("name", "g"), inputs, outputs, list(weights))
    sets = more.pop("opset_imports", [helper.make_opsetid("", 20), helper.make_opsetid("odd", 1)])
    model = helper.make_model(graph, opset_imports=sets, **more)
    path = folder / "made.onnx"
    path.write_bytes(model.SerializeToString())
    return path
