"""float16 and int8 files beside the float32 file of the same graph: quality, size and speed.

    python benchmarks/precision.py [MODEL …]

Prints the table of docs/precision.md. Each row is one export, so each is of a file that passed;
an export that is refused is a row with the reason.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netloft.errors import NetloftError
from netloft.exporting import ExportOptions, export_model
from netloft.models import load_model
from netloft.models.loaded import LoadedModel

TRAINED = "examples/efficientnet_lite0.py:EfficientNetLite0"
MODELS = (TRAINED, "myresnet", "resnet18", "alphago", "mobilenet_v2")
COLUMNS = (
    "model", "precision", "least SQNR", "same first class", "of", "needed", "layers in float32",
    "size", "time at batch 1", "time at batch 8",
)  # fmt: skip


def trained_weights() -> str:
    """Return the weights file of the one trained network; see its example."""
    return subprocess.check_output([sys.executable, TRAINED.partition(":")[0]], text=True).strip()


def row(model: LoadedModel, precision: str) -> Sequence[str]:
    """Export once and return a row of the table."""
    options = ExportOptions(precision=precision, providers=("cpu",))
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = export_model(model, Path(folder) / model.name, options).report.to_dict()
    except NetloftError as error:
        return (model.name, precision, error.problem, *[""] * (len(COLUMNS) - 3))
    return (model.name, precision, *quality(report["parity"]), *beside(report["precision"]))


def quality(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str, str]:
    """Return signal to noise and agreement; in front of a softmax, where there is one."""
    judged = [row for row in rows if row["sqnr_db"] is not None]
    heads = [row for row in judged if "before" in row["output"]]
    chosen = [row for row in heads or judged if row["min_agreement"] is not None]
    inputs = sum(row["inputs"] for row in chosen)
    same = sum(row["inputs"] * row["agreement"] for row in chosen) / inputs
    most = max(chosen, key=lambda row: row["inputs"])
    least = min(float(row["sqnr_db"]) for row in judged)
    return f"{least:.1f} dB", f"{same:.1%}", str(inputs), f"{most['min_agreement']:.1%}"


def beside(facts: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return what stayed in float32, and size and times as ratios to the float32 file's."""
    kept = f"{len(facts['kept'])} of {facts['layers']}" if "kept" in facts else ""
    other = [row for row in facts["speed"] if row["ratio_to_first"] not in (None, 1.0)]
    times = {
        row["batch"]: f"{row['ratio_to_first']:.2f} ({row['ratio_low']:.2f} to "
        f"{row['ratio_high']:.2f})"
        for row in other
    }
    return kept, f"{facts['size_ratio']:.3f}", times.get(1, ""), times.get(8, "")


def main(names: Sequence[str]) -> None:
    """Print the table."""
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for name in names:
        model = load_model(name, weights=trained_weights() if name == TRAINED else None)
        for precision in ("fp16", "int8"):
            print("| " + " | ".join(row(model, precision)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or MODELS)
