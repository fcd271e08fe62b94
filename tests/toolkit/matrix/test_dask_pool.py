"""What a Dask cluster is asked for, and how it is told that there is none."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netloft import __version__
from netloft.errors import MissingError, UsageError
from netloft.matrix import dask_pool
from netloft.matrix.cell import Cell
from netloft.matrix.run import run_matrix
from netloft.runtime.providers import probe

distributed = pytest.importorskip(
    "distributed", reason="not run: dask.distributed is not installed"
)

Plan = Callable[[str], tuple[Cell, ...]]

MARKED = """
from pathlib import Path
import os
from net import Net


class Marked(Net):
    def __init__(self, mark):
        super().__init__()
        Path(mark).write_text(str(os.getpid()))
"""


@contextmanager
def cluster(
    workers: list[dict[str, Any]], preload: Sequence[str] = (), **settings: Any
) -> Iterator[Any]:
    """Start a scheduler with workers that declare what they have, and run `preload` before."""
    import dask

    nanny = {"cls": distributed.Nanny}
    own = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "dashboard": False}
    each = {"nthreads": 2, "memory_limit": 0, "preload": list(preload), **own}
    specs = {
        index: {**nanny, "options": {**each, "resources": has}} for index, has in enumerate(workers)
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, **own}}
    how = {"workers": specs, "scheduler": scheduler, "silence_logs": "CRITICAL"}
    with dask.config.set(settings), distributed.SpecCluster(**how) as running:
        yield running


@pytest.mark.slow
def test_cells_go_where_their_resources_are(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "marked.py").write_text(MARKED)
    text = "[matrix]\nthreads = 1\nmemory_gb = 0.5\n"
    kinds = {
        "cpu": "", "gpu": 'providers = ["cuda"]',
        "huge": 'providers = ["cuda"]\nmemory_gb = 0.7',  # one worker has the GPU, one the memory
    }  # fmt: skip
    for name, more in kinds.items():
        text += (
            f'[[model]]\nspec = "marked.py:Marked"\nname = "{name}"\n{more}\n'
            f'arguments = {{ mark = "{tmp_path / name}" }}\n'
        )
    with cluster([{"MEMORY": 1e9}, {"MEMORY": 6e8, "GPU": 1}]) as running:
        summary = run_matrix(plan(text), tmp_path / "out", cluster=running.scheduler_address)
        with distributed.Client(running) as client:
            pids = client.run(os.getpid)
            infos = client.scheduler_info(n_workers=-1)["workers"]
    cpu, gpu, huge = summary.cells
    assert cpu.status == "pass", cpu.error
    (with_gpu,) = (pids[address] for address, has in infos.items() if "GPU" in has["resources"])
    assert int((tmp_path / "gpu").read_text()) == with_gpu
    assert gpu.status == ("pass" if probe("cuda").starts else "missing")
    assert (huge.status, huge.exit_code) == ("missing", 3)
    assert "it asks for GPU=1 MEMORY=7e+08, and no worker has that" in huge.error
    assert "remedy: start one with --resources 'GPU=1 MEMORY=7e+08'" in huge.error
    assert not (tmp_path / "huge").exists()


@pytest.mark.slow
def test_who_waited_beside_a_killer_is_not_blamed(plan: Plan, tmp_path: Path) -> None:
    # with resources Dask sends all cells to the worker at once, and blames its death on all
    cells = plan(
        "[matrix]\nthreads = 1\nmemory_gb = 0.1\n"
        '[[model]]\nspec = "net.py:Poison"\n'
        '[[model]]\nspec = "net.py:Net"\n'
    )
    strict: dict[str, Any] = {"distributed.scheduler.allowed-failures": 0}
    with cluster([{"MEMORY": 1e9}], **strict) as running:
        summary = run_matrix(cells, tmp_path / "out", cluster=running.scheduler_address)
    assert [cell.status for cell in summary.cells] == ["fail", "pass"], summary.cells
    assert summary.cells[0].error.startswith("its process was killed, 3 times")


def test_a_cell_that_comes_back_waits_anew(plan: Plan, tmp_path: Path) -> None:
    """A worker may live for a moment between two looks, each time, and take its cells with it."""

    class Client:
        def submit(self, *_: object, **how: object) -> object:
            return how["key"]

    (cell,) = plan('[[model]]\nspec = "mnist"')
    job = dask_pool._Job(Client(), tmp_path, 1, [])
    job._stranded[cell.id] = 0.0
    job._submit(cell)
    assert list(job._given_up()) == []
    assert job._stranded[cell.id] > 0


def test_a_local_cluster_is_seen_by_nobody_else(plan: Plan) -> None:
    import psutil

    with dask_pool._connected("local:1", plan('[[model]]\nspec = "mnist"')):
        own = psutil.Process()
        processes = [own, *own.children(recursive=True)]
        listening = [
            connection.laddr
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert len(listening) >= 3  # the scheduler, a worker and its nanny
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert 8787 not in {address.port for address in listening}


def test_no_scheduler_is_exit_code_3(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "_PATIENCE_S", 1)
    with pytest.raises(MissingError, match="no scheduler with a worker answers") as caught:
        run_matrix(plan('[[model]]\nspec = "mnist"'), tmp_path / "out", cluster="tcp://127.0.0.1:1")
    assert caught.value.exit_code == 3


def test_a_scheduler_without_workers_is_exit_code_3(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "_PATIENCE_S", 1)
    with cluster([]) as running, pytest.raises(MissingError, match="no scheduler with a worker"):
        cells = plan('[[model]]\nspec = "mnist"')
        run_matrix(cells, tmp_path / "out", cluster=running.scheduler_address)


@pytest.mark.parametrize("address", ["local:0", "local:", "local:x", "4", "tcp://host", "host:80"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is neither tcp://HOST:PORT nor local:N"):
        dask_pool.check_cluster(address)


@pytest.mark.parametrize("address", ["local:4", "tcp://10.0.0.1:8786", "tcp://[::1]:8786"])
def test_an_address_is_taken(address: str) -> None:
    dask_pool.check_cluster(address)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("0.0.9", True), f"has netloft 0.0.9, and this is {__version__}"),
        ((__version__, False), "does not see"),
        (ImportError("No module named 'netloft'"), "cannot run netloft: No module"),
    ],
)
def test_workers_that_would_do_something_else_are_refused(
    tmp_path: Path, found: object, said: str
) -> None:
    class Stub:
        def run(self, *_: object, **__: object) -> dict[str, object]:
            return {"tcp://10.0.0.1:1": (__version__, True), "tcp://10.0.0.2:1": found}

    with pytest.raises(UsageError, match=r"worker tcp://10\.0\.0\.2:1") as caught:
        dask_pool._check_workers(Stub(), tmp_path)
    assert said in caught.value.problem


@contextmanager
def command(which: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dask worker` or `dask scheduler`, which dies alone: no nanny starts it again."""
    how = [sys.executable, "-m", f"distributed.cli.dask_{which}", "--no-dashboard", *arguments]
    with subprocess.Popen(how, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def worker(address: str, resources: str = "") -> Iterator[subprocess.Popen[bytes]]:
    has = ["--resources", resources] if resources else []
    with command("worker", address, "--no-nanny", "--nthreads", "1", *has) as process:
        with distributed.Client(address) as client:
            for _ in range(600):
                pids = client.run(os.getpid).values()
                if process.pid in pids:
                    break
                time.sleep(0.1)
        yield process


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_LOOK_S": 0.5, "_STRANDED_S": 2, "_PATIENCE_S": 3}.items():
        monkeypatch.setattr(dask_pool, name, seconds)


@contextmanager
def once(mark: Path, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as a network is being made."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if mark.exists() and mark.read_text():
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def endless(plan: Plan, mark: Path) -> tuple[Cell, ...]:
    return plan(
        "[matrix]\nthreads = 1\nopsets = [18, 20]\nmemory_gb = 0.5\n"
        f'[[model]]\nspec = "net.py:Endless"\narguments = {{ mark = "{mark}" }}\n'
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "said"),
    [(0, "has no worker any more"), (1, "it asks for MEMORY=5e+08, and no worker has that")],
)
def test_cells_that_no_living_worker_can_take_are_missing(
    plan: Plan, tmp_path: Path, hasty: None, others: int, said: str
) -> None:
    cells = endless(plan, tmp_path / "mark")
    with cluster([{}] * others) as running, worker(running.scheduler_address, "MEMORY=1e9") as it:
        with once(tmp_path / "mark", it.kill):
            summary = run_matrix(cells, tmp_path / "out", cluster=running.scheduler_address)
        with distributed.Client(running) as client:
            left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    assert [cell.status for cell in summary.cells] == ["missing"] * 2, summary.cells
    assert all(said in cell.error and not cell.settled for cell in summary.cells)
    assert left == 0, "a worker that comes back would take what nobody waits for"


@pytest.mark.slow
def test_a_worker_that_comes_back_takes_the_cell(
    plan: Plan, tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "_STRANDED_S", 60)
    net, mark = tmp_path / "net.py", tmp_path / "mark"
    net.write_text(net.read_text().replace("Path(mark).touch()", 'Path(mark).write_text("x")'))
    text = '[[model]]\nspec = "net.py:Fragile"\nthreads = 1\nmemory_gb = 0.5\n'
    cells = plan(f'{text}arguments = {{ mark = "{mark}" }}')
    how = "--no-nanny", "--nthreads", "1", "--resources", "MEMORY=1e9"
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(cluster([])).scheduler_address
        stack.enter_context(worker(address, "MEMORY=1e9"))
        another = functools.partial(stack.enter_context, command("worker", address, *how))
        with once(mark, another):
            summary = run_matrix(cells, tmp_path / "out", cluster=address)
    assert [cell.status for cell in summary.cells] == ["pass"], summary.cells


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_cells_whose_scheduler_is_gone_are_missing(
    plan: Plan, tmp_path: Path, hasty: None, number: signal.Signals
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    cells = endless(plan, tmp_path / "mark")
    with (
        command("scheduler", "--host", address) as scheduler,
        worker(address, "MEMORY=1e9"),
        once(tmp_path / "mark", lambda: scheduler.send_signal(number)),
    ):
        summary = run_matrix(cells, tmp_path / "out", cluster=address)
    assert [cell.status for cell in summary.cells] == ["missing"] * 2, summary.cells
    said = "the cluster lost it" if number == signal.SIGKILL else "its scheduler does not answer"
    assert all(said in cell.error and not cell.settled for cell in summary.cells)


@pytest.mark.parametrize(
    ("change", "said"),
    [("p.__version__ = c.__version__ = '0.0.9'", "has netloft 0.0.9"), ("p.LOCK = 'x'", "not see")],
)
def test_a_worker_that_joins_later_and_differs_takes_no_cell(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    cells = plan('[[model]]\nspec = "net.py:Net"\nthreads = 1')
    monkeypatch.setattr(dask_pool, "_check_workers", lambda *_: None)  # it was not there yet
    before = f"import netloft.matrix.dask_pool as p, netloft.matrix.cell as c\n{change}\n"
    with cluster([{}], preload=[before]) as running:
        summary = run_matrix(cells, tmp_path / "out", cluster=running.scheduler_address)
    (row,) = summary.cells
    assert (row.id, row.status, row.settled) == (cells[0].id, "missing", False)
    assert row.error.startswith("worker tcp://127.0.0.1:")
    assert said in row.error
    assert "remedy: install netloft" in row.error
    assert not list((tmp_path / "out" / "cells").iterdir())
