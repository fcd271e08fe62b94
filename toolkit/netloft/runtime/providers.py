"""Start ONNX Runtime on the provider that was asked for, or say why it does not start.

ONNX Runtime itself goes on with the CPU where a provider fails, and says so in a log line. Here the
provider that was asked for runs, or `ProviderError` gives the loader's own reason and the remedy.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netloft.errors import ProviderError, UsageError
from netloft.runtime.capture import captured_output
from netloft.runtime.devices import no_gpu_reason
from netloft.runtime.quota import cores, cpu_quota
from netloft.runtime.reasons import NVIDIA, Diagnosis, diagnose, first_line, without_gpu

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = [
    "PROVIDERS",
    "NotRun",
    "ProbeResult",
    "available",
    "default_options",
    "probe",
    "process_cpus",
    "start_session",
    "usual_threads",
]

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Our names, and ONNX Runtime's."""

OPTIMISATIONS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

# y = Conv(x, w) with w = 2, all of shape (1, 1, 1, 1), opset 13, IR 7: `onnx.helper.make_model`,
# serialised. A convolution, because it is what loads cuDNN; a test builds it again and compares.
TINY_MODEL = bytes.fromhex(
    "08073a630a0f0a01780a01771201792204436f6e761201672a13080108010801080110014201774a04000000405a"
    "1b0a017812160a14080112100a0208010a0208010a0208010a020801621b0a017912160a14080112100a0208010a"
    "0208010a0208010a02080142040a00100d"
)

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_BESIDE = "session.optimized_model_external_initializers_"
_RECORD = "session.record_ep_graph_assignment_info"

_log = logging.getLogger(__name__)


class NotRun(NamedTuple):
    """Something that was asked for or is usual, and did not run."""

    what: str
    reason: str


@dataclass(frozen=True)
class ProbeResult:
    """Whether a provider starts on this machine.

    Attributes:
        name: Such as `cuda`.
        starts: A small model ran on it and gave the right result.
        reason: Why it does not start; empty where it does.
        remedy: What to install or to change; empty where it starts.
    """

    name: str
    starts: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class _Attempt:
    session: ort.InferenceSession | None
    said: str
    error: Exception | None


def process_cpus() -> int:
    """Return how many CPUs this process may use, as a container's quota leaves them."""
    known = hasattr(os, "sched_getaffinity")
    own = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    quota = cpu_quota()
    return own if quota is None else max(1, min(own, math.ceil(quota)))


def usual_threads() -> int | None:
    """Return how many threads run an operation where nobody says; None for ONNX Runtime's choice.

    It takes every core of the machine and binds a thread to each, also where this process may use
    some CPUs alone: then two threads wait on one CPU, for each other.
    """
    own = process_cpus()
    return min(own, cores()) if own < (os.cpu_count() or 1) else None


