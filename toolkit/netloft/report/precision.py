"""A file in another precision as a person reads it: how good, how small, how fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from netloft.report.table import print_table

__all__ = ["facts_of", "is_task_row", "print_precision", "print_task_parity"]


def is_task_row(row: Mapping[str, Any]) -> bool:
    """Tell whether a parity row is judged by signal to noise."""
    return row.get("sqnr_db") is not None


def print_task_parity(rows: Iterable[Mapping[str, Any]], reference: str) -> None:
    """Print the parity rows that are judged by the task.

    Args:
        rows: As in `report.json`.
        reference: What the errors are against.
    """
    print_table(
        f"parity: against {reference}; SQNR = signal over the noise of rounding",
        ["provider", "batch", "inputs", "input", "output", "SQNR dB", "needed", "same first class",
         "needed", "status"],
        [
            (
                row["provider"], row["batch"], row["inputs"], row["input"].partition(",")[0],
                row["output"], f"{float(row['sqnr_db']):.1f}", _needed(row),
                _share(row["agreement"]), _share(row["min_agreement"]),
                row["status"],
            )
            for row in rows
        ],
    )  # fmt: skip
    click.echo()


def _needed(row: Mapping[str, Any]) -> str:
    from netloft.parity.task_level import sqnr_db

    return f"{sqnr_db(float(row['tolerance'])):.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def print_precision(facts: Mapping[str, Any]) -> None:
    """Print what a file is beside the float32 file of the same graph."""
    for name, told in facts_of(facts):
        click.echo(f"{name}: {told}")
    click.echo()
    for layer in facts.get("kept", ()):
        click.echo(f"kept in float32: {layer['module']}: {layer['why']}")


def facts_of(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is to be told of a file beside the float32 file, as names and sentences."""
    precision = facts["precision"]
    rows = [
        (f"{precision} size", f"{facts['size_ratio']:.3f} of fp32's, {facts['bytes']:,} bytes "
         f"instead of {facts['fp32_bytes']:,}"),
        ("fp32 before it", f"{facts['fp32_comparisons']} comparisons with the module in float64 "
         f"pass, the worst at {float(facts['fp32_worst_ratio']):.2f} times the noise floor"),
    ]  # fmt: skip
    for row in facts["speed"]:
        if row["ratio_to_first"] is not None and row["verdict"]:
            rows.append((
                f"{precision} speed on {row['provider']} at batch {row['batch']}",
                f"{row['ratio_to_first']:.3f} of fp32's time, 99 % interval {row['ratio_low']:.3f} "
                f"to {row['ratio_high']:.3f}: {row['verdict']}",
            ))  # fmt: skip
    if "layers" in facts:
        rows += [
            ("layers", f"{facts['layers_in_integers']} of {facts['layers']} run on integers, "
             f"{len(facts['kept'])} kept in float32"),
            ("calibrated on", facts["calibration"]),
        ]  # fmt: skip
    return rows
