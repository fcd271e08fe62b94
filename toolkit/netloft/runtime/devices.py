"""The CPU, and NVIDIA GPUs as the driver sees them, asked without CUDA's own libraries."""

from __future__ import annotations

import ctypes
import functools
import platform
import re
import sys
from pathlib import Path

__all__ = [
    "cpu_instructions",
    "cpu_model",
    "driver_cuda_version",
    "driver_version",
    "gpu_names",
    "no_gpu_reason",
]

_INFO = Path("/proc/cpuinfo")
_SET = re.compile(r"(s?sse|avx|fma|amx|asimd|sve|sme(?!p)|i8mm|bf16)\w*|f16c|fphp")
"""Names of instructions on many numbers at once, on x86 and on Arm."""

_GENERATIONS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "bf16": {"avx512_bf16", "bf16"},
    "AMX": {"amx_tile"},
    "SVE": {"sve"},
    "I8MM": {"i8mm"},
}
"""What tells processors of one name apart, by one of the instructions that it brings."""

# Source: cuda.h, enum cudaError_enum.
_REASONS = {
    3: "the NVIDIA driver is shutting down",
    34: "libcuda.so.1 is a stub without a driver behind it",
    100: "the NVIDIA driver is present, but it shows no GPU (is CUDA_VISIBLE_DEVICES empty?)",
    101: "the NVIDIA driver refuses the device that CUDA_VISIBLE_DEVICES names",
    802: "the GPU's system software is not ready",
    803: "the NVIDIA driver and its user library are of different versions",
    804: "the NVIDIA driver's compatibility library does not support this GPU",
}


def cpu_model() -> str:
    """Return the CPU's model name and what it computes with, such as `AMD EPYC (AVX2)`.

    Virtual machines have one name for processors of several generations, of which one is twice as
    fast as another; what was measured on one says nothing of the other.
    """
    name = _said(("model name", "Model")) or platform.processor() or platform.machine()
    known = set(cpu_instructions().split())
    sets = [told for told, words in _GENERATIONS.items() if words & known]
    return f"{name} ({', '.join(sets)})" if sets else name


def cpu_instructions() -> str:
    """Return the CPU's sets of instructions for many numbers at once; empty where nothing says.

    CPUs of one model may differ: a virtual machine's host can hide some. ONNX Runtime keeps weights
    in an order that depends on them.
    """
    words = set(_said(("flags", "Features")).split())
    return " ".join(sorted(word for word in words if _SET.fullmatch(word)))


def _said(keys: tuple[str, ...]) -> str:
    """Return what the system says of the first CPU; empty where it does not."""
    if _INFO.exists():
        with _INFO.open(encoding="utf-8", errors="replace") as lines:  # a hundred CPUs take long
            for line in lines:
                if line.startswith(keys):
                    return line.partition(":")[2].strip()
    return ""


@functools.cache
def no_gpu_reason() -> str:
    """Return why no NVIDIA GPU can be used here; empty where one can."""
    driver = _driver()
    if driver is None:
        return f"no NVIDIA driver: {_DRIVER_NAME} is not on this machine"
    status = int(driver.cuInit(0))
    if status:
        return _REASONS.get(status, f"the NVIDIA driver does not start (CUDA error {status})")
    count = ctypes.c_int(0)
    status = int(driver.cuDeviceGetCount(ctypes.byref(count)))
    if status or not count.value:
        return _REASONS[100]
    return ""


def gpu_names() -> tuple[str, ...]:
    """Return the names of the GPUs this process may use."""
    driver = _driver()
    if driver is None or no_gpu_reason():
        return ()
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    names = []
    for index in range(count.value):
        text = ctypes.create_string_buffer(128)
        if driver.cuDeviceGetName(text, len(text), index) == 0:
            names.append(text.value.decode(errors="replace"))
    return tuple(names)


def driver_cuda_version() -> tuple[int, int] | None:
    """Return the newest CUDA version that the driver can run, such as (13, 0)."""
    driver = _driver()
    version = ctypes.c_int(0)
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) or not version.value:
        return None
    return version.value // 1000, version.value % 1000 // 10


def driver_version() -> str:
    """Return the version of the NVIDIA driver, such as `580.65.06`; empty where there is none."""
    management = _library("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    if management is None or management.nvmlInit_v2():
        return ""
    text = ctypes.create_string_buffer(80)
    status = management.nvmlSystemGetDriverVersion(text, len(text))
    management.nvmlShutdown()
    return "" if status else text.value.decode(errors="replace")


_DRIVER_NAME = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def _driver() -> ctypes.CDLL | None:
    return _library(_DRIVER_NAME)


def _library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:  # absent is an answer here, and `no_gpu_reason` says it
        return None