def start_session(
    model: bytes | Path | str,
    provider: str = "cpu",
    *,
    threads: int | None = None,
    spinning: bool = True,
    resting: bool = False,
    optimisation: str = "all",
    arena: bool = True,
    use_tf32: bool = False,
    provider_options: Mapping[str, str] | None = None,
    weights_in: Path | None = None,
    profile_to: Path | None = None,
    save_to: Path | None = None,
    weights_beside: bool = False,
) -> ort.InferenceSession:
    """Start a session in which the provider asked for runs.

    Args:
        model: An `.onnx` file, or its bytes.
        provider: `cpu`, `cuda`, `tensorrt` or `openvino`.
        threads: For one operation; None for `usual_threads`.
        spinning: Let idle threads wait in a loop, which is faster alone and slows down neighbours.
        resting: Let them wait so within a run only, and sleep between two.
        optimisation: `none`, `basic`, `extended` or `all`.
        arena: Keep memory between runs, to be used again; without it the system is asked each time.
        use_tf32: Let CUDA round factors to TensorFloat-32: faster, and off by a thousandth.
        provider_options: More options in the provider's own words.
        weights_in: Folder of the weights that a model given as bytes has outside.
        profile_to: Begin of the name of a file that gets the time of each node; None for none.
        save_to: File that gets the optimised model; it is for this kind of machine only.
        weights_beside: Put its weights of a kibibyte and more into a file beside it, whose name has
            `.data` at the end: there a session maps them into memory, and reads none.

    Raises:
        ProviderError: The provider does not start here; nothing else runs in its place.
        UsageError: There is no such model, or ONNX Runtime cannot load it.
    """
    _check_name(provider)
    source = _source(model)
    options = _session_options(threads, spinning, optimisation)
    options.enable_cpu_mem_arena = arena
    if resting:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if weights_in is not None:
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(weights_in))
    if profile_to is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile_to)
    if save_to is not None:
        _save(options, save_to, weights_beside=weights_beside)
    if provider != "cpu":  # for `check_taken`
        options.add_session_config_entry(_RECORD, "1")
    usual = default_options(provider, use_tf32=use_tf32, threads=threads)
    own = {**usual, **(provider_options or {})}
    attempt = _attempt(source, options, provider, own)
    if attempt.session is not None:
        return attempt.session
    if attempt.error is not None and (provider == "cpu" or probe(provider).starts):
        raise UsageError(
            f"ONNX Runtime cannot load {_describe(model)} on {provider}: "
            f"{first_line(attempt.error)}",
            remedy="check the file with onnx.checker.check_model, or try another provider",
        ) from attempt.error
    found = _diagnose(provider, attempt)
    raise ProviderError(
        f"provider '{provider}' does not start: {found.reason}", remedy=found.remedy
    ) from attempt.error


@functools.cache
def probe(provider: str) -> ProbeResult:
    """Run a model of one operation on a provider; the answer is kept for this process.

    Raises:
        UsageError: There is no provider of this name.
    """
    _check_name(provider)
    if provider in NVIDIA and no_gpu_reason():  # CUDA's libraries would take their time to fail
        found = without_gpu()
        return ProbeResult(provider, False, found.reason, found.remedy)
    options = _session_options(1, True, "all")
    attempt = _attempt(TINY_MODEL, options, provider, default_options(provider, threads=1))
    if attempt.session is not None:
        attempt = _run_tiny(attempt.session)
    if attempt.session is not None:
        return ProbeResult(provider, True)
    found = _diagnose(provider, attempt)
    return ProbeResult(provider, False, found.reason, found.remedy)


def available(requested: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[NotRun, ...]]:
    """Return the providers to run, and what is usual and cannot run here.

    Args:
        requested: Providers that were asked for; with none, the CPU, and CUDA where it starts.

    Raises:
        ProviderError: One that was asked for does not start.
    """
    for name in dict.fromkeys(requested):
        result = probe(name)
        if not result.starts:
            raise ProviderError(
                f"provider '{name}' does not start: {result.reason}", remedy=result.remedy
            )
    if requested:
        return tuple(dict.fromkeys(requested)), ()
    cuda = probe("cuda")
    if cuda.starts:
        return ("cpu", "cuda"), ()
    return ("cpu",), (NotRun("provider cuda", cuda.reason),)


def _check_name(provider: str) -> None:
    if provider not in PROVIDERS:
        raise UsageError(
            f"there is no provider '{provider}'", remedy=f"use one of {', '.join(PROVIDERS)}"
        )


def _source(model: bytes | Path | str) -> bytes | str:
    if isinstance(model, bytes):
        return model
    if not Path(model).is_file():
        raise UsageError(f"there is no file {model}", remedy="name an .onnx file")
    return str(model)


def _describe(model: bytes | Path | str) -> str:
    return "the model" if isinstance(model, bytes) else Path(model).name


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            f"onnxruntime cannot be imported: {error}",
            remedy="pip install onnxruntime, or onnxruntime-gpu for CUDA",
        ) from error
    return onnxruntime


