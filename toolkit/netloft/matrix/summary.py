"""What came of a matrix, told in four ways: to a terminal, as HTML, as JSON and as Parquet."""

from __future__ import annotations

import dataclasses
import io
import json
import typing
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft import __version__
from netloft.bundle import write_file
from netloft.defaults import JSON_FORMAT
from netloft.errors import MissingError
from netloft.matrix.result import EXIT_CODES, CellResult
from netloft.runtime.providers import NotRun

__all__ = ["FILES", "Summary", "require_pyarrow", "write_summary"]

FILES = ("summary.html", "summary.json", "summary.parquet")
"""What stands in the folder of a matrix beside its cells."""


@dataclass(frozen=True)
class Summary:
    """What came of a matrix.

    Attributes:
        cells: One result a cell, in the order of the file.
        not_run: What was not done, with the reason.
    """

    cells: tuple[CellResult, ...]
    not_run: tuple[NotRun, ...] = ()

    @property
    def exit_code(self) -> int:
        """The worst of the cells: a failed check, then a wrong input, then what is missing.

        The order is not that of the numbers. A pipeline may well go on without what is missing
        on a machine, and would then miss that a file is wrong.
        """
        return next((code for code in (1, 2, 3) if code in self._codes), 0)

    @property
    def _codes(self) -> set[int]:
        return {cell.exit_code for cell in self.cells}

    @property
    def counts(self) -> dict[str, int]:
        """How many cells ended in which way."""
        found = Counter(cell.status for cell in self.cells)
        return {status: found[status] for status in EXIT_CODES}

    @property
    def told(self) -> str:
        """The same in a sentence."""
        parts = [f"{count} {status}" for status, count in self.counts.items() if count]
        return f"{len(self.cells)} cells: {', '.join(parts)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know to trust the times."""
        note = "times are of a quick measurement: a third of a second a cell, or eight rounds"
        most = max((cell.at_once for cell in self.cells if cell.p50_ms is not None), default=1)
        if most == 1:
            return (note,)
        return (
            note,
            f"up to {most} cells ran on one machine at once, which is noise in the times; "
            "--jobs 1 --again measures them one after the other",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        names = {code: status for status, code in EXIT_CODES.items()}
        return {
            "format": JSON_FORMAT,
            "status": names[self.exit_code],
            "exit_code": self.exit_code,
            "netloft": __version__,
            "told": self.told,
            "counts": self.counts,
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
            "not_run": [row._asdict() for row in self.not_run],
            "notes": list(self.notes),
        }


def require_pyarrow() -> None:
    """Say where Parquet cannot be written, before any work.

    Raises:
        MissingError: pyarrow is not installed.
    """
    missing = _no_pyarrow()
    if missing:
        raise MissingError(f"--parquet: {missing}", remedy="pip install 'netloft[parquet]'")


def write_summary(folder: Path, cells: Sequence[CellResult]) -> Summary:
    """Write the files of a summary, each whole or not at all.

    Args:
        folder: Of the matrix.
        cells: Their results.

    Returns:
        The summary; where pyarrow is missing it says so under `not_run`.

    Raises:
        OutputError: The disk refuses.
    """
    from netloft.report.html import render

    missing = _no_pyarrow()
    html, data, parquet = (folder / name for name in FILES)
    summary = Summary(tuple(cells), (NotRun(parquet.name, missing),) if missing else ())
    if missing:
        parquet.unlink(missing_ok=True)  # of an earlier run: it would tell of other cells
    else:
        write_file(parquet, _parquet(cells))
    facts = summary.to_dict()
    write_file(data, json.dumps(facts, indent=2, allow_nan=False).encode() + b"\n")
    write_file(html, render("matrix.html.j2", summary=facts))
    return summary


def _no_pyarrow() -> str:
    """Return why Parquet cannot be written; empty where it can."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        return f"pyarrow, of the extra netloft[parquet], cannot be imported: {error}"
    return ""


def _parquet(cells: Sequence[CellResult]) -> bytes:
    """Return the cells as a table; its columns have the same types whatever is known."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = typing.get_type_hints(CellResult).items()
    fields = [
        (name, next(kinds[kind] for kind in kinds if _holds(hint, kind))) for name, hint in hints
    ]
    rows = [dataclasses.asdict(cell) for cell in cells]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), out)
    return out.getvalue()


def _holds(hint: Any, kind: type) -> bool:
    """Tell whether a type is `float`, or `float | None`."""
    return hint == kind or kind in typing.get_args(hint)
