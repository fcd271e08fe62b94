"""Reasons and remedies, from what ONNX Runtime prints on machines unlike this one."""

from __future__ import annotations

import pytest

from netloft.runtime import reasons
from netloft.runtime.reasons import diagnose

LOADER = (
    "\x1b[1;31m2026-01-01 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] "
    "/src/core/provider_bridge_ort.cc:2043 [ONNXRuntimeError] : 1 : FAIL : Failed to load library "
    "/home/someone/lib/libonnxruntime_providers_cuda.so with error: {}: cannot open shared object "
    "file: No such file or directory\n\x1b[m"
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, a driver for CUDA 13.0, and no CUDA libraries."""
    monkeypatch.setattr(reasons, "no_gpu_reason", lambda: "")
    monkeypatch.setattr(reasons, "driver_cuda_version", lambda: (13, 0))
    monkeypatch.setattr(reasons, "_installed", lambda package: False)


def _found(text: str, provider: str = "cuda", cuda: str = "13.0") -> reasons.Diagnosis:
    return diagnose(
        provider,
        text,
        in_build=True,
        package="onnxruntime-gpu",
        version="1.31.1",
        cuda_version=cuda,
    )


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("library", "cuda", "remedy"),
    [
        ("libcublasLt.so.13", "13.0", "pip install nvidia-cublas"),
        ("libcublas.so.12", "12.8", "pip install nvidia-cublas-cu12"),
        ("libcudnn.so.9", "13.0", "pip install nvidia-cudnn-cu13"),
        ("libcudart.so.12", "12.8", "pip install nvidia-cuda-runtime-cu12"),
        ("libcurand.so.10", "13.0", "pip install nvidia-curand"),
        ("libnvinfer.so.10", "13.0", "pip install tensorrt-cu13"),
        ("libfoo.so.1", "13.0", "install the package that brings libfoo.so.1, or put its folder "
                                "on LD_LIBRARY_PATH"),
    ],
)  # fmt: skip
def test_missing_library_is_named_with_its_package(library: str, cuda: str, remedy: str) -> None:
    found = _found(LOADER.format(library), cuda=cuda)
    assert found.reason.startswith(f"{library} is not on this machine")
    assert found.remedy == remedy


@pytest.mark.usefixtures("gpu")
def test_wrong_cuda_major_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "_installed", lambda package: package == "nvidia-cublas-cu12")
    assert _found(LOADER.format("libcublasLt.so.13")).reason == (
        "libcublasLt.so.13 is not on this machine (onnxruntime-gpu 1.31.1 is built for CUDA 13); "
        "the CUDA libraries that pip installed here are of version 12"
    )


@pytest.mark.usefixtures("gpu")
def test_old_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "driver_cuda_version", lambda: (12, 4))
    assert _found("").reason == (
        "the NVIDIA driver runs CUDA up to 12.4, and this onnxruntime is built for CUDA 13.0"
    )


def test_no_gpu_is_the_reason_whatever_the_loader_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "no_gpu_reason", lambda: "no NVIDIA driver")
    found = _found(LOADER.format("libcublasLt.so.13"))
    assert found.reason == "no NVIDIA driver"
    assert found.remedy.startswith("this machine has no NVIDIA GPU")


@pytest.mark.usefixtures("gpu")
def test_cuda_failure_is_quoted_without_folders() -> None:
    text = "[E:onnxruntime:, x.cc:1] /src/a/b.cc:12 CUDA failure 2: out of memory ; GPU=0 ;"
    assert _found(text).reason == "CUDA failure 2: out of memory"
    text = "[E:onnxruntime:, x.cc:1] /home/someone/x/y.cc:12 something else"
    assert _found(text).reason == "y.cc:12 something else"


def test_provider_that_is_not_in_the_build() -> None:
    found = diagnose(
        "openvino",
        "",
        in_build=False,
        package="onnxruntime-gpu",
        version="1.31.1",
        cuda_version="13.0",
    )
    assert found.reason == "onnxruntime-gpu 1.31.1 is built without it"
    assert "onnxruntime-openvino" in found.remedy
