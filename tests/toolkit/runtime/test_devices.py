"""What a driver may answer, on machines unlike this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloft.runtime import devices


class Driver:
    """Stands in for `libcuda.so.1`."""

    def __init__(self, status: int, count: int = 0, version: int = 0) -> None:
        self.status, self.count, self.version = status, count, version

    def cuInit(self, flags: int) -> int:  # noqa: N802 - NVIDIA's name
        return self.status

    def cuDeviceGetCount(self, out: object) -> int:  # noqa: N802
        out._obj.value = self.count  # type: ignore[attr-defined]
        return 0

    def cuDeviceGetName(self, text: object, size: int, index: int) -> int:  # noqa: N802
        text.value = f"GPU {index}".encode()  # type: ignore[attr-defined]
        return 0

    def cuDriverGetVersion(self, out: object) -> int:  # noqa: N802
        out._obj.value = self.version  # type: ignore[attr-defined]
        return 0


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    devices.no_gpu_reason.cache_clear()
    yield
    devices.no_gpu_reason.cache_clear()


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (None, f"no NVIDIA driver: {devices._DRIVER_NAME} is not on this machine"),
        (Driver(100), "the NVIDIA driver is present, but it shows no GPU "
                      "(is CUDA_VISIBLE_DEVICES empty?)"),
        (Driver(0, count=0), "the NVIDIA driver is present, but it shows no GPU "
                             "(is CUDA_VISIBLE_DEVICES empty?)"),
        (Driver(999), "the NVIDIA driver does not start (CUDA error 999)"),
        (Driver(0, count=1), ""),
    ],
)  # fmt: skip
def test_reason(driver: Driver | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_driver", lambda: driver)
    assert devices.no_gpu_reason() == reason
    assert devices.gpu_names() == (("GPU 0",) if not reason else ())


def test_version_of_cuda_that_the_driver_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_driver", lambda: Driver(0, version=12080))
    assert devices.driver_cuda_version() == (12, 8)
    monkeypatch.setattr(devices, "_driver", lambda: None)
    assert devices.driver_cuda_version() is None


@pytest.mark.parametrize(
    ("said", "model", "instructions"),
    [
        ("model name\t: A CPU\nvmx flags\t: avx9\nflags\t\t: fpu sse2 smep avx512f fma\n"
         "model name\t: Another\n", "A CPU (AVX-512)", "avx512f fma sse2"),
        ("model name\t: A CPU\nflags\t\t: sse2 avx2 fma\n", "A CPU (AVX2)", "avx2 fma sse2"),
        ("model name\t: A CPU\nflags\t\t: sse2\n", "A CPU", "sse2"),
        ("model name\t: A CPU\nflags\t\t: avx2 avx512f avx512_vnni avx512_bf16 amx_tile\n",
         "A CPU (AVX2, AVX-512, VNNI, bf16, AMX)", "amx_tile avx2 avx512_bf16 avx512_vnni avx512f"),
        ("model name\t: A CPU\nflags\t\t: avx2 avx_vnni\n", "A CPU (AVX2, VNNI)", "avx2 avx_vnni"),
        ("Features\t: asimd sve bf16\nModel\t: A board\n", "A board (bf16, SVE)", "asimd bf16 sve"),
        ("Features\t: fp asimd asimddp sve2 i8mm\nModel\t: A board\n", "A board (I8MM)",
         "asimd asimddp i8mm sve2"),
    ],
)  # fmt: skip
def test_what_the_system_says_of_a_cpu(
    said: str, model: str, instructions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(devices, "_INFO", tmp_path / "cpuinfo")
    assert (devices.cpu_model(), devices.cpu_instructions()) == (model, instructions)
    monkeypatch.setattr(devices, "_INFO", tmp_path / "nothing")
    assert devices.cpu_model()
    assert devices.cpu_instructions() == ""
