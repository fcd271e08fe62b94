"""What takes part: an engine with a network and inputs, ready to run."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.errors import InputError
from netloft.runtime.capture import captured_output
from netloft.runtime.huge_pages import HugePages, settled
from netloft.runtime.placed import placed_session
from netloft.runtime.providers import NotRun, start_session
from netloft.runtime.reasons import first_line
from netloft.speed.measure import Again

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = [
    "ONNXRUNTIME",
    "Arrays",
    "Contestant",
    "Loads",
    "ScratchFolder",
    "bound",
    "cpp_compiler",
    "on_gpu",
    "onnxruntime_contestant",
    "read_back",
    "run_of",
    "session_from",
    "start",
    "timed_options",
    "timed_session",
]

ONNXRUNTIME = "ONNX Runtime"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Loads:
    """What a contestant was started with, so that another process can do the same.

    Attributes:
        file: That stays where it is, or its bytes.
        options: Of `start_session`, or of OpenVINO's `compile_model`, ready for JSON.
        feeds: Inputs by the file's names.
        engine: `onnxruntime` or `openvino`.
        kept: What has the file there, where that is a folder that goes with it.
        huge_pages: Whether its memory goes onto huge pages.
    """

    file: Path | bytes
    options: Mapping[str, Any]
    feeds: Arrays = field(default_factory=dict)
    engine: str = "onnxruntime"
    kept: ScratchFolder | None = None
    huge_pages: bool = False


class ScratchFolder:
    """A folder that goes when nobody holds this any more.

    Attributes:
        path: Where it is.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="netloft-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Contestant:
    """One engine with one network, batch and number of threads.

    Attributes:
        engine: `PyTorch eager`, `torch.compile` or `ONNX Runtime`.
        provider: Where it runs, such as `cpu` or `cuda`.
        batch: Items in one run.
        threads: For one operation.
        run: Runs once, and returns when the result is there.
        target: What is measured, where several networks are.
        precision: What it computes in, once that was read back; before, empty.
        read_precision: Reads it back, which may take as long as to start it.
        own: Whether this process does the work, so that its CPU time tells how much it is.
        loads: How its session is started, where that is a file's.
        again: Starts the same once more, somewhere else in memory, and returns its run; None where
            that cannot be.
        compiles: Whether its first run compiles it, so that people ask what that takes.
        first_ms: That run in milliseconds, once it was made.
    """

    engine: str
    provider: str
    batch: int
    threads: int
    run: Callable[[], object]
    target: str = ""
    own: bool = True
    precision: str = ""
    read_precision: Callable[[], str] = str
    loads: Loads | None = None
    again: Again | None = None
    compiles: bool = False
    first_ms: float | None = None


def start(what: str, make: Callable[[], Contestant]) -> Contestant | NotRun:
    """Make a contestant and run it once; where it fails, that is a result and not the end.

    Args:
        what: Its name in the list of what did not run.
        make: Makes it.

    Raises:
        InputError: No inputs can be made for it; that is the caller's to mend.
    """
    try:
        with captured_output():  # compilers report on the terminal, and modules print
            contestant = make()
            begin = time.perf_counter()
            contestant.run()
            first_ms = round((time.perf_counter() - begin) * 1e3, 3)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - engines raise anything; the reason is reported
        return NotRun(what, f"{type(error).__name__}: {first_line(error)}")
    return dataclasses.replace(contestant, first_ms=first_ms) if contestant.compiles else contestant


def read_back(contestant: Contestant, what: str) -> tuple[Contestant, NotRun | None]:
    """Return a contestant with what it computes in; where that is not told, with the reason.

    Args:
        contestant: It was measured.
        what: Its name in the list of what did not run.
    """
    try:
        return dataclasses.replace(contestant, precision=contestant.read_precision()), None
    except Exception as error:  # noqa: BLE001 - what was measured is not lost for want of a word
        reason = f"{type(error).__name__}: {first_line(error)}"
        return contestant, NotRun(f"what {what} computes in", reason)


