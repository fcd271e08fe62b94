"""Cells on the workers of a Dask cluster, whose scheduler knows who can do what and who died."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft import __version__
from netloft.errors import MissingError, UsageError
from netloft.matrix.cell import Cell, after_death, failed, run_cell
from netloft.matrix.result import ATTEMPTS, LOCK, CellResult
from netloft.matrix.worker import BLAS_THREADS

if TYPE_CHECKING:
    from distributed import Client, Future, as_completed

__all__ = ["check_cluster", "run_cells"]

_LOCAL = re.compile(r"local:([1-9][0-9]{0,2})")
_REMOTE = re.compile(r"tcp://[^\s/:]+:[0-9]{1,5}|tcp://\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
_PATIENCE_S = 10
_PAUSE_S = 0.05
_LOOK_S = 5
"""How often the cluster is asked who still lives."""

_STRANDED_S = 30
"""How long a cell waits for a worker that can take it: one that died may be started again."""

_Seen = tuple[str, bool]
"""A worker's version of netloft, and whether it sees the folder that is locked here."""

_ALIKE = (
    f"install netloft {__version__} on all machines, and name a folder with -o that they share "
    "under one path"
)


def check_cluster(address: str) -> None:
    """Refuse an address that is none, and say where Dask is missing, before any work.

    Raises:
        UsageError: It is neither `tcp://HOST:PORT` nor `local:N`.
        MissingError: dask.distributed is not installed.
    """
    if not (_LOCAL.fullmatch(address) or _REMOTE.fullmatch(address)):
        raise UsageError(
            f"--cluster {address!r} is neither tcp://HOST:PORT nor local:N",
            remedy="give a Dask scheduler's address, or local:4 for four workers here",
        )
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"--cluster needs dask.distributed: {error}", remedy="pip install 'netloft[cluster]'"
        ) from error


def run_cells(cells: Sequence[Cell], folder: Path, where: str) -> Generator[CellResult, None, None]:
    """Run cells on a cluster, and give each result when it is there.

    Args:
        cells: To run.
        folder: Of the matrix, locked; every worker has to see it under the same path.
        where: `tcp://HOST:PORT` of a Dask scheduler, or `local:N` for workers on this machine.

    Raises:
        UsageError: A worker has another version of netloft, or does not see the folder.
        MissingError: There is no scheduler, or it has no workers.
    """
    with _connected(where, cells) as client:
        workers = _workers(client)
        _check_workers(client, folder)
        at_once = max(Counter(worker["host"] for worker in workers).values())
        job = _Job(client, folder, at_once, [worker["resources"] for worker in workers])
        yield from job.run(cells)


class _Job:
    """Cells that a cluster is at work on."""

    def __init__(
        self, client: Client, folder: Path, at_once: int, declared: Sequence[dict[str, float]]
    ) -> None:
        self._client, self._folder, self._at_once = client, folder, at_once
        self._declared = declared
        # of the beginning: what was asked for then is asked for still when who had it is gone
        self._known = {name for has in declared for name in has}
        self._tries = Counter[str]()
        self._cells: dict[Future, Cell] = {}
        self._stranded = dict[str, float]()

    def run(self, cells: Sequence[Cell]) -> Generator[CellResult, None, None]:
        """Give the results as they come, of cells that no worker can take first."""
        from distributed import as_completed

        refused = {cell.id: reason for cell in cells if (reason := self._lacks(cell))}
        for cell in cells:
            if cell.id in refused:
                yield failed(cell, refused[cell.id], self._at_once)
        running = as_completed([self._submit(cell) for cell in cells if cell.id not in refused])
        look = time.monotonic() + _LOOK_S
        while self._cells:
            if time.monotonic() >= look:
                yield from self._given_up()
                look = time.monotonic() + _LOOK_S
            future = _next(running)
            ended = self._cells.pop(future, None)
            if future is None or ended is None:  # nothing came, or what was given up
                continue
            result = self._result(future, ended, most=ATTEMPTS * len(cells))
            if result is None:
                running.add(self._submit(ended))
            else:
                yield result

    def _given_up(self) -> Generator[CellResult, None, None]:
        """Give up the cells that no living worker has been able to take for long."""
        try:
            self._declared = [worker["resources"] for worker in _workers(self._client)]
        except Exception:  # noqa: BLE001 - the scheduler is gone, in whichever way
            self._declared = []
        now = time.monotonic()
        for future, cell in list(self._cells.items()):
            reason = self._lacks(cell)
            if reason is None:
                self._stranded.pop(cell.id, None)
            elif now - self._stranded.setdefault(cell.id, now) >= _STRANDED_S:
                del self._cells[future]
                with contextlib.suppress(Exception):  # there may be nobody to tell
                    self._client.cancel([future])
                yield failed(cell, reason, self._at_once)

    def _asked(self, cell: Cell) -> dict[str, float]:
        """Return what a cell asks for, as far as any worker says how much of it there is."""
        return {name: n for name, n in cell.resources.items() if name in self._known}

    def _lacks(self, cell: Cell) -> MissingError | None:
        """Say where a cell asks for more than any one worker has: Dask would wait for ever."""
        asked = self._asked(cell).items()
        if any(all(has.get(name, 0) >= amount for name, amount in asked) for has in self._declared):
            return None
        if not self._declared:
            return MissingError(
                "the cluster has no worker any more, or its scheduler does not answer",
                remedy="start `dask scheduler` and `dask worker`, and run the matrix again",
            )
        words = " ".join(f"{name}={amount:g}" for name, amount in asked)
        return MissingError(
            f"it asks for {words}, and no worker has that",
            remedy=f"start one with --resources '{words}'",
        )

    def _submit(self, cell: Cell) -> Future:
        self._stranded.pop(cell.id, None)  # where it comes back from a death, somebody had it
        self._tries[cell.id] += 1
        key = f"netloft-{cell.id}-{self._tries[cell.id]}"
        how: dict[str, Any] = {"key": key, "pure": False, "resources": self._asked(cell) or None}
        what = cell, self._folder, self._at_once, __version__
        future = self._client.submit(_take, *what, **how)
        self._cells[future] = cell
        return future

    def _result(self, future: Future, cell: Cell, most: int) -> CellResult | None:
        """Return what came of a cell; None where it is to be begun again, `most` times at most.

        Dask blames a death on all that the worker had before it, begun or not. The cell itself
        counts how often it was begun, and one that only stood in the queue is given back to it.
        """
        from distributed import KilledWorker

        try:
            found: CellResult | tuple[str, _Seen] = future.result()
        except KilledWorker as error:
            told = after_death(cell, self._folder, self._at_once)
            if told is None and self._tries[cell.id] > most:
                return failed(cell, MissingError(str(error)), self._at_once)
            return told
        except Exception as error:  # noqa: BLE001 - it may be anybody's; the others go on
            lost = MissingError(
                f"the cluster lost it: {type(error).__name__}: {error}",
                remedy="see that the scheduler and its workers live, and run the matrix again",
            )
            return failed(cell, lost, self._at_once)
        if isinstance(found, CellResult):
            return found
        worker, seen = found
        other = MissingError(_differs(worker, seen, self._folder), remedy=_ALIKE)
        return failed(cell, other, self._at_once)


