"""Where the time of a file goes: its nodes add up to the whole, or nothing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import netloft
from netloft.errors import CheckError
from netloft.speed import bench, profile
from netloft.speed.adding_up import adds_up
from netloft.speed.counting import NOTHING
from netloft.speed.file_nodes import FileNodes
from netloft.speed.kernels import Kernel, kernels_of
from netloft.speed.measure import Plan
from netloft.speed.peak import Peak
from netloft.speed.profile import ProfileRow
from netloft.speed.roofline import Work
from netloft.speed.setup import Setup


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 32, 3, padding=1)
        self.act = nn.ReLU()
        self.deep = nn.Sequential(nn.Conv2d(32, 64, 5), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deep(self.act(self.conv(x))).mean((2, 3))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "net.onnx"
    netloft.to_onnx(Net().eval(), (torch.randn(1, 8, 64, 64),), path)
    return path


@pytest.fixture(autouse=True)
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run beside these: what times add up to is tested with times of our own."""
    monkeypatch.setattr(profile, "adds_up", lambda *_: True)


def of(path: Path) -> tuple[ProfileRow, ...]:
    feeds = {"input": np.zeros((2, 8, 64, 64), np.float32)}
    setup, peak = Setup("cpu", 2, 1), Peak(1, 100.0, 10.0)
    return profile.profile("net", path, feeds, setup, Plan.quick(), peak)


def test_every_kernel_is_told_with_its_module(file: Path) -> None:
    rows = of(file)
    modules = {row.module for row in rows if row.node}
    assert {"act", "deep.1"} <= modules  # convolutions are fused with what follows them
    fused = next(row for row in rows if row.module == "act")
    assert (fused.kernel, fused.op) == ("Conv", "Relu")
    assert max(rows, key=lambda row: row.ms).module == "deep.1"


def test_kernels_are_told_with_their_work_and_its_limit(file: Path) -> None:
    rows = {row.module: row for row in of(file) if row.node}
    first = rows["act"]  # two pictures, 32 channels of 8 x 3 x 3 each
    assert first.macs == 2 * 32 * 64 * 64 * 8 * 9
    assert first.gflops is not None
    assert first.limit_ms is not None
    assert first.gflops == pytest.approx(2 * first.macs / first.ms / 1e6, rel=0.02)
    assert first.gbs == pytest.approx(first.bytes / first.ms / 1e6, rel=0.02)
    moved = 4 * (2 * 8 * 64 * 64 + 32 * (8 * 9 + 1) + 2 * 32 * 64 * 64)
    assert first.bytes == moved
    assert first.limit_ms == pytest.approx(max(2 * first.macs / 100e6, moved / 10e6), rel=0.01)


def test_what_does_not_add_up_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "adds_up", adds_up)
    work = Work(0, 0)
    kernels = {("conv/Conv", "Conv"): Kernel(1.0, work, "cpu"), ("", "Tanh"): Kernel(0.2, work, "")}
    monkeypatch.setattr(profile, "_measured", lambda *_: ([], 1.5))
    monkeypatch.setattr(profile, "kernels_of", lambda *_: kernels)
    with pytest.raises(CheckError, match=r"took 80 % of the time of the whole on cpu"):
        of(file)


def test_bench_tells_nodes_where_it_is_asked_to(file: Path) -> None:
    result = bench(file, batches=(4,), threads=1, quick=True, profiled=True)
    assert {row.batch for row in result.nodes} == {4}
    assert result.to_dict()["nodes"]
    module = bench((Net().eval(), (torch.randn(1, 8, 64, 64),)), batches=(1,), quick=True,
                   profiled=True)  # fmt: skip
    assert not module.nodes
    assert any("a module runs in PyTorch" in reason for _, reason in module.not_run)


def event(name: str, kind: str, start: int, took: int, provider: str = "CPU") -> dict[str, Any]:
    facts = {"op_name": kind, "provider": f"{provider}ExecutionProvider"}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": took, "args": facts}


