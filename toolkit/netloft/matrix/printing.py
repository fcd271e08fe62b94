"""A summary as a person reads it on a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from netloft.matrix.result import CellResult
from netloft.matrix.summary import FILES, Summary
from netloft.report.table import print_table

__all__ = ["print_matrix"]


def print_matrix(summary: Summary, folder: Path) -> None:
    """Print a row for each cell, what went wrong, and where the files are."""
    print_table(
        "matrix: worst ratio = largest error over the noise floor",
        ["model", "precision", "opset", "provider", "batch", "status", "worst ratio", "runs",
         "p50 ms", "items/s", "ratio to eager", "at once"],
        [_cells(cell) for cell in summary.cells],
    )  # fmt: skip
    for cell in summary.cells:
        if cell.error:
            click.echo(f"\n{cell.status}: {cell.id}: {cell.error}")
    click.echo()
    for row in summary.not_run:
        click.echo(f"not run: {row.what}: {row.reason}")
    for note in summary.notes:
        click.echo(f"note: {note}")
    click.echo(f"\n{summary.told}")
    missing = {row.what for row in summary.not_run}
    for name in (name for name in FILES if name not in missing):
        click.echo(f"  {folder / name}")


def _cells(cell: CellResult) -> list[object]:
    known = [cell.model, cell.precision, cell.opset, cell.provider, cell.batch, cell.status]
    measured = [
        _number(cell.worst_ratio, ".2f"),
        cell.n,
        _number(cell.p50_ms, ".3f"),
        _number(cell.items_per_s, ".1f"),
        _number(cell.ratio_to_eager, ".3f"),
        cell.at_once,
    ]
    return [*known, *measured]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
