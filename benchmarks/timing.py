"""What the benchmarks that take hours share: rows in a file that is added to, and times as rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netloft.speed.measure import Samples, ratio_between
from netloft.speed.stats import median, verdict

__all__ = ["Row", "add_rows", "rows_of", "timed"]

Row = dict[str, Any]


def rows_of(file: Path) -> list[Row]:
    """Return what was measured so far."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def add_rows(file: Path, module: str, arguments: Sequence[str], what: str) -> bool:
    """Measure in a process of its own, and add what it prints if it comes to its end.

    Args:
        file: JSON lines.
        module: What to run, such as `benchmarks.maps`.
        arguments: For it.
        what: That is, in words.

    Returns:
        Whether it did.
    """
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    rows = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    print(f"{what}: {len(rows)} rows", file=sys.stderr, flush=True)
    if ended.returncode == 0:
        with file.open("a", encoding="utf-8") as log:
            log.writelines(f"{row}\n" for row in rows)
    return ended.returncode == 0


def timed(taken: Samples, first: Samples) -> Row:
    """Return times beside those of the first, measured in the same rounds."""
    ratio = ratio_between(taken, first)
    return {
        "n": len(taken.wall_ns),
        "p50_ms": round(median(taken.wall_ns) / 1e6, 4),
        "ratio": round(ratio.value, 4),
        "low": round(ratio.low, 4),
        "high": round(ratio.high, 4),
        "verdict": verdict(ratio.low, ratio.high),
    }
