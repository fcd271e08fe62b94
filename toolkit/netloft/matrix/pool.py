"""Cells in processes of this machine.

`ProcessPoolExecutor` gives up all that it was to do when one process dies, and does not tell whose
death it was. Here each process is a pool of its own: the cell that it ran is the one to begin
again, and the others go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from netloft.errors import MissingError
from netloft.matrix.cell import Cell, after_death, failed, run_cell
from netloft.matrix.result import CellResult
from netloft.matrix.worker import prepare

__all__ = ["default_jobs", "run_cells"]

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def default_jobs(cells: Sequence[Cell], cpus: int) -> int:
    """Return how many cells to run at once where nobody says: half of the cores, or what fits.

    A cell keeps several cores busy by itself for a part of its time, and neighbours are noise.
    """
    threads = max((cell.threads or 2 for cell in cells), default=2)
    return max(1, min(cpus // threads, len(cells)))


def run_cells(cells: Sequence[Cell], folder: Path, where: str) -> Generator[CellResult, None, None]:
    """Run cells in processes, and give each result when it is there.

    Args:
        cells: To run.
        folder: Of the matrix.
        where: How many at once; empty for `default_jobs`.

    Raises:
        MissingError: A process cannot be started.
    """
    from netloft.runtime.providers import process_cpus

    at_once = min(int(where), len(cells)) if where else default_jobs(cells, process_cpus())
    own = [cell.threads or max(1, process_cpus() // at_once) for cell in cells]
    waiting, running = list(reversed(cells)), dict[Future[CellResult], tuple[_Process, Cell]]()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(_Process(max(own))) for _ in range(at_once)]
        while waiting or running:
            while waiting and idle:
                process, cell = idle.pop(), waiting.pop()
                running[process.begin(cell, folder, at_once)] = process, cell
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                process, cell = running.pop(future)
                idle.append(process)
                result = _result(future, process, cell, folder, at_once)
                if result is None:
                    waiting.append(cell)
                else:
                    yield result


def _result(
    future: Future[CellResult], process: _Process, cell: Cell, folder: Path, at_once: int
) -> CellResult | None:
    """Return what came of a cell; None where its process died and it is to be begun again."""
    try:
        return future.result()
    except BrokenProcessPool:
        process.restart()
        return after_death(cell, folder, at_once)
    except Exception as error:  # noqa: BLE001 - the disk refused the result; the others go on
        return failed(cell, error, at_once)


class _Process:
    """One process that takes one cell after the other."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._future: Future[CellResult] | None = None

    def __enter__(self) -> _Process:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._future is not None and not self._future.done():
            with contextlib.suppress(OSError):  # it has just ended by itself
                os.kill(self._pid, _KILL)
        self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        # spawned, not forked: threads of ONNX Runtime and torch do not live through a fork
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), prepare, (self._threads,)
        )
        try:
            self._pid = self._pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            self._pool.shutdown()
            raise MissingError(
                "a process for the cells cannot be started here",
                remedy="free some memory, or give a smaller --jobs",
            ) from error

    def begin(self, cell: Cell, folder: Path, at_once: int) -> Future[CellResult]:
        """Begin a cell."""
        try:
            self._future = self._pool.submit(run_cell, cell, folder, at_once)
        except BrokenProcessPool:  # it was killed while it had nothing to do
            self.restart()
            self._future = self._pool.submit(run_cell, cell, folder, at_once)
        return self._future

    def restart(self) -> None:
        """Start another process in place of one that died."""
        self._pool.shutdown()
        self._start()
