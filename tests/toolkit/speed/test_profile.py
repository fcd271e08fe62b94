"""Where the time of a file goes: its nodes add up to the whole, or nothing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netloft
from netloft.errors import CheckError
from netloft.speed import bench, profile
from netloft.speed.adding_up import adds_up
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
    kernels = {
        ("conv/Conv", "Conv"): profile._Kernel(1.0, work),
        ("", "Tanh"): profile._Kernel(0.2, work),
    }
    monkeypatch.setattr(profile, "_measured", lambda *_: (kernels, 1.5))
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
