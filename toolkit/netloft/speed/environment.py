"""What a measured time needs beside it; nothing here names the host, the user or a folder."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata

from netloft.runtime.devices import cpu_model, driver_version, gpu_names
from netloft.runtime.providers import process_cpus

__all__ = ["Environment", "describe_environment", "installed_version"]

_ONNXRUNTIME = ("onnxruntime-gpu", "onnxruntime", "onnxruntime-openvino", "onnxruntime-directml")

_OPENMP = (
    "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT", "KMP_AFFINITY", "KMP_BLOCKTIME", "KMP_HW_SUBSET",
    "KMP_LIBRARY", "MKL_DOMAIN_NUM_THREADS", "MKL_DYNAMIC", "MKL_NUM_THREADS", "OMP_DYNAMIC",
    "OMP_NUM_THREADS", "OMP_PLACES", "OMP_PROC_BIND", "OMP_SCHEDULE", "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS",
)  # fmt: skip
"""Variables that say how many threads there are, where they run and how they wait."""


@dataclass(frozen=True)
class Environment:
    """The machine and the versions, as found before the first sample.

    Attributes:
        cpu: Model name, and what it computes with.
        cpus: CPUs that this process may use.
        threads: That each contestant was given for one operation.
        openmp: What the environment tells the threads of PyTorch, OpenVINO and their libraries,
            such as `OMP_WAIT_POLICY`; nothing where they have their own way.
        spinning: Whether ONNX Runtime's idle threads wait in a loop within a run; between runs they
            sleep. What was tuned runs as it was tuned.
        tf32: Whether a GPU may round factors to TensorFloat-32, as is netloft's habit. What was
            tuned runs as it was tuned, and its row says `tf32`.
        huge_pages: Whether what all contestants have in memory was put on huge pages before the
            first sample. Of what was tuned so, that is so in any case.
        load_average: Of the last minute, before the first sample; None where the system has none.
        os: Name and release.
        python: Version.
        torch: Version; empty where it is not installed.
        onnxruntime: Package and version.
        onnx: Version; empty where it is not installed.
        gpu: Name of each GPU that this process may use.
        driver: Version of the NVIDIA driver; empty where there is none.
    """

    cpu: str
    cpus: int
    threads: int
    openmp: Mapping[str, str]
    spinning: bool
    tf32: bool
    huge_pages: bool
    load_average: float | None
    os: str
    python: str
    torch: str
    onnxruntime: str
    onnx: str
    gpu: tuple[str, ...]
    driver: str

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        return {**asdict(self), "gpu": list(self.gpu)}


def describe_environment(threads: int, *, huge_pages: bool = False) -> Environment:
    """Return this machine as it is now.

    Args:
        threads: That each contestant is given for one operation.
        huge_pages: Whether memory is put on huge pages.
    """
    return Environment(
        cpu=cpu_model(),
        cpus=process_cpus(),
        threads=threads,
        openmp={name: os.environ[name] for name in _OPENMP if name in os.environ},
        spinning=True,
        tf32=False,
        huge_pages=huge_pages,
        load_average=_load_average(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        torch=installed_version("torch"),
        onnxruntime=_onnxruntime(),
        onnx=installed_version("onnx"),
        gpu=gpu_names(),
        driver=driver_version(),
    )


def installed_version(package: str) -> str:
    """Return the version of an installed package without importing it; empty where it is absent."""
    module = sys.modules.get(package)
    if module is not None and isinstance(getattr(module, "__version__", None), str):
        return str(module.__version__)  # torch tells its CUDA build only here
    return _distribution_version(package)


def _distribution_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _onnxruntime() -> str:
    """Name the package too: the builds for CPU, CUDA and OpenVINO have one module's name."""
    found = [f"{name} {v}" for name in _ONNXRUNTIME if (v := _distribution_version(name))]
    return ", ".join(found)


def _load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
