"""Session options that were measured to be best on some machine, and kept in the manifest."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from netloft.runtime.devices import cpu_model
from netloft.runtime.providers import process_cpus

__all__ = ["MODEL", "TunedRow", "machine", "problem_of", "row_for", "rows_of", "tuned_files"]

MODEL = "model.onnx"
"""The file that every bundle has."""

_FILE = re.compile(r"model\.onnx|variants/[0-9a-f]{12}\.onnx")


@dataclass(frozen=True)
class TunedRow:
    """What is best on one kind of machine for one batch.

    Attributes:
        cpu: Model of its processors.
        cpus: That the process had.
        onnxruntime: Version that was measured.
        provider: Such as `cpu`.
        batch: Items in a run.
        threads: For one operation.
        spinning: Whether idle threads wait in a loop within a run; between runs they sleep.
        file: What runs: the bundle's model, or another file of it that gives the same.
        p50_ms: Median time of a run with these.
        ratio: Its time over that with ONNX Runtime's own choice, round by round.
        ratio_low: Lower end of its interval.
        ratio_high: Upper end.
    """

    cpu: str
    cpus: int
    onnxruntime: str
    provider: str
    batch: int
    threads: int
    spinning: bool
    file: str
    p50_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float

    @property
    def place(self) -> tuple[object, ...]:
        """What a bundle keeps one row for."""
        return self.cpu, self.cpus, self.onnxruntime, self.provider, self.batch

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        return asdict(self)


_KINDS = {
    "cpu": str, "cpus": int, "onnxruntime": str, "provider": str, "batch": int, "threads": int,
    "spinning": bool, "file": str, "p50_ms": float, "ratio": float, "ratio_low": float,
    "ratio_high": float,
}  # fmt: skip


def problem_of(tuning: object, files: Collection[str]) -> str:
    """Return what is wrong with the rows of a manifest; empty where nothing is.

    Args:
        tuning: The rows.
        files: Names that the manifest lists.
    """
    if not isinstance(tuning, list) or not all(map(_is_row, tuning)):
        return "has tuned options that are none"
    given = [row["file"] for row in tuning]
    strange = [name for name in given if name not in files or not _FILE.fullmatch(name)]
    return f"has tuned options of {strange[0]!r}, which is no file of its own" if strange else ""


def _is_row(row: object) -> bool:
    if not isinstance(row, dict) or row.keys() != _KINDS.keys():
        return False
    for key, kind in _KINDS.items():
        value = row[key]
        if not isinstance(value, kind) and not (kind is float and type(value) is int):
            return False
        if isinstance(value, bool) != (kind is bool):
            return False
    return bool(1 <= row["threads"] <= row["cpus"] and row["batch"] >= 1)


def rows_of(manifest: Mapping[str, Any]) -> list[TunedRow]:
    """Return the rows of a manifest that was checked."""
    return [TunedRow(**row) for row in manifest.get("tuning", ())]


def machine() -> tuple[str, int, str]:
    """Return what a row is for: the CPU's model, the CPUs here, and ONNX Runtime's version."""
    import onnxruntime

    return cpu_model(), process_cpus(), str(onnxruntime.__version__)


def tuned_files(rows: Sequence[TunedRow]) -> dict[str, tuple[str, ...]]:
    """Return the files that stand in for the model, each with the providers that run it."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.file != MODEL:
            found.setdefault(row.file, set()).add(row.provider)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def row_for(rows: Sequence[TunedRow], provider: str, batch: int) -> TunedRow | None:
    """Return the row that fits this machine; of several the one of the nearest batch."""
    if not rows:
        return None
    here = *machine(), provider
    fitting = [row for row in rows if row.place[:-1] == here]
    return min(fitting, key=lambda row: (abs(row.batch - batch), row.batch), default=None)
