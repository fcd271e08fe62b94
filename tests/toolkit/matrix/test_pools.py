"""Both pools: the same results, whoever is killed on the way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netloft.matrix.cell import Cell
from netloft.matrix.pool import default_jobs, run_cells
from netloft.matrix.run import run_matrix
from netloft.matrix.summary import Summary

Plan = Callable[[str], tuple[Cell, ...]]

POOLS: dict[str, dict[str, Any]] = {"processes": {"jobs": 2}, "dask": {"cluster": "local:2"}}


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "dask":
        pytest.importorskip("distributed", reason="not run: dask.distributed is not installed")
    return POOLS[request.param]


def statuses(summary: Summary) -> dict[str, str]:
    return {cell.model: cell.status for cell in summary.cells}


@contextlib.contextmanager
def killer(folder: Path) -> Iterator[list[int]]:
    """Kill each worker once, as soon as a bundle is being written."""
    killed, ended = list[int](), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if next(folder.glob("cells/*/.bundle.netloft-*/model.onnx"), None) is not None:
                for child in multiprocessing.active_children():
                    killed.append(child.pid or 0)
                    os.kill(killed[-1], signal.SIGKILL)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
def test_workers_killed_in_the_middle_of_an_export_lose_nothing(
    plan: Plan, tmp_path: Path, pool: dict[str, Any]
) -> None:
    cells = plan('[matrix]\nthreads = 1\nopsets = [18, 20]\n[[model]]\nspec = "net.py:Net"')
    out, told = tmp_path / "out", list[str]()
    with killer(out) as killed:
        summary = run_matrix(cells, out, tell=lambda what, _: told.append(what), **pool)
    assert len(killed) == 2
    assert [cell.status for cell in summary.cells] == ["pass"] * 2, summary.cells
    assert [cell.opset for cell in summary.cells] == [18, 20]
    assert {cell.at_once for cell in summary.cells} == {2}
    assert len(told) == 2
    for cell in cells:
        inside = {path.name for path in (out / "cells" / cell.id).iterdir()}
        assert inside == {"bundle", "result.json"}, "what a dead process left is swept away"


@pytest.mark.slow
def test_a_cell_that_kills_its_process_harms_no_other(
    plan: Plan, tmp_path: Path, pool: dict[str, Any]
) -> None:
    mark = tmp_path / "mark"
    cells = plan(
        "[matrix]\nthreads = 1\n"
        '[[model]]\nspec = "net.py:Poison"\n'
        f'[[model]]\nspec = "net.py:Fragile"\narguments = {{ mark = "{mark}" }}\n'
        '[[model]]\nspec = "net.py:Net"\n'
    )
    summary = run_matrix(cells, tmp_path / "out", **pool)
    wanted = {"Poison": "fail", "Fragile": "pass", "Net": "pass"}
    assert statuses(summary) == wanted, summary.cells
    assert summary.cells[0].error.startswith("its process was killed, 3 times")
    assert summary.exit_code == 1
    assert mark.exists()
    assert not multiprocessing.active_children()


def test_leaving_early_ends_the_processes(plan: Plan, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    cells = plan(
        f'[[model]]\nspec = "net.py:Endless"\nthreads = 1\narguments = {{ mark = "{mark}" }}\n'
        '[[model]]\nspec = "net.py:None"'
    )
    results = run_cells(cells, tmp_path / "out", "2")
    assert next(results).status == "error"
    while not (mark.exists() and mark.read_text()):
        time.sleep(0.05)
    results.close()
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize(
    ("threads", "cpus", "jobs"),
    [(None, 2, 1), (None, 8, 4), (1, 8, 8), (4, 8, 2), (16, 8, 1), (None, 64, 12)],
)
def test_the_cells_share_the_cores(plan: Plan, threads: int | None, cpus: int, jobs: int) -> None:
    line = "" if threads is None else f"threads = {threads}\n"
    cells = plan(
        f'[matrix]\n{line}opsets = [18, 19, 20]\nbatches = [1, 2, 3, 4]\n[[model]]\nspec = "mnist"'
    )
    assert default_jobs(cells, cpus) == jobs
