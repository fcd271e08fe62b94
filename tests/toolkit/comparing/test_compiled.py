"""A traced graph beside the file that netloft's passes made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

from netloft.comparing import diff
from netloft.graph.graph import Graph
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx


class Windows(nn.Module):
    """Windows of a Swin: a bias that is looked up in a table, paddings by nothing, whole slices."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ShiftedWindowAttention(8, [3, 3], [0, 0], 2)
        self.second = ShiftedWindowAttention(8, [3, 3], [1, 1], 2)
        with torch.no_grad():  # it starts at almost nothing
            self.first.relative_position_bias_table.normal_()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


@pytest.fixture(scope="module")
def traced() -> Graph:
    torch.manual_seed(0)
    return trace(Windows().eval(), (torch.randn(2, 6, 6, 8),))


@pytest.fixture(scope="module")
def written(traced: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "windows.onnx"
    write_onnx(traced, Windows().eval(), {"x": torch.randn(2, 6, 6, 8)}, path, prove=False)
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_what_passes_take_away_is_explained(traced: Graph, written: Path, turned: bool) -> None:
    found = diff(written, traced) if turned else diff(traced, written)
    assert not found.unexplained
    reasons = {change.reason for change in found.changes}
    assert {"worked out beforehand", "does nothing when a network is evaluated"} <= reasons


def _folded(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name == "folded")


def test_a_table_that_was_worked_out_wrongly_is_not_explained(
    traced: Graph, written: Path, tmp_path: Path
) -> None:
    model = onnx.load(written)
    tensor = _folded(model)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[3] *= np.float32(1.01)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "other.onnx")
    found = diff(traced, tmp_path / "other.onnx")
    gone = {change.entry.path for change in found.unexplained if change.kind == "removed"}
    assert "first.relative_position_bias_table" in gone
    told = {change.reason for change in found.changes if change.kind == "removed"}
    assert "worked out beforehand" not in told


def test_a_file_of_another_exporter_is_not_told_to_be_ours(
    traced: Graph, written: Path, tmp_path: Path
) -> None:
    model = onnx.load(written)
    model.producer_name = "another"
    onnx.save(model, tmp_path / "other.onnx")
    reasons = {change.reason for change in diff(traced, tmp_path / "other.onnx").changes}
    assert "worked out beforehand" not in reasons


class Moves(nn.Module):
    """Two moves that a pass would merge."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).transpose(2, 3) * 2


def test_what_a_file_has_all_the_same_is_the_same(tmp_path: Path) -> None:
    module, x = Moves().eval(), torch.randn(2, 3, 4, 5)
    graph, path = trace(module, (x,)), tmp_path / "moves.onnx"
    write_onnx(graph, module, {"x": x}, path, prove=False, passes=())
    found = diff(graph, path)
    assert not found.unexplained
    assert sum(change.kind == "removed" for change in found.changes) == 0
