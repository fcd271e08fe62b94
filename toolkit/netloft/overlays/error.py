"""Where error starts: each value of the exported file against the same value in float64."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netloft.graph.graph import Graph
from netloft.locating import locate
from netloft.overlays.overlay import Inputs, Overlay
from netloft.parity.policy import DEFAULT_POLICY

__all__ = ["error_overlay", "errors"]


def errors(graph: Graph, inputs: Inputs | None) -> Overlay:
    """Export a graph, and measure the error of each value of the file on the CPU.

    Of each node the scaled error against float64 is held against PyTorch's own in float32, as a
    parity check does with the outputs.

    Args:
        graph: What is exported.
        inputs: By name of `forward`'s argument.

    Raises:
        ExportError: The graph cannot be written.
        CheckError: The graph has no float64 run, or a write in place cannot be expressed as a
            value.
    """
    from netloft_exporters.onnx import write_onnx

    assert inputs is not None
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        file = Path(folder) / "net.onnx"
        write_onnx(graph, graph.module, inputs, file, prove=False)
        found = locate(graph, file, inputs)
    rows = [row.__dict__ for row in found.layers]
    return error_overlay(rows, found.first, "exported file (ONNX Runtime on the CPU)")


def error_overlay(rows: Sequence[Mapping[str, Any]], first: str, of: str) -> Overlay:
    """Return the errors of layers as an overlay.

    Args:
        rows: As in the JSON of `netloft verify --layers`.
        first: The first bad operation, in words; empty for none.
        of: What the errors are of.
    """
    limit = DEFAULT_POLICY.factor
    note = (
        f"no operation is by itself further than {limit:g} times PyTorch's own error from float64"
    )
    return Overlay(
        "error",
        f"error of the {of} against float64, as a multiple of PyTorch's own; of several, the "
        "largest",
        "times",
        "max",
        {row["node"]: float(row["ratio"]) for row in rows},
        full=limit,
        notes=(
            f"the first bad operation: {first.partition(': ')[0]}" if first else note,
            "with every value an output, ONNX Runtime fuses less than it does alone",
        ),
        details={row["node"]: _detail(row) for row in rows},
    )


def _detail(row: Mapping[str, Any]) -> str:
    return (
        f"scaled error {float(row['scaled_error']):.2g}, "
        f"{float(row['ratio']):.2g} times PyTorch's own in float32; with true inputs "
        f"{float(row['own_error']):.2g}, {float(row['own_ratio']):.2g} times"
    )
