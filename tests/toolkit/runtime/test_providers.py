from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netloft.errors import ProviderError, UsageError
from netloft.runtime import providers
from netloft.runtime.providers import (
    TINY_MODEL,
    NotRun,
    available,
    default_options,
    probe,
    start_session,
)

CUDA = probe("cuda")
needs_cuda = pytest.mark.skipif(not CUDA.starts, reason=f"not run: {CUDA.reason}")
without_cuda = pytest.mark.skipif(CUDA.starts, reason="CUDA starts here")


def test_tiny_model_is_what_its_comment_says() -> None:
    shape = [1, 1, 1, 1]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.full(shape, 2, np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 13)]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    onnx.checker.check_model(built, full_check=True)
    assert onnx.load_from_string(TINY_MODEL) == built


def test_the_cpu_starts() -> None:
    assert probe("cpu") == providers.ProbeResult("cpu", True)
    session = start_session(TINY_MODEL, threads=1, spinning=False, optimisation="basic")
    assert session.get_providers()[0] == "CPUExecutionProvider"
    (y,) = session.run(None, {"x": np.full((1, 1, 1, 1), 1.5, np.float32)})
    assert y.item() == 3.0


@without_cuda
def test_cuda_never_becomes_the_cpu_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderError) as caught:
        start_session(TINY_MODEL, "cuda")
    assert caught.value.exit_code == 3
    assert "provider 'cuda' does not start" in caught.value.problem
    assert any(word in caught.value.problem for word in (".so", ".dll", "GPU", "NVIDIA", "built"))
    assert caught.value.remedy
    assert capfd.readouterr() == ("", "")


@without_cuda
def test_a_provider_that_was_asked_for_has_to_start() -> None:
    with pytest.raises(ProviderError, match="provider 'cuda' does not start"):
        available(["cpu", "cuda"])
    assert available(["cpu", "cpu"]) == (("cpu",), ())


@without_cuda
def test_with_nothing_asked_for_the_missing_one_is_reported() -> None:
    running, not_run = available()
    assert running == ("cpu",)
    assert not_run == (NotRun("provider cuda", CUDA.reason),)


@pytest.mark.parametrize("name", ["tensorrt", "openvino"])
def test_rarer_providers_start_or_say_why(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = probe(name)
    assert result.starts or (result.reason and result.remedy)
    assert capfd.readouterr().out == ""


def test_a_fall_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: a session that runs on another provider is refused."""

    class Fallen:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    runtime = providers._runtime()
    monkeypatch.setattr(runtime, "InferenceSession", lambda *_, **__: Fallen())
    monkeypatch.setattr(
        runtime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(providers, "_preload", lambda: None)
    with pytest.raises(ProviderError, match="provider 'cuda' does not start"):
        start_session(TINY_MODEL, "cuda")


def test_openvino_takes_as_many_threads_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has threads of its own, and does not look at those of the session."""
    given: list[dict[str, str]] = []

    def kept(
        _: object, __: object, providers: list[tuple[str, dict[str, str]]], **___: int
    ) -> None:
        given.append(providers[0][1])
        raise RuntimeError

    runtime = providers._runtime()
    monkeypatch.setattr(runtime, "InferenceSession", kept)
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["OpenVINOExecutionProvider"])
    monkeypatch.setattr(providers, "probe", lambda name: providers.ProbeResult(name, False))
    with pytest.raises(ProviderError):
        start_session(TINY_MODEL, "openvino", threads=3)
    assert given[0] == {"device_type": "CPU", "precision": "FP32", "num_of_threads": "3"}
    monkeypatch.setattr(providers, "usual_threads", lambda: None)
    monkeypatch.setattr(providers, "cores", lambda: 5)
    assert default_options("openvino")["num_of_threads"] == "5"
    assert default_options("cuda", threads=3) == {"use_tf32": "0"}


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no provider 'gpu'"):
        start_session(TINY_MODEL, "gpu")
    with pytest.raises(UsageError, match="there is no file"):
        start_session(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="there is no optimisation level 'max'"):
        start_session(TINY_MODEL, optimisation="max")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(UsageError, match=r"ONNX Runtime cannot load bad.onnx on cpu") as caught:
        start_session(tmp_path / "bad.onnx")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("use_tf32", [False, True])
def test_cuda_runs_and_tf32_is_as_asked(use_tf32: bool) -> None:
    session = start_session(TINY_MODEL, "cuda", use_tf32=use_tf32)
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    options = session.get_provider_options()["CUDAExecutionProvider"]
    assert options["use_tf32"] == str(int(use_tf32))


@pytest.mark.cuda
@needs_cuda
def test_a_bad_model_is_not_blamed_on_the_provider(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(UsageError, match=r"cannot load bad.onnx on cuda"):
        start_session(tmp_path / "bad.onnx", "cuda")
