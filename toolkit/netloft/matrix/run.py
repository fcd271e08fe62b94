"""Run a matrix: what is done is kept, the rest is given to a pool, and all is told in a summary."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from netloft.bundle.lock import exclusive
from netloft.errors import OutputError
from netloft.matrix.cell import Cell
from netloft.matrix.result import LOCK, CellResult, forget, read_result
from netloft.matrix.summary import FILES, Summary, write_summary

__all__ = ["check_folder", "run_matrix"]

_ELSEWHERE = "name another folder with -o"


def check_folder(folder: Path) -> None:
    """Refuse a place that is not a matrix's to write, before any work.

    Raises:
        OutputError: It is no folder, or it holds something that no matrix writes.
    """
    try:
        inside = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}", remedy=_ELSEWHERE
        ) from error
    known = {"cells", *FILES}
    foreign = next((n for n in inside if n not in known and not n.startswith(".netloft-")), "")
    if foreign:
        raise OutputError(
            f"{folder} holds {foreign}, which is no part of a matrix; it was left as it was",
            remedy=f"move it away, or {_ELSEWHERE}",
        )


def run_matrix(
    cells: Sequence[Cell],
    out: Path,
    *,
    jobs: int | None = None,
    cluster: str = "",
    again: bool = False,
    tell: Callable[[str, int], None] = lambda _what, _count: None,
) -> Summary:
    """Run the cells that are not done yet, and write the summary of all.

    Args:
        cells: From `netloft.matrix.plan.read_plan`.
        out: Folder of the matrix: `cells/ID/bundle` for each that passes, and the summary.
        jobs: Processes at once; None for half of the cores. For a cluster it means nothing.
        cluster: `tcp://HOST:PORT` or `local:N` in place of processes of this machine.
        again: Run those that are done as well.
        tell: Told what is done, and how many cells that were.

    Raises:
        OutputError: The folder is not ours to write, or another run is writing it.
        MissingError: The cluster does not answer, or no process can be started.
        UsageError: A worker of the cluster has another version, or does not see the folder.
    """
    folder = out.absolute()
    check_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            (folder / "cells").mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(folder / LOCK, out, _ELSEWHERE))
        except OSError as error:
            raise OutputError(
                f"{out} cannot be written: {error.strerror or error}", remedy=_ELSEWHERE
            ) from error
        found = {} if again else _done(cells, folder)
        left = [cell for cell in cells if cell.id not in found]
        for cell in left:
            forget(folder, cell.id)
        if found:
            tell("done before", len(found))
        results = _results(left, folder, jobs, cluster)
        with contextlib.closing(results):  # what still runs ends here, however we leave
            for result in results:
                found[result.id] = result
                tell(str(result), 1)
        return write_summary(folder, [found[cell.id] for cell in cells])


def _done(cells: Sequence[Cell], folder: Path) -> dict[str, CellResult]:
    read = (read_result(folder, cell.id) for cell in cells)
    return {result.id: result for result in read if result is not None}


def _results(
    cells: Sequence[Cell], folder: Path, jobs: int | None, cluster: str
) -> Generator[CellResult, None, None]:
    """Give the results as they come."""
    from netloft.matrix import dask_pool, pool

    if cells and cluster:
        yield from dask_pool.run_cells(cells, folder, cluster)
    elif cells:
        yield from pool.run_cells(cells, folder, str(jobs or ""))
