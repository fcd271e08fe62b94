"""The assertion for other people's test suites."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import netloft
from netloft.errors import UsageError
from netloft.parity.verdict import counts, told
from netloft.testing import assert_parity


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.head(self.conv(image).relu().mean((2, 3)))
        return found


class Looked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, words: Tensor) -> Tensor:
        found: Tensor = self.table(words).sum(1)
        return found


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(3)
    return Net().eval()


@pytest.fixture
def file(net: nn.Module, tmp_path: Path) -> Path:
    netloft.to_onnx(net, (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_right_file_passes_on_inputs_of_its_own_shapes(net: nn.Module, file: Path) -> None:
    found = assert_parity(net, file, providers=["cpu"])
    fixed = [row for row in found.parity if not row["input"].startswith("stress")]
    assert {row["batch"] for row in fixed} == {1, 2, 5}
    assert found.status == "pass"


def test_inputs_may_be_given(net: nn.Module, file: Path) -> None:
    found = assert_parity(net, str(file), {"image": torch.rand(1, 3, 8, 8)}, providers=["cpu"])
    assert "example" in {row["input"] for row in found.parity}


def test_a_weight_that_is_off_by_a_thousandth_is_told_with_its_place(
    net: nn.Module, file: Path
) -> None:
    model = onnx.load(str(file))
    weight = next(t for t in model.graph.initializer if list(t.dims) == [4, 3, 3, 3])
    changed = numpy_helper.to_array(weight) * 1.001
    weight.CopyFrom(numpy_helper.from_array(changed.astype("float32"), weight.name))
    onnx.save(model, str(file))
    with pytest.raises(
        AssertionError, match=r"computes another function: .* worst is .*\["
    ) as told:
        assert_parity(net, file, providers=["cpu"])
    assert " instead of " in str(told.value)
    assert str(file) in str(told.value)


def test_a_file_of_another_exporter_passes(net: nn.Module, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.onnx"
    x, batch = torch.randn(2, 3, 8, 8), torch.export.Dim("batch")
    torch.onnx.export(
        net, (x,), theirs, dynamo=True, dynamic_shapes=({0: batch},), verbose=False,
        input_names=["image"], output_names=["scores"],
    )  # fmt: skip
    found = assert_parity(net, theirs, providers=["cpu"])
    assert found.notes[0] == "'image' of the file is taken for 'input' of the module, by its place"


def test_a_bundle_passes_on_its_vectors_too(net: nn.Module, tmp_path: Path) -> None:
    bundle = netloft.export(net, (torch.randn(2, 3, 8, 8),), tmp_path / "net", providers=["cpu"])
    found = assert_parity(net, bundle.path, providers=["cpu"])
    assert {"test vectors", "noise"} <= {row["input"] for row in found.parity}


def test_another_module_is_a_mistake_of_the_call(file: Path) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(192, 7)).eval()
    with pytest.raises(UsageError, match="name the module that the file was exported from"):
        assert_parity(other, file, providers=["cpu"])


def test_inputs_that_cannot_be_made_up_have_to_be_given(tmp_path: Path) -> None:
    net, words = Looked().eval(), torch.randint(9, (2, 6))
    file = tmp_path / "words.onnx"
    netloft.to_onnx(net, (words,), file)
    with pytest.raises(UsageError, match=r"input 'input' takes torch\.int64"):
        assert_parity(net, file, providers=["cpu"])
    assert_parity(net, file, (words,), providers=["cpu"])


def test_a_length_that_is_open_has_to_be_said(net: nn.Module, tmp_path: Path) -> None:
    file, x = tmp_path / "open.onnx", torch.randn(2, 3, 8, 8)
    netloft.to_onnx(net, (x,), file, dynamic={"image": {3: "width"}})
    with pytest.raises(UsageError, match="input 'input' has open lengths"):
        assert_parity(net, file, providers=["cpu"])
    assert_parity(net, file, (x,), providers=["cpu"])


class Distance(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().sum(1)


def test_two_inputs_of_one_shape_are_not_the_same_noise(tmp_path: Path) -> None:
    net, file = Distance().eval(), tmp_path / "distance.onnx"
    netloft.to_onnx(net, (torch.randn(2, 3), torch.randn(2, 3)), file)
    found = assert_parity(net, file, providers=["cpu"])
    examples = [row for row in found.parity if row["input"] == "example"]
    assert examples
    assert all(row["worst_expected"] > 0 for row in examples)


def test_what_cannot_be_judged_is_told_so_and_counts_on_usual_inputs_only() -> None:
    row = {"output": "y", "noise_floor": 0.5, "batch": 2, "input": "noise", "status": "undecided"}
    assert counts("undecided", "noise")
    assert not counts("undecided", "extreme")
    assert counts("fail", "extreme")
    assert not counts("pass", "noise")
    assert told([row], 3) == (
        "cannot be judged: PyTorch's own float32 error on 'y' is 0.5 of the result on noise at "
        "batch 2"
    )
