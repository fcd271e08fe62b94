"""Cells on the workers of a Dask cluster, whose scheduler knows who can do what and who died."""

from __future__ import annotations

import contextlib
import re
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
    from distributed import Client, Future

__all__ = ["check_cluster", "run_cells"]

_LOCAL = re.compile(r"local:([1-9][0-9]{0,2})")
_REMOTE = re.compile(r"tcp://[^\s/:]+:[0-9]{1,5}|tcp://\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
_PATIENCE_S = 10


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
        self._tries = Counter[str]()
        self._cells = dict[str, Cell]()

    def run(self, cells: Sequence[Cell]) -> Generator[CellResult, None, None]:
        """Give the results as they come, of cells that no worker can take first."""
        from distributed import as_completed

        refused = {cell.id: reason for cell in cells if (reason := self._lacks(cell))}
        for cell in cells:
            if cell.id in refused:
                yield failed(cell, refused[cell.id], self._at_once)
        running = as_completed([self._submit(cell) for cell in cells if cell.id not in refused])
        for future in running:
            cell = self._cells.pop(future.key)
            result = self._result(future, cell, most=ATTEMPTS * len(cells))
            if result is None:
                running.add(self._submit(cell))
            else:
                yield result

    def _asked(self, cell: Cell) -> dict[str, float]:
        """Return what a cell asks for, as far as any worker says how much of it there is."""
        known = {name for has in self._declared for name in has}
        return {name: amount for name, amount in cell.resources.items() if name in known}

    def _lacks(self, cell: Cell) -> MissingError | None:
        """Say where a cell asks for more than any one worker has: Dask would wait for ever."""
        asked = self._asked(cell).items()
        if any(all(has.get(name, 0) >= amount for name, amount in asked) for has in self._declared):
            return None
        words = " ".join(f"{name}={amount:g}" for name, amount in asked)
        return MissingError(
            f"it asks for {words}, and no worker has that",
            remedy=f"start one with --resources '{words}'",
        )

    def _submit(self, cell: Cell) -> Future:
        self._tries[cell.id] += 1
        key = f"netloft-{cell.id}-{self._tries[cell.id]}"
        self._cells[key] = cell
        how: dict[str, Any] = {"key": key, "pure": False, "resources": self._asked(cell) or None}
        return self._client.submit(run_cell, cell, self._folder, self._at_once, **how)

    def _result(self, future: Future, cell: Cell, most: int) -> CellResult | None:
        """Return what came of a cell; None where it is to be begun again, `most` times at most.

        Dask blames a death on all that the worker had before it, begun or not. The cell itself
        counts how often it was begun, and one that only stood in the queue is given back to it.
        """
        from distributed import KilledWorker

        try:
            result: CellResult = future.result()
        except KilledWorker as error:
            found = after_death(cell, self._folder, self._at_once)
            if found is None and self._tries[cell.id] > most:
                return failed(cell, MissingError(str(error)), self._at_once)
            return found
        except Exception as error:  # noqa: BLE001 - it may be anybody's; the others go on
            lost = MissingError(
                f"the cluster lost it: {type(error).__name__}: {error}",
                remedy="see that the scheduler and its workers live, and run the matrix again",
            )
            return failed(cell, lost, self._at_once)
        return result


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
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _check_workers(client: Client, folder: Path) -> None:
    """Refuse workers that would give other results, or none that can be seen here.

    Raises:
        UsageError: One has another version of netloft, or does not see the folder.
    """
    for worker, found in client.run(_seen, folder, on_error="return").items():
        if found == (__version__, True):
            continue
        if isinstance(found, Exception):
            problem = f"worker {worker} cannot run netloft: {found}"
        elif found[0] != __version__:
            problem = f"worker {worker} has netloft {found[0]}, and this is {__version__}"
        else:
            problem = f"worker {worker} does not see {folder}"
        raise UsageError(
            problem,
            remedy=f"install netloft {__version__} on all machines, and name a folder with -o that "
            "they share under one path",
        )


def _seen(folder: Path) -> tuple[str, bool]:
    return __version__, (folder / LOCK).is_file()
