"""What the bench wrote earlier, read as a file that anybody may have changed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netloft.errors import InputError

__all__ = ["LARGEST", "UNREADABLE", "bounded_bytes", "checked_row", "read_rows"]

LARGEST = 1 << 28
"""Bytes of a report that are read at most."""

UNREADABLE = (
    OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
)  # fmt: skip
"""What reading JSON that somebody made up may raise."""


def bounded_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file, or is larger than `LARGEST`.
    """
    if not os.path.isfile(path) or os.path.getsize(path) > LARGEST:
        raise ValueError(f"it is no file of {LARGEST >> 20} MiB at most")
    return Path(path).read_bytes()


def checked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of a row of speed, as words and numbers.

    Raises:
        ValueError: Its interval is none; whatever else is wrong raises one of `UNREADABLE`.
    """
    words = {key: str(row.get(key, "")) for key in ("target", "engine", "provider")}
    counts = {key: int(row[key]) for key in ("batch", "threads")}
    counts["sessions"] = int(row.get("sessions", 1))  # a report of an export has none
    times = {key: float(row[key]) for key in ("p50_ms", "p50_low", "p50_high")}
    if not 0 < times["p50_low"] <= times["p50_ms"] <= times["p50_high"] < math.inf:
        raise ValueError("an interval that is none")
    return {**words, **counts, **times}


def read_rows(path: str | os.PathLike[str], cpu: str) -> list[dict[str, Any]]:
    """Read the speed rows of an earlier report.

    Args:
        path: The JSON that `netloft bench --json` printed, or a bundle's `report.json`.
        cpu: Model of this machine's, which has to be the report's.

    Raises:
        InputError: It cannot be read, has no such rows, or is of another machine or of times that
            no other run has.
    """
    remedy = "name the JSON of netloft bench, or a bundle's report.json"
    if not os.path.exists(path):
        raise InputError(f"there is no file {path}", remedy=remedy)
    try:
        facts = json.loads(bounded_bytes(path))
        rows = [checked_row(row) for row in facts["speed"]]
        before = str(facts["environment"]["cpu"])
        moved = bool(facts["environment"].get("huge_pages"))
    except UNREADABLE as error:
        raise InputError(f"{path} holds no rows of speed: {error!r}", remedy=remedy) from error
    if before != cpu:
        raise InputError(
            f"{path} was measured on {before}, and this is {cpu}",
            remedy="measure the baseline on this kind of machine",
        )
    if moved:
        raise InputError(
            f"{path} was measured with all memory on huge pages, which no limit is held on",
            remedy="measure the baseline without --huge-pages",
        )
    return rows
