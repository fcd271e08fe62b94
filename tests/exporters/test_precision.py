"""Files of other precisions: what runs on integers, what stays in float32, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from netloft.defaults import MODULE, SOURCE
from netloft.errors import ExportError
from netloft.graph.graph import Graph
from netloft.runtime.devices import cpu_model
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx
from netloft_exporters.onnx.check import check_model
from netloft_exporters.onnx.precision import keeping
from netloft_exporters.onnx.precision.damage import damages
from netloft_exporters.onnx.precision.half import halve
from netloft_exporters.onnx.precision.int8 import executed, quantise
from netloft_exporters.onnx.precision.keeping import Kept, quantise_until
from netloft_exporters.onnx.precision.layers import float_tail, weight_layers
from netloft_exporters.onnx.precision.steps import LARGEST_SUM, overrides, steps

Arrays = Mapping[str, npt.NDArray[Any]]


class Net(nn.Module):
    """AlphaGo's head on a small body with a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 1, 1)
        self.bias = nn.Parameter(torch.randn(49))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(planes))
        x = torch.relu(self.second(x) + x)
        return torch.softmax(self.last(x).flatten(1) + self.bias, 1)


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, Graph]:
    torch.manual_seed(0)
    module, planes = Net().eval(), {"planes": torch.randn(2, 4, 7, 7)}
    graph = trace(module, planes)
    return write_onnx(graph, module, planes, tmp_path / "fp32.onnx").path, graph


def batches(n: int = 4) -> list[Arrays]:
    random = np.random.default_rng(0)
    return [{"input": random.standard_normal((4, 4, 7, 7)).astype(np.float32)} for _ in range(n)]


def metadata(node: onnx.NodeProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in node.metadata_props}


def test_everything_but_the_head_runs_on_integers(
    exported: tuple[Path, Graph], tmp_path: Path
) -> None:
    source, graph = exported
    target = tmp_path / "int8.onnx"
    quantise(source, target, batches())
    check_model(target, graph, 20)  # dynamic batch and strict shapes among it
    runs = executed(source, target, tmp_path)
    assert runs.operators["QLinearConv"] == len(runs.integer) == 3
    assert runs.real == ()
    assert not {"Relu", "Conv", "QLinearSoftmax"} & runs.operators.keys()
    assert runs.operators["Softmax"] == runs.operators["Add"] == 1  # the head's, in float32
    assert runs.operators["QLinearAdd"] == 1  # the skip's


def test_weights_are_symmetric_by_channel_and_leave_room_for_a_sum(
    exported: tuple[Path, Graph], tmp_path: Path
) -> None:
    target = tmp_path / "int8.onnx"
    quantise(exported[0], target, batches())
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(target).graph.initializer}
    weight = tensors["second.weight_quantized"]
    assert weight.dtype == np.int8
    assert 120 <= _largest_sum(weight) <= LARGEST_SUM  # 255 · 128 fits in 16 bits
    assert tensors["second.weight_scale"].shape == (16,)
    assert not tensors["second.weight_zero_point"].any()
    assert tensors["input_zero_point"].dtype == np.uint8


def _largest_sum(weight: npt.NDArray[Any]) -> int:
    """Return the largest sum of neighbours of one sign, as kernels have them side by side.

    Args:
        weight: Whole numbers, of results, channels and a window.
    """
    rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1).astype(int)
    parts = (rows.clip(min=0), (-rows).clip(min=0))
    return int(max((part[:, 1:] + part[:, :-1]).max(initial=0) for part in parts))


@example(weight=np.full((2, 3), 90 * 2.0**-149, np.float32), axis=0)
@given(
    weight=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
        elements=st.floats(-8, 8, width=32),
    ),
    axis=st.sampled_from([0, 1]),
)
def test_a_step_leaves_room_for_the_sum_of_any_neighbours(
    weight: npt.NDArray[np.float32], axis: int
) -> None:
    step = steps(weight, axis).reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    rounded = np.rint(weight / step)
    assert np.abs(rounded).max() <= 127
    assert (np.abs(rounded * step - weight) <= step * 0.501).all()  # nothing is cut off
    assert _largest_sum(np.moveaxis(rounded, axis, 0)) <= LARGEST_SUM


