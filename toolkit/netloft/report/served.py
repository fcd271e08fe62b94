"""What a served model was found to be, as a person reads it on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netloft.report.summary import print_parity
from netloft.report.table import print_table

if TYPE_CHECKING:
    from netloft.serving import LoadRow, Served

__all__ = ["print_served"]


def print_served(found: Served) -> None:
    """Print the checks, the parity rows and the load table."""
    for check in found.checks:
        click.echo(check)
    print_parity(found.parity, "the module's stored results")
    if found.load:
        columns = ["clients", "batch", "requests", "errors", "wrong", "p50 ms", "p95 ms", "p99 ms",
                   "items/s"]  # fmt: skip
        print_table("load: each client asks again as soon as it has its answer", columns,
                    [_cells(row) for row in found.load])  # fmt: skip
        click.echo()
    for problem in dict.fromkeys(row.problem for row in found.load if row.problem):
        click.echo(f"error under load: {problem}")
    for note in found.notes:
        click.echo(f"note: {note}")
    click.echo(f"{found.status}: {found.model} at {found.url}")


def _cells(row: LoadRow) -> tuple[object, ...]:
    times = (row.p50_ms, row.p95_ms, row.p99_ms)
    return (
        row.concurrency,
        row.batch,
        row.requests,
        row.errors,
        row.wrong,
        *("-" if time_ms is None else f"{time_ms:.2f}" for time_ms in times),
        f"{row.items_per_s:.1f}",
    )
