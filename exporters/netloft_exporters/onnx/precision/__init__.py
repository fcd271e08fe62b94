"""The same graph in other element types: float16, and 8-bit integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from netloft.graph.graph import Graph
from netloft.parity.task_check import TaskResult
from netloft_exporters.onnx.check import check_model
from netloft_exporters.onnx.precision.half import halve
from netloft_exporters.onnx.precision.keeping import quantise_until

__all__ = ["write_float16", "write_int8"]

Arrays = Mapping[str, npt.NDArray[Any]]


def write_float16(source: Path, target: Path, graph: Graph, opset: int) -> int:
    """Write a float16 file and check its structure.

    Args:
        source: The float32 file of the graph.
        target: A file in a folder of our own.
        graph: What both come from.
        opset: What the file has to declare.

    Returns:
        How many nodes it has.

    Raises:
        ExportError: There is nothing to convert.
        CheckError: What was written is not right.
    """
    halve(source, target)
    return len(check_model(target, graph, opset).graph.node)


def write_int8(
    source: Path,
    target: Path,
    graph: Graph,
    opset: int,
    batches: Sequence[Arrays],
    judge: Callable[[Path], TaskResult],
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[int, TaskResult, dict[str, Any]]:
    """Write a file of 8-bit integers that passes, and check its structure.

    Args:
        source: The float32 file of the graph.
        target: A file in a folder of our own.
        graph: What both come from.
        opset: What the file has to declare.
        batches: Inputs to calibrate with.
        judge: Says how a file does.
        progress: Told what is being done.

    Returns:
        How many nodes it has, how it does, and what was done, for the report.

    Raises:
        ExportError: There is nothing to quantise.
        ParityError: No file of this graph passes.
        CheckError: What was written is not right.
    """
    settled = quantise_until(source, target, batches, judge, progress)
    header = check_model(target, graph, opset)
    runs = settled.runs
    facts = {
        "layers": settled.layers,
        "layers_in_integers": len(runs.integer),
        "layers_in_float32": list(runs.real),
        "kept": [dataclasses.asdict(layer) for layer in settled.kept],
        "rounds": settled.rounds,
        "sqnr_db_with_all_quantised": settled.before,
        "operators": dict(sorted(runs.operators.items())),
    }
    return len(header.graph.node), settled.result, facts
