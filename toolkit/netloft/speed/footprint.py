"""What it takes to load a file: time and memory, in a process of its own."""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from netloft.runtime.huge_pages import HugePages
from netloft.speed import fresh
from netloft.speed.contestants import Arrays, Loads
from netloft.speed.fresh import ask, on_disk, shapes_of
from netloft.speed.stats import median

__all__ = ["Footprint", "footprint"]

LOADS = 3
"""Sessions of which the median counts; the first one brings the file from the disk."""


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
        "huge_pages": loads.huge_pages,
        "inputs": shapes_of(loads.feeds),
    }
    with on_disk(loads.file) as path:
        each = [_answered({**asked, "path": str(path)}) for _ in range(processes)]
    return each[0] if processes == 1 else _of_several(each)


def _of_several(each: Sequence[Footprint]) -> Footprint:
    loads, memory = [one.load_ms for one in each], [one.memory_mb for one in each]
    return Footprint(
        round(median(loads), 3), min(loads), max(loads),
        round(median([one.first_ms for one in each]), 3),
        round(median(memory), 1), min(memory), max(memory),
    )  # fmt: skip


def _answered(asked: Mapping[str, Any]) -> Footprint:
    """Return what a fresh process found."""
    names = [field.name for field in fields(Footprint)]
    return Footprint(**ask(__name__, asked, names))


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
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
            first = time.perf_counter() - start
            if asked["huge_pages"]:
                run(feeds)  # after which it has what it moved
            memory = _memory("VmHWM") - before
        del run
    low, *middle, high = (round(load * 1e3, 3) for load in sorted(loads))
    load = middle[len(middle) // 2]
    found = Footprint(load, low, high, round(first * 1e3, 3), round(memory / 1e6, 1))
    return asdict(found)


def _starter(asked: Mapping[str, Any], feeds: Arrays) -> Callable[[], Callable[[Arrays], object]]:
    """Return what loads the file and gives what runs it."""
    path, options = Path(asked["path"]), asked["options"]
    if asked["engine"] == "openvino":
        from netloft.speed.engines.openvino import compiled, runner

        return lambda: runner(compiled(path, feeds, options))
    from netloft.runtime.providers import start_session

    def start() -> Callable[[Arrays], object]:
        pages = HugePages(wanted=asked["huge_pages"])
        with pages.watching():
            session = start_session(path, asked["provider"], **options)
        return functools.partial(_around, pages, functools.partial(session.run, None))

    return start


def _around(pages: HugePages, run: Callable[[Arrays], object], feeds: Arrays) -> None:
    with pages.around(feeds):
        run(feeds)


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
    """Answer one request, in a process that was started for it."""
    fresh.answer(_measured)
