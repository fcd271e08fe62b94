"""What accidents and attacks do to a bundle: each is tried many times, and every bad state counted.

    python -m benchmarks.faults run benchmarks/accidents.jsonl [NAME …] [--tries N]
    python -m benchmarks.faults report benchmarks/accidents.jsonl > docs/faults.md

A try is bad where a bundle is lost, half written or wrongly believed, where a file outside is
changed, or where something is left behind that the next export does not sweep. A disk that fills
is a small tmpfs, which takes root to mount; without, those rows are not run, and say so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks.attacks import ATTACKS, Accident, Counts, Models
from onnx import TensorProto, helper, numpy_helper

from netloft.bundle import hash_files, staged_bundle
from netloft.bundle.vectors import write_vectors
from netloft.errors import NetloftError, OutputError
from netloft.runtime import load
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest, sealed, steady

TRIES = 60
SIZE = 24_000_000
"""Bytes of weights of the bundle that is written: long enough to be met in the middle."""

Row = dict[str, Any]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tries", type=int, default=TRIES)
    asked = parser.parse_args()
    if asked.what == "report":
        print(_report(asked.file))
        return
    # a shell makes what it starts with & deaf to Ctrl-C, and its children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "old"), Path(folder, "new")
        for index, path in enumerate(models):
            _write(path, index)
        for name in asked.names or ACCIDENTS:
            what, accident = ACCIDENTS[name]
            start = time.monotonic()
            row = {
                "name": name,
                "what": what,
                **_tried(accident, models, Path(folder), asked.tries),
            }
            row["seconds"] = round(time.monotonic() - start, 1)
            print(json.dumps(row), file=sys.stderr)
            with asked.file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")


def _tried(accident: Accident, models: Models, folder: Path, tries: int) -> Row:
    counts, place = Counts(), folder / "place"
    random.seed(0)
    place.mkdir()
    try:
        accident(counts, models, place, tries)
    except _NotRunError as reason:
        return {"not_run": str(reason)}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return asdict(counts)


class _NotRunError(Exception):
    """An accident that cannot be staged on this machine."""


def _write(path: Path, index: int) -> None:
    """Write a bundle of one matrix product."""
    side = int((SIZE / 4) ** 0.5)
    w = np.random.default_rng(index).standard_normal((side, side)).astype(np.float32) / side
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", side]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    feed = np.ones((2, side), np.float32)
    with staged_bundle(path) as staging:
        onnx.save(model, staging / "model.onnx")
        _finish(staging, {"x": feed}, {"y": feed @ w}, index)


def _finish(staging: Path, inputs: dict[str, Any], outputs: dict[str, Any], index: int) -> None:
    write_vectors(staging / "test_data_set_0", inputs, outputs)
    (staging / "report.json").write_text(json.dumps({"status": "pass"}))
    (staging / "diagram.svg").write_text("<svg/>")
    facts = {
        "netloft": "0", "format": 1, "name": f"net{index}", "class": "Net", "opset": 20,
        "ir_version": 10, "batch": "dynamic",
        "inputs": [_spec(n, a) for n, a in inputs.items()],
        "outputs": [_spec(n, a) for n, a in outputs.items()],
        "tolerances": dict.fromkeys(outputs, 1e-5),
        "files": {name: asdict(each) for name, each in hash_files(staging).items()},
    }  # fmt: skip
    (staging / "manifest.json").write_bytes(sealed(facts))


def _spec(name: str, array: Any) -> Row:
    return {"name": name, "dtype": str(array.dtype), "shape": ["batch", *array.shape[1:]]}


COPY = (
    "import shutil, sys\n"
    "from pathlib import Path\n"
    "from netloft.bundle import staged_bundle\n"
    "print('ready', flush=True)\n"
    "sys.stdin.readline()\n"
    "with staged_bundle(Path(sys.argv[2])) as staging:\n"
    "    shutil.copytree(sys.argv[1], staging, dirs_exist_ok=True)\n"
    "print('done', flush=True)\n"
)


@contextlib.contextmanager
def _writer(source: Path, target: Path) -> Iterator[subprocess.Popen[str]]:
    """Start what writes a bundle as an export does; it waits for a line."""
    command = [sys.executable, "-c", COPY, str(source), str(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _state(counts: Counts, target: Path, *, fresh: bool) -> None:
    """Count what stands there now."""
    if fresh and not target.exists():
        counts.absent += 1
        return
    try:
        check_files(target, read_manifest(target)["files"])
        counts.whole += 1
    except (NetloftError, OSError) as error:
        counts.bad.append(f"after it: {error}".splitlines()[0])


def _next(counts: Counts, models: Models, target: Path) -> None:
    """Let the next export run, and see that nothing is left of the one before."""
    with staged_bundle(target) as staging:
        shutil.copytree(models[1], staging, dirs_exist_ok=True)
    left = sorted(set(os.listdir(target.parent)) - {target.name})
    if left:
        counts.bad.append(f"left behind: {left[0]}")
    state = Counts()
    _state(state, target, fresh=False)
    counts.bad += [f"the next export: {what}" for what in state.bad]
    shutil.rmtree(target)


def _killed(number: int, *, fresh: bool) -> Accident:
    def accident(counts: Counts, models: Models, place: Path, tries: int) -> None:
        target, takes = place / "net", _takes(models, place)
        for _ in range(tries):
            if not fresh:
                shutil.copytree(models[0], target)
            with _writer(models[1], target) as process:
                _go(process)
                time.sleep(random.uniform(0, 1.2 * takes))
                process.send_signal(number)
                process.wait()
            counts.tries += 1
            _state(counts, target, fresh=fresh)
            _next(counts, models, target)

    return accident


def _export_killed(*, fresh: bool) -> Accident:
    """Kill `netloft export` itself, which takes seconds and writes at several moments of them."""

    def accident(counts: Counts, models: Models, place: Path, tries: int) -> None:
        target = place / "net"
        command = [sys.executable, "-m", "netloft", "export", "mnist", "--quick", "--quiet",
                   "--provider", "cpu", "-o", str(target)]  # fmt: skip
        start = time.monotonic()
        subprocess.run(command, check=True)
        takes = time.monotonic() - start
        shutil.rmtree(target)
        for _ in range(tries):
            if not fresh:
                shutil.copytree(models[0], target)
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                time.sleep(random.uniform(0.3, 1.05) * takes)
                process.kill()
            counts.tries += 1
            _state(counts, target, fresh=fresh)
            _next(counts, models, target)

    return accident


def _takes(models: Models, place: Path) -> float:
    """Return how long one write takes, so that signals fall into it."""
    with _writer(models[1], place / "measured") as process:
        start = time.monotonic()
        _go(process)
        assert process.stdout is not None
        process.stdout.readline()
        taken = time.monotonic() - start
    shutil.rmtree(place / "measured")
    return taken


@contextlib.contextmanager
def _small_disk(place: Path, megabytes: float) -> Iterator[Path]:
    disk = place / "disk"
    disk.mkdir()
    size = f"size={int(megabytes * 1024)}k"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise _NotRunError(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        disk.rmdir()


def _full(*, fresh: bool) -> Accident:
    def accident(counts: Counts, models: Models, place: Path, tries: int) -> None:
        whole = sum(p.stat().st_size for p in models[0].rglob("*") if p.is_file()) / 2**20
        for _ in range(tries):
            room = random.uniform(0.05, 0.98) * whole
            with _small_disk(place, room + (0 if fresh else whole)) as disk:
                target = disk / "net"
                if not fresh:
                    shutil.copytree(models[0], target)
                counts.tries += 1
                try:
                    with staged_bundle(target) as staging:
                        shutil.copytree(models[1], staging, dirs_exist_ok=True)
                    counts.bad.append("it was written where there is no room")
                except (OutputError, shutil.Error):
                    counts.told += 1
                _state(counts, target, fresh=fresh)
                left = sorted(set(os.listdir(disk)) - {"net"})
                counts.bad += [f"left behind: {name}" for name in left]

    return accident


def _read_only(counts: Counts, models: Models, place: Path, tries: int) -> None:
    for _ in range(tries):
        with _small_disk(place, 80) as disk:
            shutil.copytree(models[0], disk / "net")
            remount = ["mount", "-o", "remount,ro", str(disk)]
            subprocess.run(remount, check=True, capture_output=True)
            counts.tries += 1
            try:
                with staged_bundle(disk / "net") as staging:
                    shutil.copytree(models[1], staging, dirs_exist_ok=True)
                counts.bad.append("it was written to a disk that is read-only")
            except OutputError:
                counts.told += 1
            _state(counts, disk / "net", fresh=False)


def _readers(counts: Counts, models: Models, place: Path, tries: int) -> None:
    """Read while another process replaces the bundle again and again."""
    target = place / "net"
    shutil.copytree(models[0], target)
    code = COPY.replace("sys.stdin.readline()\nwith", "while True:\n  with")
    code = code.replace("    shutil", "      shutil")
    code = code.replace("print('done', flush=True)", "  time.sleep(0.2)")
    code = code.replace("import shutil, sys", "import shutil, sys, time")
    command = [sys.executable, "-c", code, str(models[1]), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(tries):
            counts.tries += 1
            try:
                steady(target, lambda: check_files(target, read_manifest(target)["files"]))
                load(target)
                counts.whole += 1
            except NetloftError as error:
                counts.bad.append(str(error).splitlines()[0])
        process.kill()
    _next(counts, models, target)


def _two_writers(counts: Counts, models: Models, place: Path, tries: int) -> None:
    target = place / "net"
    for _ in range(tries):
        counts.tries += 1
        with _writer(models[0], target) as first, _writer(models[1], target) as second:
            _go(first)
            time.sleep(random.uniform(0, 0.1))
            _go(second)
            ends = [process.communicate()[1] for process in (first, second)]
        refused = [text for text in ends if "another process is writing" in text]
        counts.told += len(refused)
        strange = [text for text in ends if text and text not in refused]
        counts.bad += [text.strip().splitlines()[-1] for text in strange]
        _state(counts, target, fresh=False)
        _next(counts, models, target)


def _links(counts: Counts, models: Models, place: Path, tries: int) -> None:
    """Put a link where the bundle is to go, to a bundle and to a folder of somebody else."""
    for index in range(tries):
        victim = place / "victim"
        if index % 2:
            shutil.copytree(models[0], victim)
        else:
            victim.mkdir()
            (victim / "thesis.tex").write_text("years of work")
        before = {p: p.stat().st_mtime_ns for p in sorted(victim.rglob("*"))}
        (place / "net").symlink_to(victim)
        counts.tries += 1
        try:
            with staged_bundle(place / "net") as staging:
                shutil.copytree(models[1], staging, dirs_exist_ok=True)
            counts.bad.append("a link was followed")
        except OutputError:
            counts.told += 1
        after = {p: p.stat().st_mtime_ns for p in sorted(victim.rglob("*"))}
        if before != after:
            counts.bad.append("a file behind a link was changed")
        shutil.rmtree(victim)
        (place / "net").unlink()
        counts.bad += [f"left behind: {name}" for name in os.listdir(place)]


ACCIDENTS: dict[str, tuple[str, Accident]] = {
    "export-fresh": ("SIGKILL to a first `netloft export`", _export_killed(fresh=True)),
    "export": ("SIGKILL to a replacing `netloft export`", _export_killed(fresh=False)),
    "kill-fresh": ("SIGKILL while a first bundle is written", _killed(signal.SIGKILL, fresh=True)),
    "kill": ("SIGKILL while a bundle is replaced", _killed(signal.SIGKILL, fresh=False)),
    "interrupt": (
        "Ctrl-C while a bundle is replaced",
        _killed(signal.SIGINT, fresh=False),
    ),
    "full-fresh": ("disk full while a first bundle is written", _full(fresh=True)),
    "full": ("disk full while a bundle is replaced", _full(fresh=False)),
    "read-only": ("the disk is read-only", _read_only),
    "readers": ("read while it is replaced five times a second", _readers),
    "two-writers": ("two exports to one place", _two_writers),
    "links": ("a link where the bundle is to go", _links),
    **ATTACKS,
}


def _report(file: Path) -> str:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    latest = {row["name"]: row for row in rows}
    head = (
        "# Accidents and attacks\n\nGenerated by `benchmarks/faults.py`, which says what each row "
        "does. *Whole*: the old or the new bundle stood there, every file of it. *Absent*: none "
        "did, where none had been. *Told*: it ended in one error that names what is wrong. *Bad* "
        "is what should never happen: a bundle lost, half written or wrongly believed, a file "
        "elsewhere changed, something left behind by the export after.\n\n"
        "| what happens | tries | whole | absent | told | bad |\n|---|---:|---:|---:|---:|---:|"
    )
    lines = [head]
    for name in ACCIDENTS:
        row = latest.get(name)
        if row is None:
            continue
        if "not_run" in row:
            lines.append(f"| {row['what']} | not run: {row['not_run']} | | | | |")
            continue
        cells = (row[key] or "" for key in ("tries", "whole", "absent", "told"))
        lines.append(f"| {row['what']} | {' | '.join(map(str, cells))} | {len(row['bad'])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
