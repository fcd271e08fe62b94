"""What planted faults show of a check, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from netloft.report.table import print_table

__all__ = ["print_mutation"]


def print_mutation(mutation: Mapping[str, Any]) -> None:
    """Print how many faults of each kind were found, and name those that were not.

    Args:
        mutation: As in `--json`.
    """
    statuses = ("planted", "caught", "missed", "no_effect")
    print_table(
        "planted faults: one at a time, in copies of the file",
        ["kind", "planted", "caught", "missed", "no effect"],
        [(row["kind"], *(row[status] for status in statuses)) for row in mutation["kinds"]],
    )
    for fault in mutation["faults"]:
        if fault["status"] != "caught":
            where = fault["module"] or fault["node"]
            click.echo(f"{fault['status']}: {fault['kind']} in {where}: {fault['what']}")
    caught, missed = mutation["caught"], mutation["missed"]
    score = "" if mutation["score"] is None else f" ({100 * mutation['score']:.3g} %)"
    click.echo(f"{caught} of {caught + missed} faults that have an effect were caught{score}")
