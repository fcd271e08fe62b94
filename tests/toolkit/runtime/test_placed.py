"""A provider that starts and runs nothing of a file is one that does not run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import netloft
from netloft import exporting
from netloft.errors import ProviderError
from netloft.runtime import placed, providers
from netloft.runtime.placed import check_taken, taking
from netloft.speed import bench, targets
from netloft.speed.contestants import timed_session


def recorded(model: bytes) -> Any:
    """Return a session on the CPU that says which provider took what."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(providers._RECORD, "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def no_operations() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "g", [value], [value])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    data: bytes = model.SerializeToString()
    return data


def test_one_that_took_nothing_is_told() -> None:
    session = recorded(providers.TINY_MODEL)
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip("not run: this ONNX Runtime does not say what took an operation")
    with pytest.raises(ProviderError, match=r"runs no operation of net\.onnx: all run on CPU"):
        check_taken(session, "cuda", Path("some/net.onnx"))
    check_taken(session, "cpu", Path("some/net.onnx"))
    check_taken(recorded(no_operations()), "cuda", b"")


def test_one_operation_is_enough_and_an_older_runtime_says_nothing() -> None:
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    mixed: Any = SimpleNamespace(
        get_provider_graph_assignment_info=lambda: [SimpleNamespace(ep_name=n) for n in names]
    )
    check_taken(mixed, "cuda", b"")
    with pytest.raises(ProviderError, match="provider 'tensorrt' starts, and runs no operation"):
        check_taken(mixed, "tensorrt", b"")
    older: Any = SimpleNamespace()
    check_taken(older, "cuda", b"")


def test_the_bench_measures_no_other_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    session = recorded(providers.TINY_MODEL)
    monkeypatch.setattr(placed, "start_session", lambda *_, **__: session)
    with pytest.raises(ProviderError, match="runs no operation of the model"):
        timed_session(providers.TINY_MODEL, "cuda", 1)


BOTH: Any = (("cpu", "cuda"), ())


def on_the_cpu(model: Any, provider: str = "cpu", **options: Any) -> Any:
    """Stand in for a GPU that takes nothing: the session is one of the CPU, which says so."""
    return providers.start_session(model, **options) if provider == "cpu" else NOTHING_TAKEN


NOTHING_TAKEN: Any = SimpleNamespace(
    get_provider_graph_assignment_info=lambda: [SimpleNamespace(ep_name="CPUExecutionProvider")]
)


def test_what_nobody_asked_for_and_takes_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(placed, "start_session", on_the_cpu)
    running, left = taking(tmp_path / "net.onnx", ("cpu", "cuda"))
    assert running == ("cpu",)
    assert [row.what for row in left] == ["provider cuda"]
    assert "runs no operation of net.onnx" in left[0].reason

    monkeypatch.setattr(exporting, "available", lambda _: BOTH)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval()
    out = netloft.export(net, (torch.randn(2, 3, 4),), out=tmp_path / "net", quick=True)
    told = {row.what: row.reason for row in out.report.not_run}
    assert "runs no operation of model.onnx" in told["provider cuda"]
    assert {row["provider"] for row in out.report.parity} == {"cpu"}

    monkeypatch.setattr(targets, "available", lambda _: BOTH)
    found = bench(out.path, batches=[1], quick=True)
    assert [row.provider for row in found.rows] == ["cpu"]
    assert {row.what: row.reason for row in found.not_run} == {
        "provider cuda": told["provider cuda"]
    }
    with pytest.raises(ProviderError, match="runs no operation"):
        bench(out.path, batches=[1], quick=True, providers=["cuda"])