def on_gpu(provider: str) -> bool:
    """Tell whether a provider's inputs and outputs live on an NVIDIA GPU."""
    return provider in ("cuda", "tensorrt")


def timed_options(threads: int) -> dict[str, Any]:
    """Return the options of a session that is as fast as is its habit, and disturbs no other.

    Its idle threads wait in a loop within a run, and sleep between two: there they would take the
    processor from whoever runs next.
    """
    return {"threads": threads, "spinning": True, "resting": True}


def timed_session(
    model: Path | bytes,
    provider: str,
    threads: int,
    *,
    optimisation: str = "all",
    profile_to: Path | None = None,
) -> ort.InferenceSession:
    """Start a session with the options of `timed_options`.

    Args:
        model: An `.onnx` file, or its bytes.
        provider: Where it runs.
        threads: For one operation.
        optimisation: As of `start_session`.
        profile_to: The same.

    Raises:
        ProviderError: The provider does not start, or runs none of the file's operations.
    """
    how = {**timed_options(threads), "optimisation": optimisation, "profile_to": profile_to}
    return placed_session(model, provider, **how)


def session_from(loads: Loads, provider: str) -> ort.InferenceSession:
    """Start a session, with its memory on huge pages where that is wanted.

    Args:
        loads: How, and the inputs it runs with until its memory lies where it is to.
        provider: Where it runs.

    Raises:
        ProviderError: The provider does not start.
    """
    pages = HugePages(wanted=loads.huge_pages)
    with pages.watching():
        session = start_session(loads.file, provider, **loads.options)
    if loads.huge_pages:
        settled(pages, session, loads.feeds)
    return session


def onnxruntime_contestant(
    session: ort.InferenceSession,
    feeds: Arrays,
    *,
    provider: str,
    batch: int,
    threads: int,
    target: str = "",
    engine: str = ONNXRUNTIME,
) -> Contestant:
    """Return ONNX Runtime as a contestant; on a GPU its inputs and outputs stay there.

    Args:
        session: From `timed_session`.
        feeds: Inputs by the file's names.
        provider: The session's.
        batch: Items in the inputs.
        threads: The session's.
        target: What the file is, where several are measured.
        engine: Its name with what is unlike its usual self.
    """
    run = run_of(session, feeds, provider)
    return Contestant(engine, provider, batch, threads, run, target)


def run_of(session: ort.InferenceSession, feeds: Arrays, provider: str) -> Callable[[], object]:
    """Return a run as it is measured: on a GPU its inputs and outputs stay there.

    Args:
        session: What runs.
        feeds: Inputs by the file's names.
        provider: The session's.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in feeds.items()}
    if on_gpu(provider):
        return bound(session, arrays)
    names = [output.name for output in session.get_outputs()]
    return functools.partial(session.run, names, arrays)


def bound(
    session: ort.InferenceSession, feeds: Arrays, results: Arrays | None = None
) -> Callable[[], object]:
    """Return a run whose inputs and outputs stay on the GPU.

    Args:
        session: On an NVIDIA GPU.
        feeds: Inputs by the file's names.
        results: Arrays like the outputs, where these are to stay at one place; None lets ONNX
            Runtime place them anew.
    """
    import onnxruntime

    binding, put = session.io_binding(), onnxruntime.OrtValue.ortvalue_from_numpy
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, put(np.asarray(array, order="C"), "cuda", 0))
    for output in session.get_outputs():
        if results is None:
            binding.bind_output(output.name, "cuda")
        else:
            binding.bind_ortvalue_output(output.name, put(results[output.name], "cuda", 0))

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def cpp_compiler() -> str:
    """Return the C++ compiler that `torch.compile` would find; empty where there is none."""
    usual = ("cl", "g++", "clang++") if sys.platform == "win32" else ("g++", "clang++")
    names = [name for name in (os.environ.get("CXX", ""), *usual) if name]
    return next(filter(None, map(shutil.which, names)), "")
