"""What it takes to load a file: time and memory, in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netloft.errors import CheckError
from netloft.runtime.reasons import first_line
from netloft.speed.contestants import Arrays, Loads
from netloft.speed.stats import median

__all__ = ["Footprint", "footprint"]

LOADS = 3
"""Sessions of which the median counts; the first one brings the file from the disk."""

LIMIT_S = 300


@dataclass(frozen=True)
class Footprint:
    """What loading a file and running it once took.

    Of several processes the median counts, and the ends are the least and the most: of
    `fewest_for(50)` they are those of an interval of 99 %.

    Attributes:
        load_ms: To start a session, or to compile a network, in milliseconds; the median of three.
        load_low: The shortest of them.
        load_high: The longest.
        first_ms: First run of the first session, in milliseconds.
        memory_mb: Most memory of the process then, less what it had when the engine was imported,
            in 10^6 bytes.
        memory_low: The least of several processes; None of one.
        memory_high: The most.
    """

    load_ms: float
    load_low: float
    load_high: float
    first_ms: float
    memory_mb: float
    memory_low: float | None = None
    memory_high: float | None = None


def footprint(loads: Loads, provider: str, processes: int = 1) -> Footprint:
    """Load a file and run it once in a fresh process.

    Args:
        loads: The file, and how it is started.
        provider: That starts here.
        processes: How many of them, one after the other.

    Raises:
        CheckError: A process came to an end without an answer, or there is no room for the file.
    """
    asked = {
        "engine": loads.engine,
        "provider": provider,
        "options": dict(loads.options),
        "inputs": {name: (list(a.shape), a.dtype.name) for name, a in loads.feeds.items()},
    }
    with _on_disk(loads.file) as path:
        each = [_answered({**asked, "path": str(path)}) for _ in range(processes)]
    return each[0] if processes == 1 else _of_several(each)


@contextlib.contextmanager
def _on_disk(file: Path | bytes) -> Iterator[Path]:
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        path = Path(folder, "model.onnx")
        try:
            path.write_bytes(file)
        except OSError as error:
            raise CheckError(f"the file cannot be written: {error}") from error
        yield path


def _of_several(each: Sequence[Footprint]) -> Footprint:
    loads, memory = [one.load_ms for one in each], [one.memory_mb for one in each]
    return Footprint(
        round(median(loads), 3), min(loads), max(loads),
        round(median([one.first_ms for one in each]), 3),
        round(median(memory), 1), min(memory), max(memory),
    )  # fmt: skip


def _answered(asked: Mapping[str, Any]) -> Footprint:
    """Return what a fresh process found."""
    # -P: what lies in the working folder is not imported
    code = "from netloft.speed.footprint import answer; answer()"
    command = [sys.executable, "-P", "-c", code]
    try:
        ended = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=LIMIT_S,
            check=False, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"loading took more than {LIMIT_S} s in a process of its own") from error
    if ended.returncode:
        raise CheckError(
            f"the file does not run in a process of its own: it ended with code {ended.returncode}"
        )
    try:
        found = json.loads(ended.stdout.splitlines()[-1])
        if "error" not in found:
            return Footprint(**found)
    except (LookupError, ValueError, TypeError) as error:
        raise CheckError("the process that loads the file gave no answer") from error
    raise CheckError(f"the file does not run in a process of its own: {found['error']}")


def _measured(asked: Mapping[str, Any]) -> Footprint:
    """Do it, in the process that was started for it."""
    importlib.import_module(asked["engine"])  # what it takes by itself is not the file's
    feeds = {name: np.ones(shape, kind) for name, (shape, kind) in asked["inputs"].items()}
    start_one = _starter(asked, feeds)
    before, loads, first = _memory("VmRSS"), list[float](), 0.0
    for number in range(LOADS):
        start = time.perf_counter()
        run = start_one()
        loads.append(time.perf_counter() - start)
        if number == 0:
            start = time.perf_counter()
            run(feeds)
            first, memory = time.perf_counter() - start, _memory("VmHWM") - before
        del run
    low, *middle, high = (round(load * 1e3, 3) for load in sorted(loads))
    load = middle[len(middle) // 2]
    return Footprint(load, low, high, round(first * 1e3, 3), round(memory / 1e6, 1))


def _starter(asked: Mapping[str, Any], feeds: Arrays) -> Callable[[], Callable[[Arrays], object]]:
    """Return what loads the file and gives what runs it."""
    path, options = Path(asked["path"]), asked["options"]
    if asked["engine"] == "openvino":
        from netloft.speed.engines.openvino import compiled, runner

        return lambda: runner(compiled(path, feeds, options))
    from netloft.runtime.providers import start_session

    def start() -> Callable[[Arrays], object]:
        session = start_session(path, asked["provider"], **options)
        return functools.partial(session.run, None)

    return start


def _memory(key: str) -> int:
    """Return the bytes of memory that this process has (`VmRSS`), or had at most (`VmHWM`)."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: what the system calls `maxrss` is the parent's at first
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
    import resource  # not on Windows; elsewhere only the most is known

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def answer() -> None:
    """Read what is asked from standard input and write what was found."""
    try:
        found: dict[str, object] = asdict(_measured(json.load(sys.stdin)))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has a dozen unrelated kinds
        found = {"error": first_line(error)}
    sys.stdout.write(json.dumps(found) + "\n")
