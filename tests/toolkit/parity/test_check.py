"""The certificate passes a right file and catches planted faults, behind a softmax too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from netloft.errors import InputError, ParityError
from netloft.graph import Graph
from netloft.parity.check import ParityResult, check_parity, require_parity
from netloft.parity.inputs import Case, cases
from netloft.parity.reference import Reference
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3))).softmax(1)


class Fixture:
    """A network, its graph and its file."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.module = Classifier().eval()
        self.inputs = {"x": torch.randn(2, 3, 12, 12)}
        self.graph: Graph = trace(self.module, self.inputs)
        self.path = folder / "net.onnx"
        write_onnx(self.graph, self.module, self.inputs, self.path)

    def check(self, path: Path) -> ParityResult:
        return check_parity(
            self.graph, self.module, path, cases(self.inputs, (1, 2, 7), 0), ["cpu"]
        )


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return Fixture(tmp_path_factory.mktemp("parity"))


def test_a_right_file_passes_with_room(net: Fixture) -> None:
    result = net.check(net.path)
    assert result.status == "pass"
    require_parity(result)
    assert {row.batch for row in result.rows} == {1, 2, 7}
    assert {row.input for row in result.rows} == {"noise", "example", "extreme", "zeros"}
    assert {row.output for row in result.rows} == {"output", "output before softmax"}
    assert max(row.ratio for row in result.rows) < 8
    assert set(result.tolerances) == {"output", "output before softmax"}


def test_noise_has_every_batch_and_what_else_there_is_has_few() -> None:
    inputs = {"x": torch.randn(2, 3)}
    assert [(case.kind, case.batch, case.usual) for case in cases(inputs, (1, 2, 5), 0)] == [
        ("noise", 1, True), ("example", 1, True),
        ("noise", 2, True), ("example", 2, True), ("extreme", 2, False),
        ("noise", 5, True), ("zeros", 1, False),
    ]  # fmt: skip
    assert [(case.kind, case.batch) for case in cases(inputs, (4,), 0)] == [
        ("noise", 4), ("example", 4), ("extreme", 4), ("zeros", 4)
    ]  # fmt: skip


def edit(path: Path, target: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write a copy of a file in which one initializer is changed."""
    model = onnx.load(path)
    (found,) = (i for i in model.graph.initializer if i.name == name)
    found.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(found)), name))
    onnx.save(model, target)
    return target


FAULTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "weight scaled by 1e-3": ("fc.weight", lambda w: w * np.float32(1.001)),
    "weight scaled by 1e-4": ("conv.weight", lambda w: w * np.float32(1.0001)),
    "all weights zero": ("fc.weight", np.zeros_like),
    "two channels swapped": ("fc.weight", lambda w: w[[1, 0, *range(2, len(w))]]),
    "rounded to bfloat16": (
        "conv.weight",
        lambda w: torch.from_numpy(w.copy()).bfloat16().float().numpy(),
    ),
    "bias shifted under the softmax": ("fc.bias", lambda b: b + np.float32(1e-3)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(net: Fixture, tmp_path: Path, fault: str) -> None:
    broken = edit(net.path, tmp_path / "broken.onnx", *FAULTS[fault])
    with pytest.raises(ParityError, match="computes another function") as caught:
        require_parity(net.check(broken))
    assert caught.value.exit_code == 1


def test_a_shift_under_the_softmax_shows_only_in_front_of_it(net: Fixture, tmp_path: Path) -> None:
    broken = edit(net.path, tmp_path / "b.onnx", *FAULTS["bias shifted under the softmax"])
    failed = {row.output for row in net.check(broken).rows if row.status == "fail"}
    assert failed == {"output before softmax"}


def test_the_message_names_output_index_and_values(net: Fixture, tmp_path: Path) -> None:
    def change(weight: np.ndarray) -> np.ndarray:
        changed = weight.copy()
        changed[5] *= 3
        return changed

    broken = edit(net.path, tmp_path / "broken.onnx", "fc.weight", change)
    with pytest.raises(ParityError) as caught:
        require_parity(net.check(broken))
    assert "'output before softmax'[" in caught.value.problem
    assert ", 5] on " in caught.value.problem
    assert " instead of " in caught.value.problem


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3)) * 0 + 3


def test_a_check_that_could_not_fail_is_reported(tmp_path: Path) -> None:
    module, inputs = Constant().eval(), {"x": torch.randn(2, 3, 4, 4)}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    found = check_parity(graph, module, tmp_path / "net.onnx", cases(inputs, (1, 2), 0), ["cpu"])
    assert found.notes == (
        "'output' hardly depends on the input, so its check could not have failed",
    )


class Cancels(nn.Module):
    """One small number out of large ones: a single run may agree with the reference by luck."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum() / x.numel()


def test_a_lucky_reference_raises_no_false_alarm(tmp_path: Path) -> None:
    module, inputs = Cancels().eval(), {"x": torch.randn(2, 3, 16, 16)}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    for seed in range(5):
        made = cases(inputs, (1, 2, 7), seed)
        require_parity(check_parity(graph, module, tmp_path / "net.onnx", made, ["cpu"]))


class Picky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x)


