"""What is known of a cell, on disk: its result, and how often it was begun."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "ATTEMPTS",
    "EXIT_CODES",
    "LOCK",
    "CellResult",
    "count_start",
    "forget",
    "killed",
    "read_result",
    "starts",
    "write_result",
]

ATTEMPTS = 3
"""How often a cell is begun whose process is killed."""

LOCK = ".netloft-lock"
"""File in the folder of a matrix that is being run."""

EXIT_CODES: Mapping[str, int] = {"pass": 0, "fail": 1, "error": 2, "missing": 3}
"""Of each status, as of every verb."""


@dataclass(frozen=True)
class CellResult:
    """A cell's row in the summary.

    Attributes:
        id: Name of its folder.
        model: Short name of the model.
        spec: MODEL as the file names it.
        arguments: For the constructor, as JSON.
        precision: `fp32`, `fp16` or `int8`.
        opset: ONNX operator set.
        provider: Where it was to run.
        batch: `dynamic`, or the one batch size.
        seed: Of random weights and inputs.
        status: `pass`; `fail` of a check, `error` of a wrong input, `missing` of what is not here.
        error: What went wrong; empty for nothing.
        settled: It would end in the same way again, and is not done again.
        bundle: Its folder, below that of the matrix; empty where there is none.
        weights: Where they came from.
        nodes: Of the file.
        bytes: Of the file.
        parity_rows: Comparisons that were made.
        worst_ratio: Largest error over the noise floor.
        least_sqnr_db: Smallest signal to noise of an int8 file, in dB; None where no error is.
        timed_batch: Items in one run of those that were timed.
        n: Number of samples.
        threads: For one operation.
        p50_ms: Median wall time of a run in ONNX Runtime, in milliseconds.
        p50_low: Lower end of its 99 % interval.
        p50_high: Upper end.
        items_per_s: Batch over median.
        ratio_to_eager: Time over PyTorch eager's.
        ratio_low: Lower end of its 99 % interval.
        ratio_high: Upper end.
        at_once: How many cells ran on that machine at once.
        machine: Its CPU.
        seconds: That the cell took.
        not_run: What its export left out, with the reasons.
        traceback: Of a mistake that is not the user's.
    """

    id: str
    model: str
    spec: str
    arguments: str
    precision: str
    opset: int
    provider: str
    batch: str
    seed: int
    status: str
    error: str = ""
    settled: bool = False
    bundle: str = ""
    weights: str = ""
    nodes: int | None = None
    bytes: int | None = None
    parity_rows: int | None = None
    worst_ratio: float | None = None
    least_sqnr_db: float | None = None
    timed_batch: int | None = None
    n: int | None = None
    threads: int | None = None
    p50_ms: float | None = None
    p50_low: float | None = None
    p50_high: float | None = None
    items_per_s: float | None = None
    ratio_to_eager: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    at_once: int = 1
    machine: str = ""
    seconds: float = 0.0
    not_run: str = ""
    traceback: str = ""

    @property
    def exit_code(self) -> int:
        """What the cell means for the whole."""
        return EXIT_CODES[self.status]

    def __str__(self) -> str:
        words = self.model, self.precision, f"opset {self.opset}", self.provider, self.batch
        return f"{self.status}: {' '.join(words)}"


def killed(row: Mapping[str, Any], at_once: int) -> CellResult:
    """Return the result of a cell whose process does not live."""
    told = (
        f"its process was killed, {ATTEMPTS} times\n"
        "  remedy: look for what ends processes here, such as too little memory, and run it again"
    )
    return CellResult(**row, status="fail", error=told, at_once=at_once)


def read_result(folder: Path, cell: str) -> CellResult | None:
    """Return what was written of a cell; None where it is to be done.

    Args:
        folder: Of the matrix.
        cell: The cell's id.
    """
    place = folder / "cells" / cell
    try:
        result = CellResult(**json.loads((place / "result.json").read_bytes()))
    except (OSError, ValueError, TypeError):  # none, cut off, or of another version
        return None
    lost = result.status == "pass" and not (folder / result.bundle / "manifest.json").is_file()
    return result if result.settled and result.id == cell and not lost else None


def write_result(folder: Path, result: CellResult) -> None:
    """Write a result whole or not at all.

    Raises:
        OutputError: The disk refuses.
    """
    from netloft.bundle import write_file

    facts = json.dumps(dataclasses.asdict(result), indent=2, allow_nan=False)
    write_file(folder / "cells" / result.id / "result.json", facts.encode() + b"\n")
    _starts(folder, result.id).unlink(missing_ok=True)


def count_start(folder: Path, cell: str) -> None:
    """Note that a cell is begun; who dies of it cannot say so afterwards."""
    place = _starts(folder, cell)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as file:
        file.write(".")


def starts(folder: Path, cell: str) -> int:
    """Return how often a cell was begun and not ended."""
    try:
        return _starts(folder, cell).stat().st_size
    except FileNotFoundError:
        return 0


def forget(folder: Path, cell: str) -> None:
    """Let a cell be done again; its bundle stays until there is a new one."""
    (folder / "cells" / cell / "result.json").unlink(missing_ok=True)
    _starts(folder, cell).unlink(missing_ok=True)


def _starts(folder: Path, cell: str) -> Path:
    return folder / "cells" / cell / "starts"