def _next(running: as_completed) -> Future | None:
    """Return one that has ended; None where there is none for a moment."""
    if running.has_ready():
        return next(running)
    time.sleep(_PAUSE_S)
    return None


@contextlib.contextmanager
def _connected(where: str, cells: Sequence[Cell]) -> Iterator[Client]:
    """Give a client of the cluster.

    Raises:
        MissingError: There is no scheduler, or it has no workers.
    """
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    local = _LOCAL.fullmatch(where)
    with contextlib.ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr("CRITICAL"))  # what is lost has its row
        address = stack.enter_context(_local(int(local[1]), cells)) if local else where
        try:
            client = stack.enter_context(Client(address, timeout=_PATIENCE_S))
            client.wait_for_workers(1, timeout=_PATIENCE_S * (6 if local else 1))
        except (OSError, TimeoutError) as error:
            raise MissingError(
                f"no scheduler with a worker answers at {where}: {error}",
                remedy="start `dask scheduler` and `dask worker`, and see that the port is open",
            ) from error
        yield client


@contextlib.contextmanager
def _local(workers: int, cells: Sequence[Cell]) -> Iterator[Any]:
    """Give a cluster of this machine, which nobody outside can reach."""
    import dask.config
    from distributed import LocalCluster

    from netloft.runtime.providers import process_cpus

    own = [cell.threads or max(1, process_cpus() // workers) for cell in cells]
    settings = {
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(BLAS_THREADS, max(own, default=1)),
        "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # None alone means port 8787
            memory_limit=None,  # as in the process pool
            silence_logs="CRITICAL",  # a worker that dies is told of in its cell's row
        ) as cluster,
    ):
        yield cluster


def _workers(client: Client) -> list[dict[str, Any]]:
    """Ask the scheduler who lives; what the client itself knows stays when the scheduler is gone.

    Raises:
        Exception: It does not answer.
    """
    ask = client.scheduler.identity
    facts = client.sync(ask, n_workers=-1, callback_timeout=_PATIENCE_S)
    return list(facts["workers"].values())


def _check_workers(client: Client, folder: Path) -> None:
    """Refuse workers that would give other results, or none that can be seen here.

    Raises:
        UsageError: One has another version of netloft, or does not see the folder.
    """
    for worker, found in client.run(_seen, folder, on_error="return").items():
        if found != (__version__, True):
            raise UsageError(_differs(worker, found, folder), remedy=_ALIKE)


def _differs(worker: str, found: _Seen | Exception, folder: Path) -> str:
    """Say what is wrong with a worker."""
    if isinstance(found, Exception):
        return f"worker {worker} cannot run netloft: {found}"
    if found[0] != __version__:
        return f"worker {worker} has netloft {found[0]}, and this is {__version__}"
    return f"worker {worker} does not see {folder}"


def _seen(folder: Path) -> _Seen:
    return __version__, (folder / LOCK).is_file()


def _take(cell: Cell, folder: Path, at_once: int, version: str) -> CellResult | tuple[str, _Seen]:
    """Do a cell on a worker; one that is not as the others tells its name and what it sees.

    It may have joined when the others had been looked at. Its result would have another name, or
    lie where nobody looks.
    """
    from distributed import get_worker

    seen = _seen(folder)
    if seen == (version, True):
        return run_cell(cell, folder, at_once)
    return get_worker().address, seen
