"""A file's first bad operation is named, and a right file's layers all pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

import netloft
from netloft.errors import CheckError
from netloft.graph import Graph
from netloft.locating import Located, locate
from netloft.models import load_model
from netloft.tracing import trace


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.conv2(y) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.norm = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 20)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.sigmoid(self.stem(x)))
        return self.fc(self.norm(x).mean((2, 3))).softmax(1)


class Fixture:
    def __init__(self, folder: Path) -> None:
        torch.manual_seed(3)
        self.module = Net().eval()
        with torch.no_grad():
            for norm in self.module.modules():
                if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
                    norm.running_mean.normal_()
        self.inputs = {"x": torch.randn(2, 3, 17, 17)}
        self.graph: Graph = trace(self.module, self.inputs)
        self.path = folder / "net.onnx"
        netloft.to_onnx(self.module, self.inputs, self.path)

    def locate(self, path: Path) -> Located:
        return locate(self.graph, path, self.inputs)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return Fixture(tmp_path_factory.mktemp("locating"))


def test_a_right_file_passes_layer_by_layer(net: Fixture) -> None:
    found = net.locate(net.path)
    assert (found.status, found.first, found.unlike) == ("pass", "", ())
    assert found.weights == 12  # those of the norm, which is written out, are not
    assert all(
        row.status == "pass" and row.ratio <= 8 and row.own_ratio <= 8 for row in found.layers
    )
    layers = [(row.module, row.op) for row in found.layers]
    assert layers[:3] == [
        ("stem", "conv2d"),
        ("", "sigmoid"),
        ("blocks.0.conv1", "conv2d"),
    ]
    assert found.layers[2].onnx_node == "blocks.0.conv1/Conv"
    assert found.layers[2].source.startswith("test_locate.py:")


def changed(net: Fixture, path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(net.path)
    change(model)
    onnx.save(model, path)
    return path


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def one_weight(name: str, by: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor).copy()
        at = np.abs(array).argmax()
        array.reshape(-1)[at] *= 1 + by
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


def bypassed(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        gone = node_of(model, name)
        for node in model.graph.node:
            for i, read in enumerate(node.input):
                if read == gone.output[0]:
                    node.input[i] = gone.input[0]
        model.graph.node.remove(gone)

    return change


def another(name: str, op_type: str) -> Callable[[onnx.ModelProto], None]:
    return lambda model: setattr(node_of(model, name), "op_type", op_type)


def attribute(name: str, key: str, value: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        found = next(a for a in node_of(model, name).attribute if a.name == key)
        found.CopyFrom(helper.make_attribute(key, value))

    return change


FAULTS: dict[str, tuple[Callable[[onnx.ModelProto], None], str, str]] = {
    "a weight": (one_weight("blocks.1.conv1.weight", 1e-3), "blocks_1_conv1", "weight differs"),
    "a weight by an ulp": (one_weight("fc.weight", 2e-7), "fc", "weight differs in 1"),
    "a bias": (one_weight("stem.bias", 1e-2), "stem", "bias differs in 1"),
    "an activation in another's place": (
        another("Sigmoid", "Tanh"), "sigmoid", "operation sigmoid → tanh",
    ),
    "a norm's epsilon": (
        attribute("norm/InstanceNormalization", "epsilon", 1e-3), "norm", "with true inputs",
    ),
    "padding that moved": (
        attribute("blocks.0.conv2/Conv", "pads", [0, 1, 2, 1]), "blocks_0_conv2", "padding",
    ),
    "an axis": (attribute("Softmax", "axis", 0), "softmax", "dim"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_bad_operation_is_named(net: Fixture, tmp_path: Path, name: str) -> None:
    change, node, words = FAULTS[name]
    found = net.locate(changed(net, tmp_path / "net.onnx", change))
    assert found.status == "fail"
    assert found.first_node == node
    assert words in found.first
    assert "test_locate.py:" in found.first


def test_a_file_that_kept_its_norms_is_held_against_the_module_as_it_is(
    net: Fixture, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    netloft.to_onnx(net.module, net.inputs, path, without=["fold_batch_norm"])
    found = net.locate(path)
    assert (found.status, found.unlike) == ("pass", ())
    assert "batch_norm" in {row.op for row in found.layers}

    model = onnx.load(path)
    one_weight("blocks.0.bn1.running_var", 0.01)(model)
    onnx.save(model, path)
    found = net.locate(path)
    assert found.first_node == "blocks_0_bn1"
    assert "running_var differs in 1" in found.first


def test_an_operation_that_is_gone_is_named_with_what_comes_after(
    net: Fixture, tmp_path: Path
) -> None:
    path = changed(net, tmp_path / "net.onnx", bypassed("blocks.1/Relu"))
    found = net.locate(path)
    assert found.first_node == "blocks_1_conv2"
    assert "; before it, blocks.1 (relu, " in found.first
    assert "the module alone has it" in found.first


def test_what_is_inherited_is_told_from_what_is_wrong(net: Fixture, tmp_path: Path) -> None:
    def two(model: onnx.ModelProto) -> None:
        one_weight("stem.weight", 0.1)(model)
        one_weight("blocks.1.conv2.weight", 0.1)(model)

    found = net.locate(changed(net, tmp_path / "net.onnx", two))
    status = {row.node: row.status for row in found.layers}
    assert [node for node, each in status.items() if each == "fail"] == ["stem", "blocks_1_conv2"]
    assert status["blocks_0_conv1"] == status["blocks_1_conv1"] == "inherits"


def test_a_file_of_another_exporter_is_looked_into_too(net: Fixture, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    torch.onnx.export(
        net.module,
        (net.inputs["x"],),
        path,
        dynamo=True,
        external_data=False,
        input_names=["input"],
        output_names=["output"],
    )
    found = net.locate(path)
    assert (found.status, found.first) == ("pass", "")
    assert len(found.layers) >= 9

    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "blocks.1.conv2.weight")
    array = numpy_helper.to_array(tensor).copy()
    array[0] *= 1.01
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)
    found = net.locate(path)
    assert found.first_node == "blocks_1_conv2"
    assert any("blocks.1.conv2" in note for note in found.notes)


@pytest.mark.parametrize("name", ["myresnet", "mnist", "acoustic", "alphago"])
def test_the_layers_of_every_builtin_pass(tmp_path: Path, name: str) -> None:
    model = load_model(name)
    inputs = model.example(1, seed=1)
    graph = trace(model.module, inputs)
    netloft.to_onnx(model.module, inputs, tmp_path / "net.onnx", prove=False)
    found = locate(graph, tmp_path / "net.onnx", inputs)
    assert (found.status, found.unlike) == ("pass", ())
    assert found.layers


def test_a_module_without_a_float64_run_is_told(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ torch.ones(4, 4, dtype=torch.float32).mul(x.new_ones(4, 4)))

    inputs = {"x": torch.randn(2, 4)}
    module = Fixed().eval()
    graph = trace(module, inputs)
    netloft.to_onnx(module, inputs, tmp_path / "net.onnx")
    assert locate(graph, tmp_path / "net.onnx", inputs).status == "pass"


def test_a_write_that_is_no_value_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netloft.locating import pairs
    from netloft.passes import NotFunctionalError

    def refuses(*_: object) -> None:
        raise NotFunctionalError("a write into an input")

    inputs = {"x": torch.randn(2, 4)}
    module = nn.Sequential(nn.Linear(4, 4)).eval()
    graph = trace(module, {"input": inputs["x"]})
    netloft.to_onnx(module, (inputs["x"],), tmp_path / "net.onnx")
    monkeypatch.setattr(pairs, "run_passes", refuses)
    with pytest.raises(CheckError, match="layers are not compared: a write into an input"):
        locate(graph, tmp_path / "net.onnx", {"input": inputs["x"]})
