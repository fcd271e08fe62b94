"""Turn what a provider's loader printed into a reason and a remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netloft.errors import NetloftError
from netloft.runtime.devices import driver_cuda_version, no_gpu_reason

__all__ = [
    "NVIDIA",
    "Diagnosis",
    "diagnose",
    "first_line",
    "reason_of",
    "with_extra",
    "without_gpu",
]

NVIDIA = ("cuda", "tensorrt")
"""Providers that need an NVIDIA GPU and its driver."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PATH = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?(?:[/\\][\w.+-]+)+[/\\](?=[\w.+-]+)")
_MISSING = re.compile(r"([\w.+-]+\.so(?:\.\d+)*): cannot open shared object file")
_MISSING_DLL = re.compile(r'depends on "([\w.+-]+\.dll)" which is missing')
_FAILURE = re.compile(r"((?:CUDA|CUDNN|CUBLAS) failure \w+: [^;\n]+)")
_LOADER = re.compile(r"with error: ([^\n]+)")
_ERROR_LINE = re.compile(r"\[E:onnxruntime[^\]]*\]\s*([^\n]+)")

# Library to pip package; from CUDA 13 on, the packages of the toolkit have no suffix.
_TOOLKIT = {
    "libcublasLt": "nvidia-cublas",
    "libcublas": "nvidia-cublas",
    "libcudart": "nvidia-cuda-runtime",
    "libcufft": "nvidia-cufft",
    "libcurand": "nvidia-curand",
    "libnvJitLink": "nvidia-nvjitlink",
    "libnvrtc": "nvidia-cuda-nvrtc",
}
_SUFFIXED = {"libcudnn": "nvidia-cudnn", "libnvinfer": "tensorrt", "libnvonnxparser": "tensorrt"}


@dataclass(frozen=True)
class Diagnosis:
    """Why a provider does not start, and what to do about it."""

    reason: str
    remedy: str


def first_line(error: Exception) -> str:
    """Return the first line of an error that says something, without this machine's folders."""
    lines = [line for line in str(error).splitlines() if not line.rstrip().endswith(":")]
    return _clean("\n".join(lines)) or type(error).__name__


def reason_of(error: NetloftError | MemoryError) -> str:
    """Return what a failure says of itself, for a list of what did not run."""
    return error.problem if isinstance(error, NetloftError) else first_line(error)


def diagnose(
    provider: str,
    text: str,
    *,
    in_build: bool,
    package: str,
    version: str,
    cuda_version: str,
) -> Diagnosis:
    """Find the reason in what was printed and in what the machine is.

    Args:
        provider: Our name of it.
        text: All that ONNX Runtime printed and raised.
        in_build: The installed ONNX Runtime was built with this provider.
        package: Name of the installed package, such as `onnxruntime-gpu`.
        version: Of that package.
        cuda_version: The CUDA version it was built for; empty where it was not.
    """
    if not in_build:
        return _not_in_build(provider, f"{package} {version}")
    if provider in NVIDIA and no_gpu_reason():
        return without_gpu()
    too_old = _old_driver(cuda_version) if provider in NVIDIA else ""
    if too_old:
        return Diagnosis(too_old, "update the NVIDIA driver, or install the build for its version")
    library = _missing_library(text)
    if library:
        return _missing(library, f"{package} {version}", cuda_version)
    if "Please install TensorRT libraries" in text:
        remedy = f"pip install tensorrt-cu{_major(cuda_version)}"
        return Diagnosis("the TensorRT libraries are not on this machine", remedy)
    reason = _loader_reason(text) or "ONNX Runtime went on without it and gave no reason"
    return Diagnosis(reason, "run with --provider cpu, or mend what the reason names")


_DEVICE_REMEDY = (
    "this machine has no NVIDIA GPU that can be used: run with --provider cpu, or install the "
    "NVIDIA driver where there is a GPU"
)


def without_gpu() -> Diagnosis:
    """Return why nothing of NVIDIA's starts on a machine that has no GPU of theirs to use."""
    return Diagnosis(no_gpu_reason(), _DEVICE_REMEDY)


def _not_in_build(provider: str, package: str) -> Diagnosis:
    wheel = "onnxruntime-openvino" if provider == "openvino" else "onnxruntime-gpu"
    return Diagnosis(
        f"{package} is built without it",
        f"pip install {wheel}, in an environment without another onnxruntime package",
    )


def _missing_library(text: str) -> str:
    found = _MISSING.search(text) or _MISSING_DLL.search(text)
    return found[1] if found else ""


def _missing(library: str, package: str, cuda_version: str) -> Diagnosis:
    reason = f"{library} is not on this machine"
    if cuda_version:
        reason += f" ({package} is built for CUDA {_major(cuda_version)})"
    other = _other_major(cuda_version)
    if other:
        reason += f"; the CUDA libraries that pip installed here are of version {other}"
    return Diagnosis(reason, _package_remedy(library, cuda_version))


def _package_remedy(library: str, cuda_version: str) -> str:
    stem = re.split(r"\.so|\.dll", library)[0]
    stem = re.sub(r"(64)?_\d+$", "", stem)
    stem = stem if stem.startswith("lib") else f"lib{stem}"
    major = _major(cuda_version) or "13"
    if stem in _TOOLKIT:
        return f"pip install {_TOOLKIT[stem]}" + ("" if int(major) >= 13 else f"-cu{major}")
    for prefix, name in _SUFFIXED.items():
        if stem.startswith(prefix):
            return f"pip install {name}-cu{major}"
    return f"install the package that brings {library}, or put its folder on LD_LIBRARY_PATH"


def _old_driver(cuda_version: str) -> str:
    driver, major = driver_cuda_version(), _major(cuda_version)
    if driver is None or not major or driver[0] >= int(major):
        return ""
    return (
        f"the NVIDIA driver runs CUDA up to {driver[0]}.{driver[1]}, and this onnxruntime is built "
        f"for CUDA {cuda_version}"
    )


def _other_major(cuda_version: str) -> str:
    """Return another major version of CUDA that pip installed, where the right one is absent."""
    major = _major(cuda_version)
    if not major or _installed("nvidia-cublas" + ("" if int(major) >= 13 else f"-cu{major}")):
        return ""
    others = [m for m in ("11", "12") if m != major and _installed(f"nvidia-cublas-cu{m}")]
    if int(major) < 13 and _installed("nvidia-cublas"):
        others.append("13")
    return " and ".join(others)


def with_extra(name: str) -> str:
    """Return the command that brings an extra, for whichever distribution of netloft is here."""
    own = "netloft-runtime" if _installed("netloft-runtime") else "netloft"
    return f"pip install '{own}[{name}]'"


def _installed(package: str) -> bool:
    from importlib import metadata  # slow to load, and needed where something is missing

    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _major(cuda_version: str) -> str:
    return cuda_version.partition(".")[0]


def _loader_reason(text: str) -> str:
    library = _missing_library(text)
    if library:
        return f"{library} is missing"
    for pattern in (_FAILURE, _LOADER, _ERROR_LINE):
        found = pattern.search(text)
        if found:
            return _clean(found[1])
    lines = [line for line in text.splitlines() if line.strip(" *\t")]
    return _clean(lines[-1]) if lines else ""


def _clean(text: str) -> str:
    """Return the first line with something on it, without colours and without folders."""
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return _PATH.sub("", lines[0]) if lines else ""
