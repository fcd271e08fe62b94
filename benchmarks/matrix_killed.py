"""A matrix of twelve cells on each pool, undisturbed and with a worker killed: the same results?

    python -m benchmarks.matrix_killed run benchmarks/matrix_killed.jsonl
    python -m benchmarks.matrix_killed report benchmarks/matrix_killed.jsonl > docs/matrix_killed.md

The cluster is a `dask scheduler` and two `dask worker` of their own on 127.0.0.1. The worker that
is killed, with all that it has started, is at work on a bundle, after some cells are done; nobody
starts another one in its place.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netloft.runtime.devices import cpu_model

CELLS = """\
[matrix]
precisions = ["fp32", "fp16", "int8"]
opsets = [18, 20]
threads = 1
[[model]]
spec = "mnist"
[[model]]
spec = "acoustic"
"""
DONE = 4
"""Cells that are done when the worker is killed."""

RUNS = ("processes", "processes, one killed", "Dask", "Dask, one worker killed")
Find = Callable[[], list[int]]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    if asked.what == "report":
        print(_report(asked.file))
        return
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            row = {"run": name, "cpu": cpu_model(), **_run(Path(folder), name)}
        print(json.dumps(row), file=sys.stderr)
        with asked.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")


def _run(folder: Path, name: str) -> dict[str, Any]:
    plan, out = folder / "models.toml", folder / "out"
    plan.write_text(CELLS)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        where = ["--jobs", "2"]
        workers: list[int] = []
        if name.startswith("Dask"):
            address, workers = stack.enter_context(_cluster())
            where = ["--cluster", address]
        command = [sys.executable, "-m", "netloft", "matrix", plan, "-o", out, "--quiet", *where]
        process = stack.enter_context(subprocess.Popen([*map(str, command)]))
        killed = list[int]()
        if "killed" in name:
            find = (lambda: workers) if workers else (lambda: _children(process.pid))
            killer = threading.Thread(target=_kill, args=(out, find, killed, process))
            killer.start()
            killer.join()
        code = process.wait()
    seconds = time.monotonic() - start
    cells = json.loads((out / "summary.json").read_text("utf-8"))["cells"]
    return {
        "exit_code": code,
        "killed": len(killed),
        "seconds": round(seconds, 1),
        "cells": {cell["id"]: _result(out, cell) for cell in cells},
        "stray": _stray(out),
    }


@contextlib.contextmanager
def _cluster() -> Iterator[tuple[str, list[int]]]:
    """Give the address of a scheduler, and the processes of its two workers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    own = ["--host", "127.0.0.1", "--port", str(port)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_dask("scheduler", *own))
        worker = (address, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1")
        workers = [stack.enter_context(_dask("worker", *worker)) for _ in range(2)]
        _wait_for_workers(address, len(workers))
        yield address, workers


def _wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(count, timeout=60)


@contextlib.contextmanager
def _dask(which: str, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{which}", "--no-dashboard", *arguments]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _kill(out: Path, find: Find, killed: list[int], process: subprocess.Popen[bytes]) -> None:
    """Kill a worker that writes a bundle, once some cells are done."""
    while process.poll() is None:
        done = len(list(out.glob("cells/*/result.json")))
        busy = next(out.glob("cells/*/.bundle.netloft-*/model.onnx"), None)
        if done >= DONE and busy is not None:
            owner = _owner(busy.parent, find())
            if owner is not None:
                _kill_tree(owner)
                killed.append(owner)
                return
        time.sleep(0.005)


def _owner(staging: Path, workers: list[int]) -> int | None:
    """Return the worker that holds the lock beside a staging folder open."""
    for pid in workers:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                if Path(os.readlink(link)).parent in (staging, staging.parent):
                    return pid
    return None


def _kill_tree(pid: int) -> None:
    for child in _children(pid):
        _kill_tree(child)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []


def _result(out: Path, cell: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be the same whoever did the cell, and whoever died."""
    kept = ("status", "nodes", "bytes", "parity_rows", "worst_ratio", "least_sqnr_db")
    model = out / (cell["bundle"] or "absent") / "model.onnx"
    digest = hashlib.sha256(model.read_bytes()).hexdigest() if model.exists() else ""
    return {key: cell[key] for key in kept} | {"sha256": digest}


def _stray(out: Path) -> list[str]:
    inside = (path for path in out.glob("cells/*/*") if path.name not in ("bundle", "result.json"))
    return sorted(str(path.relative_to(out)) for path in inside)


def _report(file: Path) -> str:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    first = rows[0]["cells"]
    lines = [
        "# A matrix whose workers die",
        "",
        f"Generated by `benchmarks/matrix_killed.py` on {rows[0]['cpu']}: mnist and acoustic in "
        "fp32, fp16 and int8 with the operator sets 18 and 20, two cells at once. *Same* are the "
        "cells whose verdict, bytes of `model.onnx` and parity are those of the first row. The "
        "cluster is a scheduler and two workers on 127.0.0.1, and nobody starts another worker in "
        "place of the one that is killed while it writes a bundle.",
        "",
        "| run | killed | exit code | cells | pass | same | left behind | s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = row["cells"]
        passed = sum(cell["status"] == "pass" for cell in cells.values())
        same = sum(cells.get(name) == cell for name, cell in first.items())
        lines.append(
            f"| {row['run']} | {row['killed']} | {row['exit_code']} | {len(cells)} | {passed} | "
            f"{same} | {len(row['stray'])} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
