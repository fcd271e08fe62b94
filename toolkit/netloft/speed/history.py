"""Runs of the bench kept in a file, a line of JSON for each."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.errors import InputError, OutputError
from netloft.speed.rows import TargetResult
from netloft.speed.saved import UNREADABLE, bounded_bytes, checked_row

__all__ = ["Point", "Series", "append", "read_series"]


@dataclass(frozen=True)
class Point:
    """One run.

    Attributes:
        time: When it ended, as ISO 8601 in UTC.
        p50_ms: Median time.
        low: Lower end of its interval.
        high: Upper end.
        cpu: Model of the machine's processors.
    """

    time: str
    p50_ms: float
    low: float
    high: float
    cpu: str


@dataclass(frozen=True)
class Series:
    """The runs of one contestant.

    Attributes:
        name: Target, engine, provider, batch and threads.
        points: In the order of the file.
    """

    name: str
    points: tuple[Point, ...]


def append(path: Path, result: TargetResult) -> None:
    """Add a run to a file, which is made where there is none.

    Raises:
        OutputError: It cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, **result.to_dict()}, allow_nan=False) + "\n"
    try:
        # one write at the end of the file, so that two runs do not mix
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, ("\n" * torn + line).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            remedy="name a file in a folder that is there",
        ) from error


def read_series(path: Path) -> list[Series]:
    """Read what each contestant took over time.

    Raises:
        InputError: It cannot be read, or a line is none of the bench's.
    """
    remedy = "name a file that netloft bench --history wrote"
    try:
        lines = bounded_bytes(path).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=remedy) from error
    found: dict[str, list[Point]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            for name, point in _points(json.loads(line)):
                found.setdefault(name, []).append(point)
        except UNREADABLE as error:
            raise InputError(
                f"line {number} of {path} is none of the bench's: {error!r}", remedy=remedy
            ) from error
    return [Series(name, tuple(points)) for name, points in found.items()]


def _points(run: Mapping[str, Any]) -> list[tuple[str, Point]]:
    time, cpu = str(run["time"]), str(run["environment"]["cpu"])
    rows = [checked_row(row) for row in run["speed"]]
    return [
        (_name(row), Point(time, row["p50_ms"], row["p50_low"], row["p50_high"], cpu))
        for row in rows
    ]


def _name(row: Mapping[str, Any]) -> str:
    threads = row["threads"]
    where = f"{row['provider']}, batch {row['batch']}, {threads} thread{'s' * (threads != 1)}"
    return f"{row['target']} in {row['engine']}: {where}"