def _session_options(threads: int | None, spinning: bool, optimisation: str) -> ort.SessionOptions:
    runtime = _runtime()
    if optimisation not in OPTIMISATIONS:
        raise UsageError(
            f"there is no optimisation level '{optimisation}'",
            remedy=f"use one of {', '.join(OPTIMISATIONS)}",
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or usual_threads() or 0
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    level = OPTIMISATIONS[optimisation]
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return options


def _save(options: ort.SessionOptions, path: Path, *, weights_beside: bool) -> None:
    options.optimized_model_filepath = str(path)
    if weights_beside:
        name, least = f"{_BESIDE}file_name", f"{_BESIDE}min_size_in_bytes"
        options.add_session_config_entry(name, f"{path.name}.data")
        options.add_session_config_entry(least, "1024")


def default_options(
    provider: str, *, use_tf32: bool = False, threads: int | None = None
) -> dict[str, str]:
    """Return the options that a provider is started with, in its own words.

    Args:
        provider: Its name.
        use_tf32: Let CUDA round factors to TensorFloat-32. TensorRT has no such option, and rounds.
        threads: For one operation; None for `usual_threads`.
    """
    if provider == "cuda":
        return {"use_tf32": str(int(use_tf32))}
    if provider == "openvino":
        # on CPUs that have bfloat16 its default rounds to it, unasked; and it has threads of its
        # own, eight where nobody says
        number = str(threads or usual_threads() or cores())
        return {"device_type": "CPU", "precision": "FP32", "num_of_threads": number}
    return {}


def _attempt(
    source: bytes | str, options: ort.SessionOptions, provider: str, own: Mapping[str, str]
) -> _Attempt:
    """Create a session; its absence, with what was printed, is the answer where it falls back."""
    runtime, wanted = _runtime(), PROVIDERS[provider]
    if wanted not in runtime.get_available_providers():
        return _Attempt(None, "", None)
    session, failure = None, None
    with captured_output() as captured, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if provider in NVIDIA:
            _preload()
        try:
            session = runtime.InferenceSession(
                source, options, providers=_chain(provider, own), enable_fallback=0
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has a dozen unrelated kinds
            failure = error
    _log.debug("starting %s: %s", provider, captured.text)
    if session is not None and session.get_providers()[0] != wanted:
        session = None
    return _Attempt(session, captured.text, failure)


def _chain(provider: str, own: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the provider, and behind TensorRT CUDA, which takes the operations it lacks."""
    chain = [(PROVIDERS[provider], dict(own))]
    if provider == "tensorrt":
        chain.append((PROVIDERS["cuda"], default_options("cuda")))
    return chain


@functools.cache
def _preload() -> None:
    # Loads the CUDA libraries that pip installed; ONNX Runtime 1.21 brought it. What is missing it
    # prints, and the loader names it again when the provider starts.
    load = getattr(_runtime(), "preload_dlls", None)
    if load is not None:
        load()


def _run_tiny(session: ort.InferenceSession) -> _Attempt:
    x = np.full((1, 1, 1, 1), 3.0, np.float32)
    with captured_output() as captured:
        try:
            (y,) = session.run(None, {"x": x})
        except Exception as error:  # noqa: BLE001 - as above
            return _Attempt(None, captured.text, error)
    if float(y.item()) != 6.0:
        wrong = ArithmeticError(f"2 x 3 gave {float(y.item())}")
        return _Attempt(None, captured.text, wrong)
    return _Attempt(session, captured.text, None)


def _diagnose(provider: str, attempt: _Attempt) -> Diagnosis:
    runtime = _runtime()
    text = "\n".join([attempt.said, str(attempt.error or "")])
    return diagnose(
        provider,
        text,
        in_build=PROVIDERS[provider] in runtime.get_available_providers(),
        package=str(getattr(runtime, "package_name", "onnxruntime")),
        version=str(runtime.__version__),
        cuda_version=str(getattr(runtime, "cuda_version", "") or ""),
    )
