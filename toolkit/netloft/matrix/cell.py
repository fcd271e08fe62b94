"""One cell of a matrix: what it is, and how it is exported, verified and measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft import __version__
from netloft.errors import CheckError, MissingError, NetloftError, OutputError, UsageError
from netloft.matrix.code import ChangedError, changed, loaded_before
from netloft.matrix.result import (
    ATTEMPTS,
    CellResult,
    count_start,
    killed,
    read_result,
    starts,
    write_result,
)

if TYPE_CHECKING:
    from netloft.report.report import Report

__all__ = ["Cell", "after_death", "failed", "run_cell"]

_ON_GPU = ("cuda", "tensorrt")

# Exports in one process share torch's random numbers, its threads and the standard output: a
# cluster's worker that has several threads takes its cells one after the other all the same.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Cell:
    """One export, verification and measurement.

    Attributes:
        label: Short name of the model.
        spec: MODEL as the file names it.
        target: The same, with the whole path of a file.
        arguments: For the constructor.
        inputs: As `--input` takes them.
        weights: A name, or the whole path of a file; None for random ones.
        code_sha256: Of the network's own file; empty where there is none, or it is installed.
        weights_sha256: Of the weights file; empty where it is none.
        precision: `fp32`, `fp16` or `int8`.
        opset: ONNX operator set.
        provider: Where it runs.
        batch: `dynamic`, or the one batch size.
        seed: Of random weights and inputs.
        threads: For one operation; None for a share of the machine's cores.
        memory_gb: To ask a worker for, in 10^9 bytes; None for nothing.
    """

    label: str
    spec: str
    target: str
    arguments: Mapping[str, object]
    inputs: tuple[str, ...]
    weights: str | None
    code_sha256: str
    weights_sha256: str
    precision: str
    opset: int
    provider: str
    batch: str | int
    seed: int
    threads: int | None
    memory_gb: float | None

    @property
    def id(self) -> str:
        """A name that can be read, and a hash of all that the result depends on."""
        facts = dataclasses.asdict(self) | {"netloft": __version__}
        for name in ("label", "target", "memory_gb"):  # where it runs, and what it is called
            del facts[name]
        if self.weights_sha256:
            del facts["weights"]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        batch = self.batch if isinstance(self.batch, str) else f"batch{self.batch}"
        words = self.label, self.precision, f"opset{self.opset}", self.provider, batch
        return "-".join((*words, digest[:12]))

    @property
    def resources(self) -> dict[str, float]:
        """What it asks of a cluster's worker, in Dask's usual words."""
        asked: dict[str, float] = {"GPU": 1} if self.provider in _ON_GPU else {}
        return asked | ({} if self.memory_gb is None else {"MEMORY": self.memory_gb * 1e9})

    def row(self) -> dict[str, Any]:
        """Return what a result tells of the cell itself."""
        return {
            "id": self.id,
            "model": self.label,
            "spec": self.spec,
            "arguments": json.dumps(dict(self.arguments), sort_keys=True),
            "precision": self.precision,
            "opset": self.opset,
            "provider": self.provider,
            "batch": str(self.batch),
            "seed": self.seed,
        }


def run_cell(cell: Cell, folder: Path, at_once: int) -> CellResult:
    """Do one cell, and write its result; a cell whose result is written is not done again.

    No mistake and no failed check raises: the result tells them.

    Args:
        cell: What to do.
        folder: Of the matrix.
        at_once: How many cells run on this machine at once.
    """
    with _ALONE:
        done = read_result(folder, cell.id)
        if done is not None:
            return done
        if starts(folder, cell.id) >= ATTEMPTS:
            return killed(cell.row(), at_once)
        count_start(folder, cell.id)
        begun = time.monotonic()
        result = _attempt(cell, folder / "cells" / cell.id / "bundle", at_once)
        result = dataclasses.replace(result, seconds=round(time.monotonic() - begun, 3))
        write_result(folder, result)
        return result


def after_death(cell: Cell, folder: Path, at_once: int) -> CellResult | None:
    """Return the result of a cell whose process is gone; None where it is to be begun again."""
    done = read_result(folder, cell.id)
    if done is None and starts(folder, cell.id) >= ATTEMPTS:
        return killed(cell.row(), at_once)
    return done


def failed(cell: Cell, error: BaseException, at_once: int) -> CellResult:
    """Return the result of a cell that ended with an error."""
    if not isinstance(error, NetloftError):
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        return CellResult(**cell.row(), status="fail", error=told, at_once=at_once, traceback=trace)
    kinds = ((CheckError, "fail"), (UsageError, "error"), (MissingError, "missing"))
    status = next((name for kind, name in kinds if isinstance(error, kind)), "fail")
    # what is missing, or a full disk, is the machine's: it may be better the next time; and what
    # was changed belongs to another cell
    settled = not isinstance(error, MissingError | OutputError | ChangedError)
    row = cell.row()
    return CellResult(**row, status=status, error=str(error), settled=settled, at_once=at_once)


def _attempt(cell: Cell, place: Path, at_once: int) -> CellResult:
    facts = dict[str, Any]()
    wrong: BaseException | None = changed(cell) or loaded_before(cell)
    if wrong is None:
        try:
            facts = _bundle(cell, place, at_once)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the other cells go on
            wrong = error
        # an error, too, may be that of a file that somebody was at work on
        wrong = changed(cell) or wrong
    if wrong is not None:
        return failed(cell, wrong, at_once)
    return CellResult(**cell.row(), **facts, status="pass", settled=True, at_once=at_once)


def _bundle(cell: Cell, place: Path, at_once: int) -> dict[str, Any]:
    """Export, verify and measure; return what is told of it."""
    from netloft.export_options import ExportOptions
    from netloft.exporting import export_model
    from netloft.models import load_model
    from netloft.models.inputs import parse_input
    from netloft.runtime.providers import process_cpus
    from netloft.speed.torch_contestants import torch_settings
    from netloft.verification import verify

    threads = cell.threads or max(1, process_cpus() // at_once)
    with torch_settings(threads):
        model = load_model(
            cell.target,
            arguments=cell.arguments,
            weights=cell.weights,
            inputs=tuple(map(parse_input, cell.inputs)),
            seed=cell.seed,
        )
        options = ExportOptions(
            batch=cell.batch,
            opset=cell.opset,
            providers=(cell.provider,),
            seed=cell.seed,
            threads=threads,
            quick=True,
            precision=cell.precision,
        )
        report = export_model(model, place, options).report
    found = verify(place, providers=(cell.provider,), threads=threads)
    relative = place.relative_to(place.parents[2]).as_posix()
    if found.status != "pass":
        raise CheckError(
            "the finished bundle fails on its own test vectors",
            remedy=f"netloft verify DIR/{relative} shows the rows",
        )
    return {"bundle": relative, **_measured(cell, report)}


def _measured(cell: Cell, report: Report) -> dict[str, Any]:
    from netloft.report.precision import is_task_row
    from netloft.speed import ONNXRUNTIME

    rows = [r for r in report.speed if (r["engine"], r["provider"]) == (ONNXRUNTIME, cell.provider)]
    keys = ("n", "threads", "p50_ms", "p50_low", "p50_high", "items_per_s", "ratio_to_eager",
            "ratio_low", "ratio_high")  # fmt: skip
    ratios = [float(row["ratio"]) for row in report.parity]
    noise = [float(row["sqnr_db"]) for row in report.parity if is_task_row(row)]
    return {
        "weights": report.model["weights"],
        "nodes": report.export["nodes"],
        "bytes": report.export["bytes"],
        "parity_rows": len(report.parity),
        "worst_ratio": _finite(max(ratios, default=math.inf)),
        "least_sqnr_db": _finite(min(noise, default=math.inf)),
        "machine": str(report.environment.get("cpu", "")),
        "not_run": "; ".join(f"{row.what}: {row.reason}" for row in report.not_run),
        **(
            {"timed_batch": rows[0]["batch"], **{key: rows[0][key] for key in keys}} if rows else {}
        ),
    }


def _finite(value: float) -> float | None:
    """Return a number to six digits; None for infinity, which JSON lacks."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