class Worst(nn.Module):
    """Every product as large as it can be."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8 * groups, 3, groups=groups, bias=False)
        signs = torch.sign(torch.randn(8 * groups, 1, 1, 1))
        self.conv.weight.data = signs * (0.5 + 0.5 * torch.rand_like(self.conv.weight))
        self.linear = nn.Linear(8 * groups, 6, bias=False)
        self.linear.weight.data = 0.5 + 0.5 * torch.rand_like(self.linear.weight)
        self.matrix = nn.Parameter(0.5 + 0.5 * torch.rand(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(torch.relu(self.conv(x)).mean((2, 3)))) @ self.matrix


@pytest.mark.skipif(
    "VNNI" in cpu_model() or "AVX2" not in cpu_model(),
    reason="not run: this processor adds all products of 8 bits in 32",
)
@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (5, 1), (16, 1), (16, 2), (6, 6)])
def test_this_processor_overflows_with_no_activation(
    channels: int, groups: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, x = Worst(channels, groups).eval(), {"x": torch.ones(2, channels, 9, 9)}
    source = write_onnx(trace(module, x), module, x, tmp_path / "fp32.onnx").path
    name = onnx.load(source).graph.input[0].name
    feeds = {name: np.ones((2, channels, 9, 9), np.float32)}
    quantise(source, tmp_path / "int8.onnx", [feeds])
    files = (source, tmp_path / "int8.onnx")
    wanted, found = (
        ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
        for file in files
    )
    assert executed(source, files[1], tmp_path).real == ()
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


def test_every_matrix_of_weights_has_steps_and_a_stack_of_them_seven_bits(tmp_path: Path) -> None:
    class Matrices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8, bias=False)
            self.matrix = nn.Parameter(torch.randn(8, 8))
            self.stack = nn.Parameter(torch.randn(1, 8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.relu(self.linear(x)) @ self.matrix) @ self.stack

    torch.manual_seed(0)
    module, x = Matrices().eval(), {"x": torch.randn(4, 3, 8)}
    source = write_onnx(trace(module, x), module, x, tmp_path / "fp32.onnx").path
    model = onnx.load(source)
    found = overrides(model)
    layers = weight_layers(model)
    assert len(layers) == 3
    assert set(found) == {node.input[1] for node in layers[:2]}
    assert not overrides(model, [node.name for node in layers])
    quantise(source, tmp_path / "int8.onnx", [{model.graph.input[0].name: x["x"].numpy()}])
    tensors = onnx.load(tmp_path / "int8.onnx").graph.initializer
    largest = {
        tensor.name: int(np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max())
        for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    }  # fmt: skip
    stack = largest.pop(f"{layers[2].input[1]}_quantized")
    assert stack == 64
    assert len(largest) == 2
    assert min(largest.values()) > 64


def test_names_and_origins_stay(exported: tuple[Path, Graph], tmp_path: Path) -> None:
    before = {node.name: metadata(node) for node in onnx.load(exported[0]).graph.node}
    quantise(exported[0], tmp_path / "int8.onnx", batches())
    halve(exported[0], tmp_path / "half.onnx")
    for name in ("int8.onnx", "half.onnx"):
        model = onnx.load(tmp_path / name)
        after = {node.name: metadata(node) for node in model.graph.node}
        assert {each: told for each, told in after.items() if each in before}.items() <= (
            before.items()
        )
        assert {"first/Conv", "second/Conv", "last/Conv", "Softmax"} <= after.keys() & before.keys()
        assert all(SOURCE in told or MODULE in told for told in after.values())
        assert model.producer_name == "netloft"


@pytest.mark.parametrize("kind", ["int8", "half"])
def test_the_same_bytes_each_time(exported: tuple[Path, Graph], tmp_path: Path, kind: str) -> None:
    files = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for file in files:
        if kind == "int8":
            quantise(exported[0], file, batches())
        else:
            halve(exported[0], file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_kept_layer_stays_as_it_was(exported: tuple[Path, Graph], tmp_path: Path) -> None:
    source, target = exported[0], tmp_path / "int8.onnx"
    quantise(source, target, batches(), keep=["first/Conv"])
    runs = executed(source, target, tmp_path)
    assert (runs.integer, runs.real) == (("second/Conv", "last/Conv"), ("first/Conv",))


def test_a_kept_layer_between_rounded_values_is_rounded_by_the_runtime(
    exported: tuple[Path, Graph], tmp_path: Path
) -> None:
    source, target = exported[0], tmp_path / "int8.onnx"
    quantise(source, target, batches(), keep=["second/Conv"])
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(target).graph.initializer}
    assert weights["second.weight"] == onnx.TensorProto.FLOAT
    assert executed(source, target, tmp_path).real == ()  # so it is told, and not trusted


@dataclass(frozen=True)
class Row:
    """What the search for layers to keep looks at."""

    sqnr_db: float = 10.0
    tolerance: float = 0.1


@dataclass(frozen=True)
class Judged:
    """A verdict on a file, by how many of its layers really run in float32."""

    failed: bool
    worst: Row = Row()


@pytest.mark.parametrize(
    ("least", "kept", "rounds"),
    [(1, ("first/Conv",), 3), (2, ("first/Conv", "third/Conv"), 4)],
)
def test_a_layer_that_the_runtime_rounds_all_the_same_is_not_kept(
    least: int,
    kept: tuple[str, ...],
    rounds: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(4, 8, 3, padding=1)
            self.second = nn.Conv2d(8, 8, 3, padding=1)
            self.third = nn.Conv2d(8, 8, 3, padding=1)
            self.last = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.second(torch.relu(self.first(planes))))
            return self.last(torch.relu(self.third(x)))

    def judge(path: Path) -> Any:
        weights = onnx.load(path).graph.initializer
        in_float = {t.name for t in weights if t.data_type == onnx.TensorProto.FLOAT}
        names = ("first", "second", "third", "last")
        return Judged(sum(f"{name}.weight" in in_float for name in names) < least)

    chosen = {name: Kept(name, "", 0.0, "") for name in ("first/Conv", "third/Conv")}
    monkeypatch.setattr(keeping, "_worst", lambda *_: chosen)
    torch.manual_seed(0)
    module, planes = Deep().eval(), {"planes": torch.randn(2, 4, 7, 7)}
    source = write_onnx(trace(module, planes), module, planes, tmp_path / "fp32.onnx").path
    settled = quantise_until(source, tmp_path / "int8.onnx", batches(), judge)
    assert (tuple(layer.node for layer in settled.kept), settled.rounds) == (kept, rounds)
    assert executed(source, tmp_path / "int8.onnx", tmp_path).real == ("first/Conv",)


def test_the_head_is_found(exported: tuple[Path, Graph]) -> None:
    model = onnx.load(exported[0])
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert {kinds[name] for name in float_tail(model)} == {"Softmax", "Add", "Reshape"}
    assert len(weight_layers(model)) == 3


def test_damage_is_of_one_layer(exported: tuple[Path, Graph], tmp_path: Path) -> None:
    source, _ = exported
    target = tmp_path / "int8.onnx"
    quantise(source, target, batches())
    names = [node.name for node in weight_layers(onnx.load(source))]
    costs = damages(source, target, names, batches()[0])
    assert list(costs) == names
    assert all(0 < cost < 0.2 for cost in costs.values())
    quantise(source, target, batches(), keep=names[:2])
    assert damages(source, target, names[:1], batches()[0]) == {names[0]: 0.0}


def test_half_keeps_the_head_and_the_ends_in_float32(
    exported: tuple[Path, Graph], tmp_path: Path
) -> None:
    source, graph = exported
    halve(source, tmp_path / "half.onnx")
    check_model(tmp_path / "half.onnx", graph, 20)
    model = onnx.load(tmp_path / "half.onnx")
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types["first.weight"] == onnx.TensorProto.FLOAT16
    assert types["bias"] == onnx.TensorProto.FLOAT
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2  # in, and before the head
    results = [
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, dict(batches()[0]))
        for path in (source, tmp_path / "half.onnx")
    ]
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=0.01)
    assert results[1][0].dtype == np.float32


@pytest.mark.parametrize("kind", ["int8", "half"])
def test_a_graph_without_weights_is_refused(tmp_path: Path, kind: str) -> None:
    planes = {"input": torch.randn(2, 4)}
    module = nn.ReLU().eval()
    graph = trace(module, planes)
    source = write_onnx(graph, module, planes, tmp_path / "fp32.onnx").path
    with pytest.raises(ExportError, match="there is nothing to") as raised:
        if kind == "int8":
            quantise(source, tmp_path / "out.onnx", batches())
        else:
            halve(source, tmp_path / "out.onnx")
    assert "--precision fp32" in str(raised.value)
    assert not (tmp_path / "out.onnx").exists()
