"""Runs of the bench kept in a file, a line of JSON for each.

A crash, or a disk that is full, may leave a last line that was cut off. The next run begins a line
of its own and says so in it (`after_torn`), so that the piece is known for what it is: it stays in
the file, and is left out of pictures. Any other line that is no run is an error.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.errors import InputError, OutputError
from netloft.speed.rows import TargetResult
from netloft.speed.saved import LARGEST, UNREADABLE, bounded_bytes, checked_row

__all__ = ["Point", "Series", "append", "check_history", "read_series"]

_REMEDY = "name a file that netloft bench --history wrote, or one that is not there yet"
_START = '{"time"'
_TORN = "after_torn"


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


def check_history(path: Path, *, drawn: bool = False) -> str:
    """Check that a run can be added to a file, before anything is measured.

    Args:
        path: The file, which need not be there.
        drawn: Whether all of it is to be drawn then, so that each line has to be a run.

    Returns:
        What is to be told of a last line that was cut off; empty where none was.

    Raises:
        InputError: It is there, and is something else, or has a line to draw that is none.
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
    if first and drawn:
        read_series(path)
    return _told(path) if first else ""


def _begins(line: str) -> bool:
    """Tell whether a history may begin with a line, which may have been cut off."""
    try:
        run = json.loads(line)
    except (ValueError, RecursionError):
        return line.startswith(_START)
    return isinstance(run, dict) and {"time", "speed", "environment"} <= run.keys()


def _told(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(-min(os.fstat(file.fileno()).st_size, LARGEST), os.SEEK_END)
            last = file.read().rpartition(b"\n")[2]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    if not _cut_off(last.decode(errors="replace")):
        return ""
    return (
        f"the last line of {path} was cut off, as by a crash: it stays there, is left out of "
        "pictures, and the next run begins a line of its own"
    )


def _cut_off(line: str) -> bool:
    """Tell whether a line is the beginning of a run, and not the whole."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return bool(line) and (line.startswith(_START) or _START.startswith(line))
    return False


def append(path: Path, result: TargetResult) -> None:
    """Add a run to a file, which is made where there is none.

    Raises:
        InputError: It is something else.
        OutputError: It cannot be written.
    """
    check_history(path)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        # one write at the end of the file, so that two runs do not mix
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)  # Windows has no pread
            torn = size > 0 and os.read(descriptor, 1) != b"\n"
            run = {"time": now, **({_TORN: True} if torn else {}), **result.to_dict()}
            line = json.dumps(run, allow_nan=False) + "\n"
            left = ("\n" * torn + line).encode()
            while left:  # a disk that is nearly full takes a part, and then none
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            remedy="name a file in a folder that is there, on a disk that has room",
        ) from error


def read_series(path: Path) -> list[Series]:
    """Read what each contestant took over time; a last line that was cut off is left out.

    Raises:
        InputError: It cannot be read, or a line is none of the bench's.
    """
    try:
        text = bounded_bytes(path).decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    found: dict[tuple[str, str], list[Point]] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip() or (_cut_off(line) and _was_last(lines[number:])):
            continue
        try:
            for name, point in _points(json.loads(line)):
                found.setdefault((name, point.cpu), []).append(point)
        except UNREADABLE as error:
            raise InputError(
                f"line {number} of {path} is none of the bench's: {error!r}",
                remedy=f"take the line out, or {_REMEDY}",
            ) from error
    several = len({cpu for _, cpu in found}) > 1  # what two machines take is no change
    return [
        Series(f"{name}, {cpu}" if several else name, tuple(points))
        for (name, cpu), points in found.items()
    ]


def _was_last(after: Sequence[str]) -> bool:
    """Tell whether a line is the last, or was when the next one was added."""
    if not after:
        return True
    try:
        run = json.loads(after[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(run, dict) and run.get(_TORN) is True


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
