"""A provider that starts and runs nothing of a file is one that does not run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onnx import TensorProto, helper

from netloft.errors import ProviderError
from netloft.runtime import providers
from netloft.runtime.placed import check_taken
from netloft.speed import contestants
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
    monkeypatch.setattr(contestants, "start_session", lambda *_, **__: session)
    with pytest.raises(ProviderError, match="runs no operation of the model"):
        timed_session(providers.TINY_MODEL, "cuda", 1)
