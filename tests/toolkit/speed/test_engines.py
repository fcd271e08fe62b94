"""Engines run what they are given, and give what the others give."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import netloft
from netloft.errors import CheckError, MissingError, UsageError
from netloft.runtime.providers import probe
from netloft.speed import bench
from netloft.speed.engines import DEFAULT, ENGINES, chosen, engines_for
from netloft.speed.measure import Plan
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource, ModuleSource, source_of
from netloft_exporters.onnx.precision.int8 import quantise

NEEDS = {"openvino": "openvino", "openvino-default": "openvino", "onnxslim": "onnxslim"}


class Net(nn.Module):
    """A convolution and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.conv(x)).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def file(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "net.onnx"
    netloft.to_onnx(net, (torch.randn(2, 3, 9, 9),), path)
    return path


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


ON_CPU = [name for name, engine in ENGINES.items() if not engine.refuses("cpu")]


OF_BUNDLES = ("onnxruntime-tuned", "deployed")


@pytest.mark.parametrize("name", [name for name in ON_CPU if name not in OF_BUNDLES])
def test_every_engine_computes_the_network(name: str, net: nn.Module, file: Path) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"not run: the package {NEEDS[name]} is not installed")
    engine, setup = ENGINES[name], Setup("cpu", 3, 1)
    target = file if engine.takes_files else (net, (torch.randn(2, 3, 9, 9),))
    source = source_of(target, ["cpu"], 1)
    assert engine.refuses("cpu") == ""
    contestant = engine.make(source, setup)
    assert (contestant.batch, contestant.threads, contestant.provider) == (3, 1, "cpu")
    assert contestant.target == ("Net" if isinstance(source, ModuleSource) else str(file))
    assert contestant.engine == engine.label
    told = contestant.read_precision()
    kind = _habit_of_openvino() if name == "openvino-default" else "f32"
    assert told == (kind if engine.takes_files or name == "torch-onnx" else "")
    given = contestant.run()
    if isinstance(source, FileSource) and isinstance(given, list):
        x = torch.from_numpy(next(iter(source.feeds("cpu", 3).values())))
        torch.testing.assert_close(torch.from_numpy(given[0]), net(x).detach())


def _habit_of_openvino() -> str:
    """Return what it computes in where nobody says: bfloat16 where the processor has it."""
    openvino = importlib.import_module("openvino")
    habit: str = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").to_string()
    return habit


@pytest.mark.cuda
def test_a_cuda_graph_is_measured_beside_the_usual(file: Path) -> None:
    if not (cuda := probe("cuda")).starts:
        pytest.skip(f"not run: {cuda.reason}")
    engines = ("onnxruntime", "onnxruntime-cuda-graph")
    result = bench(file, batches=[3], providers=["cuda"], threads=1, engines=engines, quick=True)
    assert [row.engine for row in result.rows] == ["ONNX Runtime", "ONNX Runtime, CUDA graph"]


def test_a_cuda_graph_is_refused_on_the_cpu(file: Path) -> None:
    engines = ("onnxruntime", "onnxruntime-cuda-graph")
    result = bench(file, batches=[3], providers=["cpu"], threads=1, engines=engines, quick=True)
    assert [row.engine for row in result.rows] == ["ONNX Runtime"]
    assert "it runs on CUDA, and not on cpu" in [reason for _, reason in result.not_run]


def test_openvino_tells_what_its_kernels_compute_in_and_not_what_it_was_asked(
    file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="not run: the package openvino is not installed")
    x = np.random.default_rng(0).standard_normal((4, 3, 9, 9)).astype(np.float32)
    quantise(file, tmp_path / "int8.onnx", [{onnx.load(file).graph.input[0].name: x}])
    source = source_of(tmp_path / "int8.onnx", ["cpu"], 1)
    contestant = ENGINES["openvino"].make(source, Setup("cpu", 3, 1))
    assert contestant.read_precision().startswith("int8")


def test_openvino_is_compiled_for_the_shapes_and_copies_nothing(
    net: nn.Module, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime takes NumPy's memory and gives its own: the other is not to pay for copies."""
    openvino = pytest.importorskip("openvino", reason="not run: openvino is not installed")
    source = source_of(file, ["cpu"], 1)
    assert isinstance(source, FileSource)
    given = source.feeds("cpu", 3)
    monkeypatch.setattr(FileSource, "feeds", lambda *_: given)
    seen, real = [], openvino.InferRequest.infer

    def watched(request: Any, feeds: Any, **how: Any) -> Any:
        result = real(request, feeds, **how)
        (x,) = given.values()
        seen.append((
            [value.partial_shape.is_static for value in request.get_compiled_model().inputs],
            np.shares_memory(request.get_input_tensor(0).data, x),
            np.shares_memory(request.get_output_tensor(0).data, result[0]),
        ))  # fmt: skip
        return result

    monkeypatch.setattr(openvino.InferRequest, "infer", watched)
    contestant = ENGINES["openvino"].make(source, Setup("cpu", 3, 1))
    result: Any = contestant.run()
    assert seen == [([True], True, True)]
    (x,) = given.values()
    torch.testing.assert_close(torch.from_numpy(result[0]), net(torch.from_numpy(x)).detach())


def test_some_engines_need_a_bundle(file: Path) -> None:  # test_tune.py has one
    for name in OF_BUNDLES:
        with pytest.raises(CheckError, match="only a bundle is "):
            ENGINES[name].make(source_of(file, ["cpu"], 1), Setup("cpu", 3, 1))


def test_all_of_them_side_by_side(net: nn.Module, file: Path) -> None:
    module = (net, (torch.randn(2, 3, 9, 9),))
    names = ("onnxruntime", "onnxruntime-none", "eager", "channels-last")
    result = bench(file, module, batches=[2], threads=1, engines=names, quick=True)
    assert [(row.target, row.engine) for row in result.rows] == [
        (str(file), "ONNX Runtime"),
        (str(file), "ONNX Runtime, none"),
        ("Net", "PyTorch eager"),
        ("Net", "PyTorch eager, channels last"),
    ]
    assert [row.verdict == "" for row in result.rows] == [True, False, False, False]


def test_an_engine_that_takes_none_of_it(net: nn.Module, file: Path) -> None:
    result = bench(file, batches=[1], threads=1, engines=["eager"], quick=True)
    assert not result.rows
    assert (str(file), "no engine that was asked for takes it") in result.not_run


def test_engines_by_name() -> None:
    assert [engine.name for engine in chosen(())] == list(DEFAULT)
    assert [engine.name for engine in chosen(["all"])] == list(ENGINES)
    assert [engine.name for engine in chosen(["eager", "eager"])] == ["eager"]
    with pytest.raises(UsageError, match="there is no engine 'tvm'"):
        chosen(["tvm"])


def test_an_engine_that_is_named_has_to_be_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="needs the package openvino"):
        chosen(["openvino"])
    assert len(chosen(["all"])) == len(ENGINES)


def test_a_source_is_taken_by_engines_of_its_kind(net: nn.Module) -> None:
    source = source_of((net, (torch.randn(2, 3, 9, 9),)), ["cpu"], 1)
    assert {engine.name for engine in engines_for(source, chosen(["all"]))} == {
        "eager", "channels-last", "compile", "torch-onnx",
    }  # fmt: skip


def test_what_an_engine_does_not_run_on() -> None:
    assert "no openvino" in ENGINES["eager"].refuses("openvino")
    assert "not on cuda" in ENGINES["openvino"].refuses("cuda")
