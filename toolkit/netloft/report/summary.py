"""A report as a person reads it on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from netloft.report.precision import is_task_row, print_precision, print_task_parity
from netloft.report.table import print_table

__all__ = ["print_layers", "print_parity", "print_speed", "print_summary"]


def print_summary(folder: Path, report: Mapping[str, Any]) -> None:
    """Print where the files are, the model's facts and the parity and speed tables."""
    model, export = report["model"], report["export"]
    unused = f", {model['unused_parameters']:,} unused" if model["unused_parameters"] else ""
    click.echo(f"{model['name']}: {model['parameters']:,} parameters{unused}, "
               f"{model['multiply_adds']:,} multiply-adds for one item")  # fmt: skip
    click.echo(f"weights: {model['weights']}")
    if model["capture"] != "torch.fx":
        click.echo(f"traced by {model['capture']}")
    for module in model["dead_modules"]:
        click.echo(f"never called: {module['path']} ({module['class']}, "
                   f"{module['parameters']:,} parameters)")  # fmt: skip
    for effect in model["side_effects"]:
        click.echo(f"side effect, not in the file: {effect['what']} at {effect['source']}")
    click.echo(f"opset {export['opset']}, {export['nodes']} nodes, "
               f"{export['bytes']:,} bytes, lowered by {export['route']}\n")  # fmt: skip
    print_parity(report["parity"])
    print_speed(report["speed"])
    for complaint in report["environment"]["conditions"]["complaints"]:
        click.echo(f"the machine was not quiet: {complaint}")
    if report["precision"]:
        print_precision(report["precision"])
    for row in report["not_run"]:
        click.echo(f"not run: {row['what']}: {row['reason']}")
    for note in report["notes"]:
        click.echo(f"note: {note}")
    click.echo(f"\n{report['status']}: {folder}")
    for name, what in _FILES.items():
        click.echo(f"  {folder / name}  {what}")


_FILES = {
    "model.onnx": "the checked network",
    "diagram.svg": "its structure",
    "diagram.html": "the same, to explore",
    "report.html": "every number, for people",
    "report.json": "every number, for programs",
    "manifest.json": "versions, tolerances and SHA-256 of every file",
    "test_data_set_0": "inputs and outputs to verify with",
}


def print_parity(
    rows: Iterable[Mapping[str, Any]], reference: str = "the module in float64"
) -> None:
    """Print the parity table.

    Args:
        rows: As in `report.json`.
        reference: What the errors are against.
    """
    rows = list(rows)
    by_task = [row for row in rows if is_task_row(row)]
    if by_task:
        print_task_parity(by_task, reference.replace("float64", "float32"))
        rows = [row for row in rows if not is_task_row(row)]
        if not rows:
            return
    columns = ["provider", "batch", "input", "output", "max abs", "max rel", "noise floor",
               "ratio", "tolerance", "status"]  # fmt: skip
    print_table(
        f"parity: errors against {reference}; ratio = scaled error over the noise floor",
        columns,
        [
            (
                row["provider"],
                row["batch"],
                row["input"].partition(",")[0],
                row["output"],
                _scientific(row["max_abs"]),
                _scientific(row["max_rel"]),
                _scientific(row["noise_floor"]),
                f"{float(row['ratio']):.2f}",
                _scientific(row["tolerance"]),
                row["status"],
            )
            for row in rows
        ],
    )
    click.echo()


def print_layers(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the values inside the network, in the order of the graph.

    Args:
        rows: As in the JSON of `netloft verify --layers`.
    """
    columns = ["layer", "operation", "source", "error", "ratio", "own error", "own ratio", "status"]
    print_table(
        "layers: own = with true inputs; ratio = scaled error over PyTorch's own in float32",
        columns,
        [
            (
                row["module"] or row["node"],
                row["op"],
                row["source"],
                _scientific(row["scaled_error"]),
                f"{float(row['ratio']):.2f}",
                _scientific(row["own_error"]),
                f"{float(row['own_ratio']):.2f}",
                row["status"],
            )
            for row in rows
        ],
    )
    click.echo()


def _scientific(value: float | str) -> str:
    return f"{float(value):.1e}"


def print_speed(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the speed table."""
    columns = ["engine", "provider", "batch", "threads", "runs", "p50 ms", "p95 ms", "items/s",
               "ratio to eager", "99 % interval"]  # fmt: skip
    print_table(
        "speed: ratio = time over PyTorch eager's, below 1 is faster",
        columns,
        [
            (
                row["engine"],
                row["provider"],
                row["batch"],
                row["threads"],
                row["n"],
                _milliseconds(row["p50_ms"]),
                _milliseconds(row["p95_ms"]),
                f"{row['items_per_s']:.1f}",
                _ratio(row["ratio_to_eager"]),
                " to ".join(filter(None, map(_ratio, (row["ratio_low"], row["ratio_high"])))),
            )
            for row in rows
        ],
    )
    click.echo()


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"