def run_ends(start: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": start, "dur": 0, "args": {}}


def test_the_time_of_a_loop_is_without_that_of_its_body() -> None:
    """Two runs as ONNX Runtime notes them: those inside end first, and are of several turns."""
    one = [
        event("before", "Add", 0, 100),
        event("body", "Conv", 110, 300),
        event("inner", "Relu", 420, 50),
        event("branch", "If", 415, 60),  # around inner, and in the body too
        event("body", "Conv", 480, 500),
        event("loop", "Loop", 105, 900),
        run_ends(0),
    ]
    found = kernels_of([*one, *one, event("cut", "Add", 0, 9)], lambda *_: NOTHING)
    ms = {name: kernel.ms for (name, _), kernel in found.items()}
    assert ms == pytest.approx(
        {"before": 0.1, "body": 0.8, "inner": 0.05, "branch": 0.01, "loop": 0.04}
    )
    assert sum(ms.values()) == pytest.approx(1.0)  # from 0 to 1005, without 5 between


def test_what_ran_it_is_read_back() -> None:
    events = [event("conv", "Conv", 0, 9, "CUDA"), event("shape", "Shape", 10, 1), run_ends(0)]
    found = kernels_of(events, lambda *_: NOTHING)
    assert [kernel.ran_on for kernel in found.values()] == ["cuda", "cpu"]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(8, 64, 1), nn.Conv2d(8, 64, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def small(x: torch.Tensor) -> torch.Tensor:
            return self.narrow(x).relu()

        def large(x: torch.Tensor) -> torch.Tensor:
            return self.wide(x).tanh()

        found: torch.Tensor = torch.cond(x.sum() > 0, small, large, (x,))
        return found


def test_a_branch_is_told_with_its_module_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "branches.onnx"
    netloft.to_onnx(Branches().eval(), (torch.randn(1, 8, 64, 64),), path)
    events, whole = profile._measured(
        path, {"input": np.zeros((1, 8, 64, 64), np.float32)}, Setup("cpu", 1, 1), Plan.quick()
    )
    nodes = FileNodes(path)
    found = kernels_of(events, nodes.known)
    ((_, large),) = [(n, k) for n, k in found.items() if nodes.origin(*n).module == "wide"]
    assert large.work.macs == 64 * 64 * 64 * 8 * 25
    around = next(kernel for (_, kind), kernel in found.items() if kind == "If")
    assert around.ms < large.ms / 2
    assert whole > 0


def test_int8_kernels_have_their_module_and_a_limit_by_bytes(tmp_path: Path) -> None:
    """ONNX Runtime packs the weights and changes the names: both are found in the file."""
    path = tmp_path / "int8.onnx"
    numbers = {
        "w": np.ones((16, 8, 3, 3), np.int8), "scale": np.float32(0.1), "zero": np.uint8(0),
        "none": np.int8(0),
    }  # fmt: skip
    make = helper.make_node
    conv = make("Conv", ["d", "dw"], ["c"], name="stem/Conv")
    conv.metadata_props.add(key="netloft.module", value="stem")
    nodes = [
        make("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"),
        make("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
        make("DequantizeLinear", ["w", "scale", "none"], ["dw"], name="dw"),
        conv,
        make("QuantizeLinear", ["c", "scale", "zero"], ["cq"], name="cq"),
        make("DequantizeLinear", ["cq", "scale", "zero"], ["y"], name="y"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, s, s])
            for n, c, s in (("x", 8, 64), ("y", 16, 62))]  # fmt: skip
    kept = [numpy_helper.from_array(np.asarray(a), name) for name, a in numbers.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], kept)
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    feeds = {"x": np.zeros((2, 8, 64, 64), np.float32)}
    peak = Peak(1, 100.0, 10.0)
    rows = profile.profile("net", path, feeds, Setup("cpu", 2, 1), Plan.quick(), peak)
    (row,) = [row for row in rows if row.kernel == "QLinearConv"]
    assert (row.module, row.node, row.precision) == ("stem", "stem/Conv", "int8")
    assert row.macs == 2 * 16 * 62 * 62 * 8 * 9
    assert row.limit_by == "bytes alone"
    moved = 2 * 8 * 64 * 64 + 2 * 16 * 62 * 62 + 16 * 8 * 9
    assert row.bytes == pytest.approx(moved, abs=300)  # scales, and a bias where it adds one
    assert row.limit_ms == pytest.approx(row.bytes / 10e6, abs=1e-5)
    assert {row.ran_on for row in rows} == {"cpu"}
