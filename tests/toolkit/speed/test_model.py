"""`bench_model` from end to end, on a network small enough to cost nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from netloft.runtime.providers import NotRun, probe
from netloft.speed import ONNXRUNTIME, bench_model, torch_contestants
from netloft.speed import model as bench_of_model
from netloft.speed.contestants import cpp_compiler
from netloft.speed.engines import engine
from netloft.speed.measure import Plan
from netloft.speed.rows import SpeedRow

KEYS = [
    "engine", "provider", "batch", "threads", "n", "p50_ms", "p50_low", "p50_high", "p95_ms",
    "p99_ms", "items_per_s", "cpu_ms", "precision", "ratio_to_eager", "ratio_low", "ratio_high",
    "verdict",
]  # fmt: skip
CUDA = probe("cuda")


class Tiny(nn.Module):
    """Prints on every call, as lecture code does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        print("forward", image.shape)
        return torch.relu(self.conv(image)).mean((2, 3))


def exported(folder: Path, batch: str | int = "batch") -> Path:
    path = folder / "tiny.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Tiny().eval(), (torch.randn(1, 3, 8, 8),), str(path), dynamo=False,
            input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: batch}, "output": {0: batch}} if batch == "batch" else None,
        )  # fmt: skip
    return path


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is spent on samples that no test looks at."""
    monkeypatch.setattr(bench_of_model, "_QUICK", Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


def inputs(batch: int) -> dict[str, torch.Tensor]:
    return {"image": torch.randn(batch, 3, 8, 8)}


@pytest.mark.usefixtures("fast")
def test_every_engine_has_a_row_with_every_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    path = exported(tmp_path)
    capsys.readouterr()
    threads = torch.get_num_threads()
    result = bench_model(
        Tiny().eval(), path, inputs, input_names=["input"], providers=["cpu"], batches=(1, 4),
        threads=1, quick=True, compile=False, progress=told.append,
    )  # fmt: skip
    assert [(r.engine, r.provider, r.batch) for r in result.rows] == [
        ("PyTorch eager", "cpu", 1), (ONNXRUNTIME, "cpu", 1),
        ("PyTorch eager", "cpu", 4), (ONNXRUNTIME, "cpu", 4),
    ]  # fmt: skip
    for row in result.rows:
        check(row)
    assert result.rows[0].ratio_to_eager == 1
    conditions = result.environment["conditions"]
    assert isinstance(conditions, dict)
    assert conditions.keys() == {"others", "stolen", "drift", "throttled_s", "complaints"}
    assert {row.precision for row in result.rows} == {""}, "--quick reads nothing back"
    assert result.not_run == ()
    assert result.environment["threads"] == 1
    assert told == ["speed at batch 1 on cpu", "speed at batch 4 on cpu"]
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().out == ""


def check(row: SpeedRow) -> None:
    facts = row.to_dict()
    assert list(facts) == KEYS
    assert row.n >= 5
    assert row.threads == 1
    assert 0 < row.p50_low <= row.p50_ms <= row.p50_high
    assert (row.p95_ms is None) == (row.n < 104), "all may lie below"
    assert row.p95_ms is None or row.p95_ms >= row.p50_ms
    assert row.items_per_s == pytest.approx(row.batch / row.p50_ms * 1e3, rel=0.01)
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    assert row.ratio_low <= row.ratio_high
    assert (row.verdict == "") == (row.engine == torch_contestants.EAGER)
    assert row.verdict in ("", "faster", "slower", "cannot tell")


@pytest.fixture
def tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32  # no plain attribute: monkeypatch deletes it
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("tf32")
def test_torch_is_left_as_it_was() -> None:
    threads = torch.get_num_threads()
    with torch_contestants.torch_settings(threads + 1):
        found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        assert (torch.get_num_threads(), *found) == (threads + 1, False, False)
    found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    assert (torch.get_num_threads(), *found) == (threads, True, True)


@pytest.mark.usefixtures("fast")
def test_a_missing_compiler_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_contestants, "cpp_compiler", lambda: "")
    result = bench_model(
        Tiny().eval(), exported(tmp_path).read_bytes(), inputs, input_names=["input"],
        providers=["cpu"], batches=(1,), threads=1, quick=True,
    )  # fmt: skip
    assert result.not_run == (
        NotRun("torch.compile on cpu at batch 1", "no C++ compiler is on PATH, and CXX names none"),
    )


@pytest.mark.usefixtures("fast")
def test_a_compiler_that_fails_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("backend='inductor' raised:\ncollect2: error in /home/someone/x.cpp")

    path = exported(tmp_path)
    monkeypatch.setattr(torch_contestants, "cpp_compiler", lambda: "g++")
    monkeypatch.setattr(torch, "compile", broken)
    capfd.readouterr()
    result = bench_model(
        Tiny().eval(), path, inputs, input_names=["input"], providers=["cpu"], batches=(1,),
        threads=1, quick=True,
    )  # fmt: skip
    assert result.not_run == (
        NotRun("torch.compile on cpu at batch 1", "RuntimeError: collect2: error in x.cpp"),
    )
    assert len(result.rows) == 2
    assert capfd.readouterr() == ("", "")


def test_a_precision_that_cannot_be_read_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> str:
        raise KeyError("layerType")

    monkeypatch.setattr(bench_of_model, "Plan", lambda: Plan(0.0, rounds=5, warmup_s=0.0))
    monkeypatch.setattr(engine, "_precision", fails)
    result = bench_model(
        Tiny().eval(), exported(tmp_path), inputs, input_names=["input"], providers=["cpu"],
        batches=(1,), threads=1, compile=False,
    )  # fmt: skip
    assert [(r.engine, r.precision) for r in result.rows] == [
        ("PyTorch eager", ""),
        (ONNXRUNTIME, ""),
    ]
    what = f"what {ONNXRUNTIME} on cpu at batch 1 computes in"
    assert result.not_run == (NotRun(what, "KeyError: 'layerType'"),)


@pytest.mark.usefixtures("fast")
def test_a_file_that_refuses_a_batch_is_a_reason(tmp_path: Path) -> None:
    result = bench_model(
        Tiny().eval(), exported(tmp_path, batch=1), inputs, input_names=["input"],
        providers=["cpu"], batches=(3,), threads=1, quick=True, compile=False,
    )  # fmt: skip
    (row,) = result.rows
    assert row.engine == "PyTorch eager"
    (missing,) = result.not_run
    assert missing.what == "ONNX Runtime on cpu at batch 3"
    assert "InvalidArgument" in missing.reason


def test_a_plan_is_quick_only_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans: list[Plan] = []

    def record(*args: object, **_: object) -> tuple[list[SpeedRow], list[NotRun]]:
        plans.append(args[3])  # type: ignore[arg-type]
        return [], []

    monkeypatch.setattr(bench_of_model, "_measured", record)
    path = exported(tmp_path)
    for quick in (False, True):
        bench_model(
            Tiny(), path, inputs, input_names=["input"], providers=["cpu"], batches=(1,),
            quick=quick,
        )  # fmt: skip
    assert plans == [Plan(), Plan(budget_s=0.3, rounds=8, warmup_s=0.1)]


@pytest.mark.slow
@pytest.mark.skipif(not cpp_compiler(), reason="no C++ compiler")
@pytest.mark.usefixtures("fast")
def test_torch_compile_takes_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(tmp_path)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own, about forks and graph breaks
        result = bench_model(
            Tiny().eval(), path, inputs, input_names=["input"], providers=["cpu"], batches=(2,),
            threads=1, quick=True,
        )  # fmt: skip
    assert [r.engine for r in result.rows] == ["PyTorch eager", "torch.compile", ONNXRUNTIME]
    assert result.not_run == ()
    assert capsys.readouterr().out == ""


@pytest.mark.cuda
@pytest.mark.skipif(not CUDA.starts, reason=f"not run: {CUDA.reason}")
@pytest.mark.usefixtures("fast")
def test_cuda_is_timed_beside_the_cpu(tmp_path: Path) -> None:
    result = bench_model(
        Tiny().eval(), exported(tmp_path), inputs, input_names=["input"],
        providers=["cpu", "cuda"], batches=(4,), threads=1, quick=True, compile=False,
    )  # fmt: skip
    expected = [("PyTorch eager", "cpu"), (ONNXRUNTIME, "cpu")]
    if torch.cuda.is_available():
        expected.append(("PyTorch eager", "cuda"))
    assert [(r.engine, r.provider) for r in result.rows] == [*expected, (ONNXRUNTIME, "cuda")]
    assert result.environment["gpu"]