def test_inputs_that_the_module_refuses_are_noted(tmp_path: Path) -> None:
    module, inputs = Picky().eval(), {"x": torch.randint(0, 10, (2, 5))}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    good = check_parity(graph, module, tmp_path / "net.onnx", cases(inputs, (1, 2), 0), ["cpu"])
    assert good.status == "pass"
    wild = {"x": torch.full((2, 5), 99)}
    with pytest.raises(InputError, match="the module fails on example at batch 1"):
        check_parity(graph, module, tmp_path / "net.onnx", _examples(wild), ["cpu"])


def _examples(inputs: dict[str, Tensor]) -> list[Case]:
    return [Case("example", 1, {"x": inputs["x"][:1]})]


def test_a_module_without_a_float64_run_says_so(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.float())

    module, inputs = Fixed().eval(), {"x": torch.randn(2, 4)}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    result = check_parity(graph, module, tmp_path / "net.onnx", cases(inputs, (1, 2), 0), ["cpu"])
    assert any("has no float64 run" in note for note in result.notes)
    require_parity(result)


class Chaotic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(1e8 * x)


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    module, inputs = Chaotic().eval(), {"x": torch.randn(2, 30)}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    result = check_parity(graph, module, tmp_path / "net.onnx", cases(inputs, (1, 2), 0), ["cpu"])
    assert all(row.tolerance <= 0.05 for row in result.rows)
    with pytest.raises(ParityError):
        require_parity(result)
    undecided = [row for row in result.rows if row.status == "undecided"]
    assert undecided
    with pytest.raises(ParityError, match="the file cannot be judged"):
        require_parity(replace(result, rows=tuple(undecided)))


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def test_a_double_network_is_judged_in_double(tmp_path: Path) -> None:
    module, inputs = Double().eval().double(), {"x": torch.randn(2, 6).double()}
    nn.init.uniform_(module.fc.weight)
    graph = trace(module, inputs)
    path = tmp_path / "net.onnx"
    write_onnx(graph, module, inputs, path)
    good = check_parity(graph, module, path, cases(inputs, (1, 2), 0), ["cpu"])
    require_parity(good)
    rounded = edit(path, tmp_path / "r.onnx", "fc.weight", lambda w: w.astype("f4").astype("f8"))
    with pytest.raises(ParityError):
        require_parity(check_parity(graph, module, rounded, cases(inputs, (1, 2), 0), ["cpu"]))


class ManyHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.ones(3))
        self.anchors: Tensor
        self.register_buffer("anchors", torch.arange(5.0))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.fc(x)
        return {
            "class": h.argmax(1),
            "p": h.softmax(1),
            "q": h.softmax(1),
            "x": h,
            "anchors": self.anchors,
            "scale": self.scale.exp(),
            "ones": torch.ones(2, 2),
        }


def test_outputs_of_every_kind_are_compared(tmp_path: Path) -> None:
    module, inputs = ManyHeads().eval(), {"x": torch.randn(2, 6)}
    graph = trace(module, inputs)
    path = tmp_path / "net.onnx"
    write_onnx(graph, module, inputs, path)
    result = check_parity(graph, module, path, cases(inputs, (1, 2, 7), 0), ["cpu"])
    require_parity(result)
    names = {row.output for row in result.rows}
    assert {"class", "p", "q", "x", "anchors", "scale", "ones"} <= names


class NamedAlike(nn.Module):
    def forward(self, x: Tensor, c: Tensor) -> dict[str, Tensor]:
        return {"x": x * 2, "c": c + x}


def test_an_output_named_like_an_input_gets_a_name_of_its_own(tmp_path: Path) -> None:
    module, inputs = NamedAlike().eval(), {"x": torch.randn(2, 3), "c": torch.randn(2, 3)}
    graph = trace(module, inputs)
    assert [value.name for value in graph.outputs] == ["x_out", "c_out"]
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    result = check_parity(graph, module, tmp_path / "net.onnx", cases(inputs, (1, 2), 0), ["cpu"])
    require_parity(result)


def test_a_mean_over_many_is_no_fault(tmp_path: Path) -> None:
    """PyTorch adds in a tree and is nearly exact; term by term, float32 loses more than 8 times."""

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.abs() + 1).mean((2, 3))

    module, inputs = Mean().eval(), {"x": torch.randn(2, 3, 448, 448)}
    graph = trace(module, inputs)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    made = cases(inputs, (1, 2), 0)
    require_parity(check_parity(graph, module, tmp_path / "net.onnx", made, ["cpu"]))


def test_on_zeros_the_noise_floor_is_measured_again_on_rounded_weights(net: Fixture) -> None:
    # a zero stays zero when it is rounded, so that rounded inputs would show no spread at all
    reference = Reference(net.module, net.graph)
    zeros = Case("zeros", 2, {"x": torch.zeros(2, 3, 12, 12)}, usual=False)
    plain = reference.run(zeros).float32["output"]
    spread = [
        np.abs(run["output"].astype(np.float64) - plain).max()
        for run in reference.rounded_runs(zeros)
    ]
    assert 0 < max(spread) < 1e-5
