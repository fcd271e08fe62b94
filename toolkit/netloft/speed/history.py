"""Runs of the bench kept in a file, a line of JSON for each."""

from __future__ import annotations

import datetime
import io
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.errors import InputError, OutputError
from netloft.speed.rows import TargetResult
from netloft.speed.saved import LARGEST, UNREADABLE, bounded_bytes, checked_row

__all__ = ["Point", "Series", "append", "check_history", "read_series"]

_REMEDY = "name a file that netloft bench --history wrote, or one that is not there yet"


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
        name: Target, engine, provider, batch and threads, and the CPU where the file has several.
        points: In the order of the file.
    """

    name: str
    points: tuple[Point, ...]


def check_history(path: Path) -> None:
    """Check that a run can be added to a file, before anything is measured.

    Raises:
        InputError: It is there, and is something else.
        OutputError: It cannot be made.
    """
    remedy = "name a file in a folder of yours that is there"
    try:
        there = stat.S_ISREG(os.stat(path).st_mode)
        strange = not there
    except FileNotFoundError:
        there = strange = False
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", remedy=remedy) from error
    if strange or not os.access(path if there else path.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written", remedy=remedy)
    try:
        with path.open(encoding="utf-8") if there else io.StringIO() as file:
            first = file.readline(LARGEST)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    if first and not _begins(first):
        raise InputError(f"{path} is no history, and nothing is added to it", remedy=_REMEDY)


def _begins(line: str) -> bool:
    """Tell whether a history may begin with a line, which may have been cut off."""
    try:
        run = json.loads(line)
    except (ValueError, RecursionError):
        return line.startswith('{"time"')
    return isinstance(run, dict) and {"time", "speed", "environment"} <= run.keys()


def append(path: Path, result: TargetResult) -> None:
    """Add a run to a file, which is made where there is none.

    Raises:
        InputError: It is something else.
        OutputError: It cannot be written.
    """
    check_history(path)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, **result.to_dict()}, allow_nan=False) + "\n"
    try:
        # one write at the end of the file, so that two runs do not mix
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)  # Windows has no pread
            torn = size > 0 and os.read(descriptor, 1) != b"\n"
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
    try:
        lines = bounded_bytes(path).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    found: dict[tuple[str, str], list[Point]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            for name, point in _points(json.loads(line)):
                found.setdefault((name, point.cpu), []).append(point)
        except UNREADABLE as error:
            raise InputError(
                f"line {number} of {path} is none of the bench's: {error!r}", remedy=_REMEDY
            ) from error
    several = len({cpu for _, cpu in found}) > 1  # what two machines take is no change
    return [
        Series(f"{name}, {cpu}" if several else name, tuple(points))
        for (name, cpu), points in found.items()
    ]


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
