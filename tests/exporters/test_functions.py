"""Module calls as ONNX functions: nested, shared where alike, and the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torchvision
from torch import Tensor, nn

from netloft.parity.check import check_parity
from netloft.parity.inputs import cases
from netloft.tracing import trace
from netloft_exporters import to_onnx
from netloft_exporters.onnx import write_onnx


class Block(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=bias)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.relu(self.conv(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block(), Block(bias=False))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.blocks(x)).clamp(-2, 2)
        return self.fc(y.mean((2, 3))).softmax(1)


X = torch.randn(2, 4, 6, 6)


def run(path: Path, x: Tensor) -> list[np.ndarray]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("functions")
    torch.manual_seed(0)
    net = Net().eval()
    return (
        to_onnx(net, (X,), folder / "flat.onnx"),
        to_onnx(net, (X,), folder / "nested.onnx", functions=True),
    )


def test_the_numbers_are_the_same(files: tuple[Path, Path]) -> None:
    for batch in (1, 3):
        x = torch.randn(batch, 4, 6, 6)
        assert all(map(np.array_equal, run(files[0], x), run(files[1], x)))


def test_a_function_stands_for_each_kind_of_module(files: tuple[Path, Path]) -> None:
    model = onnx.load(files[1])
    functions = {f.name: [n.op_type for n in f.node] for f in model.functions}
    assert functions["Block"] == ["Conv2d", "ReLU", "Add", "ReLU"]
    assert functions["Block_1"] == ["Conv2d_1", "ReLU", "Add", "ReLU"]  # it has no bias
    assert functions["Sequential"] == ["Block", "Block", "Block_1"]
    assert functions["ReLU"] == ["Relu"]
    assert functions["Linear"] == ["Gemm"]
    assert len(functions) == len(model.functions)
    calls = [(n.name, n.op_type, n.domain) for n in model.graph.node if n.domain]
    assert calls[:2] == [
        ("blocks", "Sequential", "netloft"),
        ("blocks@1", "Sequential", "netloft"),
    ]


def test_weights_are_inputs_of_a_function_and_constants_lie_inside(
    files: tuple[Path, Path],
) -> None:
    model = onnx.load(files[1])
    functions = {f.name: f for f in model.functions}
    assert list(functions["Block"].input) == ["input", "conv.weight", "conv.bias"]
    (call,) = (n for n in functions["Sequential"].node if n.name == "1")
    assert list(call.input)[1:] == ["1.conv.weight", "1.conv.bias"]
    assert {i.domain: i.version for i in functions["Sequential"].opset_import} == {"netloft": 1}
    whole = {tensor.name for tensor in onnx.load(files[0]).graph.initializer}
    assert {tensor.name for tensor in model.graph.initializer} <= whole


def test_names_inside_a_function_do_not_tell_which_module(files: tuple[Path, Path]) -> None:
    model = onnx.load(files[1])
    (block,) = (f for f in model.functions if f.name == "Block")
    assert [node.name for node in block.node] == ["conv", "relu", "Add", "relu_1"]
    facts = [{p.key: p.value for p in node.metadata_props} for node in block.node]
    assert [fact.get("netloft.module", "") for fact in facts] == ["conv", "relu", "", "relu"]
    assert all("test_functions.py:" in fact["netloft.source"] for fact in facts)
    call = {p.key: p.value for p in model.graph.node[0].metadata_props}
    assert call == {"netloft.module": "blocks", "netloft.class": "Sequential"}


def test_values_before_a_softmax_are_still_looked_at(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Net(), nn.Linear(3, 5), nn.Softmax(1)).eval()
    graph = trace(module, (X,))
    path = tmp_path / "net.onnx"
    write_onnx(graph, module, {"input": X}, path, functions=True)
    result = check_parity(graph, module, path, cases({"input": X}, (1, 2), 0), ["cpu"])
    assert {row.output for row in result.rows} == {"output", "output before softmax"}
    assert result.status == "pass"


class Twice(nn.Module):
    """A value made in one module and read in two others, and an output in the middle of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Block(), Block()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.first.relu(x)
        z = self.second(y)
        return z, self.first(y) + z, x.reshape(x.shape[0], -1)


def test_several_outputs_and_layers_of_another_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Twice().eval()
    flat = to_onnx(module, (X,), tmp_path / "flat.onnx")
    nested = to_onnx(module, (X,), tmp_path / "nested.onnx", functions=True)
    x = torch.randn(5, 4, 6, 6)
    assert all(map(np.array_equal, run(flat, x), run(nested, x)))


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


def test_a_recurrent_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = to_onnx(Loop().eval(), (torch.randn(2, 5, 4),), tmp_path / "net.onnx", functions=True)
    assert {f.name for f in onnx.load(path).functions} >= {"Linear"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "swin_t"])
def test_torchvision_networks(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None).eval()
    x = (torch.randn(2, 3, 224, 224),)
    flat = to_onnx(module, x, tmp_path / "flat.onnx", prove=False)
    nested = to_onnx(module, x, tmp_path / "nested.onnx", prove=False, functions=True)
    assert all(map(np.array_equal, run(flat, x[0]), run(nested, x[0])))
    model = onnx.load(nested, load_external_data=False)
    assert len(model.graph.node) < 20
