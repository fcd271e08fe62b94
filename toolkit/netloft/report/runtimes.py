"""What the settings of a runtime do to a file, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from netloft.report.table import print_table

__all__ = ["print_runtimes"]


def print_runtimes(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the worst that each setting does to each output.

    Args:
        rows: As in the JSON of `netloft verify --runtimes`.
    """
    rows = list(rows)
    print_table(
        "settings of ONNX Runtime: worst over all inputs; same bits as under the usual setting, "
        "whose row is the first",
        ["provider", "varied", "setting", "arithmetic", "output", "same bits", "max diff", "ratio",
         "status"],
        [
            (
                row["provider"],
                row["varied"],
                row["setting"],
                row["precision"],
                row["output"],
                {None: "", True: "yes", False: "no"}[row["bitwise"]],
                "" if row["bitwise"] is None else f"{float(row['max_diff']):.1e}",
                f"{float(row['ratio']):.2f}",
                row["status"],
            )
            for row in rows
        ],
    )  # fmt: skip
    for row in rows:
        if row["reason"]:
            click.echo(f"{row['provider']}, {row['varied']} {row['setting']}: {row['reason']}")
    click.echo()
