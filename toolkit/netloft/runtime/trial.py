"""Try a file out in a process of its own, which may hang, burst or die without harm.

A file of 1.6 KB can ask ONNX Runtime for hours or for all memory, and no checker tells. The system
holds the process to its limits: `setrlimit(2)` for memory and processor time, and a clock here.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft import errors
from netloft.defaults import TRIAL_GIB, TRIAL_SECONDS
from netloft.errors import IntegrityError, MissingError, NetloftError
from netloft.runtime.scan import Scan

__all__ = ["DEFAULT_LIMITS", "GIB", "Child", "Limits", "Trial", "try_out"]

Arrays = Mapping[str, npt.NDArray[Any]]
GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What a file that is tried out may use.

    Attributes:
        memory: Bytes that the process may ask for beyond what it starts with and the file's own
            size, thrice; not held on a GPU, whose driver reserves far more than it uses.
        seconds: On the clock, from start to end; each processor may work as long.
    """

    memory: int = int(TRIAL_GIB * GIB)
    seconds: float = TRIAL_SECONDS


DEFAULT_LIMITS = Limits()

_SAID = "said"
"""File that gets what the process prints on standard error."""


@dataclass(frozen=True)
class Trial:
    """What a file did.

    Attributes:
        outputs: By name, of the inputs that it was given; empty where there were none.
        ran_on: Nodes that each provider ran, by ONNX Runtime's name of it; empty without inputs.
        elsewhere: Operators of the nodes that another provider than the one asked for ran.
        checked: Whether onnx.checker and strict shape inference passed the file; None where the
            onnx package is not installed.
        scan: What the file says of itself.
        declared: Names and types of `inputs` and `outputs`, in ONNX Runtime's words; empty where
            no session was started.
        memory_held: Whether the system held it to its memory.
    """

    outputs: Arrays = field(default_factory=dict)
    ran_on: Mapping[str, int] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    checked: bool | None = None
    scan: Scan = field(default_factory=Scan)
    declared: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    memory_held: bool = False


class Child:
    """A process that tries one file out; it starts at once, and waits until it is asked.

    Use it in a `with` block, whose end is the process's end.
    """

    def __init__(self) -> None:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="netloft-")
        except OSError as error:
            raise MissingError(
                f"there is no temporary folder to try a file out in: {error}",
                remedy="name one that can be written with TMPDIR",
            ) from error
        # -P: a folder that happens to be the current one must not lend its modules
        command = [sys.executable, "-P", "-m", "netloft.runtime.child"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "MALLOC_ARENA_MAX": "2",  # or each thread reserves 64 MiB, which counts as asked for
        }
        with (Path(self._folder.name) / _SAID).open("wb") as said:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=self._folder.name,
                env=environment,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def try_out(
        self,
        model: Path,
        provider: str,
        *,
        threads: int | None = None,
        feeds: Arrays | None = None,
        outputs: Mapping[str, Sequence[int]] = MappingProxyType({}),
        limits: Limits = DEFAULT_LIMITS,
        options: Mapping[str, Any] = MappingProxyType({}),
        start: bool = True,
    ) -> Trial:
        """Check a file, start it, and run it; see `try_out`."""
        asked = {
            "model": os.fspath(model.absolute()), "provider": provider, "threads": threads,
            "outputs": {name: list(shape) for name, shape in outputs.items()},
            "feeds": None if feeds is None else list(feeds),
            "limits": asdict(limits), "options": dict(options), "start": start,
        }  # fmt: skip
        written = io.BytesIO()
        written.write(json.dumps(asked).encode() + b"\n")
        for array in (feeds or {}).values():
            np.lib.format.write_array(written, np.asarray(array), allow_pickle=False)
        answer = self._answer(written.getvalue(), model.name, limits)
        try:
            return _read(answer)
        except NetloftError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(self._death(model.name, limits)) from error

    def _answer(self, asked: bytes, name: str, limits: Limits) -> bytes:
        try:
            return self._process.communicate(asked, timeout=limits.seconds)[0]
        except subprocess.TimeoutExpired as error:
            raise IntegrityError(
                f"{name} was stopped after {limits.seconds:g} seconds",
                remedy="allow more with --max-seconds if you know where it comes from",
            ) from error

    def _death(self, name: str, limits: Limits) -> str:
        """Say how the process ended that gave no answer, and what it said last."""
        code = self._process.wait()
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"{name} was stopped after {limits.seconds:g} seconds of every processor"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said = (Path(self._folder.name) / _SAID).read_text(encoding="utf-8", errors="replace")
        last = said.strip().rpartition("\n")[2][:200]
        return f"{name} ends the process that tries it out ({how})" + (f": {last}" if last else "")


def try_out(model: Path, provider: str, **how: Any) -> Trial:
    """Check a file, start it, and run it, in a process of its own.

    Args:
        model: An `.onnx` file.
        provider: What has to run it.
        how: `threads` for one operation; `feeds`, inputs to run it on, without which it is only
            started; `outputs`, the shapes of those that are wanted, by name; `limits` of what it
            may use; `options`, more of `start_session`; without `start`, it is read and checked,
            and no session is started.

    Raises:
        IntegrityError: It is not valid, does not run, or was stopped at its limits.
        ProviderError: The provider does not start here.
    """
    with Child() as child:
        return child.try_out(model, provider, **how)


def _read(answer: bytes) -> Trial:
    head, _, rest = answer.partition(b"\n")
    facts = json.loads(head)
    if "error" in facts:
        kind = getattr(errors, facts["error"], IntegrityError)
        raise kind(str(facts["problem"]), remedy=str(facts["remedy"]))
    stream = io.BytesIO(rest)
    arrays = {
        name: np.lib.format.read_array(stream, allow_pickle=False) for name in facts["outputs"]
    }
    return Trial(
        arrays,
        facts["ran_on"],
        tuple(facts["elsewhere"]),
        facts["checked"],
        Scan(**facts["scan"]),
        facts["declared"],
        facts["memory_held"],
    )
