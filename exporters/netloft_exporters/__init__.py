"""Exporters: graph in, checked file out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from netloft.defaults import DEFAULT_OPSET

__all__ = ["to_onnx"]


def to_onnx(
    module: nn.Module,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    path: str | Path,
    *,
    batch: str | int = "dynamic",
    opset: int = DEFAULT_OPSET,
) -> Path:
    """Write a module as an ONNX file: traced, lowered, checked and compared, with no report.

    The file is run on the CPU against the module in float64, at three batch sizes; `netloft.export`
    gives the numbers too.

    Args:
        module: In eval mode; it is not changed.
        example_inputs: Tensors in order or by name, batch first.
        path: The file; it appears whole or not at all.
        batch: `dynamic`, or the one batch size that the file takes.
        opset: ONNX operator set.

    Returns:
        The path.

    Raises:
        TraceError: The module has no faithful graph.
        ExportError: The graph cannot be written as ONNX.
        ParityError: The file computes another function; it was not kept.
        OutputError: The file cannot be written.
    """
    from netloft.errors import OutputError
    from netloft.parity.check import check_parity, require_parity
    from netloft.parity.inputs import cases, parity_batches
    from netloft.tracing import trace
    from netloft.tracing.tracer import bind_inputs
    from netloft_exporters.onnx import write_onnx

    target = Path(path)
    if not target.parent.is_dir() or target.is_dir():
        raise OutputError(f"{target} is not a file in an existing folder", remedy="make its folder")
    graph = trace(module, example_inputs, batch)
    inputs = bind_inputs(module, example_inputs)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".netloft-") as folder:
            staged = Path(folder) / target.name
            write_onnx(graph, module, inputs, staged, opset)
            made = cases(inputs, parity_batches(batch), seed=0)
            require_parity(check_parity(graph, module, staged, made, ["cpu"]))
            # the weights first: a header must never point at data that is not there yet
            for file in sorted(Path(folder).iterdir(), key=lambda p: p == staged):
                file.replace(target.parent / file.name)
    except OSError as error:
        raise OutputError(
            f"{target} could not be written: {error.strerror or error}", remedy="name another file"
        ) from error
    return target
