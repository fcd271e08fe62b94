"""Exporters: graph in, checked file out."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from netloft.defaults import DEFAULT_OPSET
from netloft.tracing.axes import Axes

if TYPE_CHECKING:
    from netloft.graph.graph import Graph
    from netloft.models.loaded import LoadedModel
    from netloft.models.wrapping import Statistics
    from netloft_exporters.onnx import Written

__all__ = ["to_onnx"]


def to_onnx(
    module: nn.Module,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    path: str | Path,
    *,
    batch: str | int = "dynamic",
    opset: int = DEFAULT_OPSET,
    dynamic: Axes = MappingProxyType({}),
    passes: Sequence[str] | None = None,
    without: Sequence[str] = (),
    preprocess: str | Statistics | None = None,
    head: str | Sequence[str] = (),
    labels: str | Path | Sequence[str] | None = None,
    functions: bool = False,
    prove: bool = True,
) -> Path:
    """Write a module as an ONNX file: traced, lowered, checked and compared, with no report.

    The file is run on the CPU against the module in float64, at three batch sizes; `netloft.export`
    gives the numbers too. NaN or infinity in the weights is a warning.

    Args:
        module: In eval mode; it is not changed.
        example_inputs: Tensors in order or by name, batch first.
        path: The file; it appears whole or not at all.
        batch: `dynamic`, or the one batch size that the file takes.
        opset: ONNX operator set.
        dynamic: Other axes that stay open, such as `{"x": {2: "height", 3: "width"}}`.
        passes: Names of the passes to run, in order; None for the default ones.
        without: Names of passes to leave out.
        preprocess: As for `netloft.export`.
        head: Likewise; the network is run once to see what it gives.
        labels: Likewise.
        functions: Gather the nodes of each module call into an ONNX function.
        prove: Run the module, the graph and the file, and compare. Without it none of that is done,
            and an export takes a small part of the time: for a network that was exported before
            and whose weights alone are new. Randomness, state and whatever else tracing cannot see
            go unnoticed then. What only torch.export captures is run and compared all the same.

    Returns:
        The path.

    Raises:
        TraceError: The module has no faithful graph.
        ExportError: The graph cannot be written as ONNX.
        ParityError: The file computes another function; it was not kept.
        OutputError: The file cannot be written.
    """
    from netloft.errors import OutputError
    from netloft.garbage import collector_paused
    from netloft.models.given import of_module
    from netloft.passes import choose_passes
    from netloft.tracing import trace

    target = Path(path)
    if not target.parent.is_dir() or target.is_dir():
        raise OutputError(f"{target} is not a file in an existing folder", remedy="make its folder")
    chosen = choose_passes(passes, without)
    around: dict[str, Any] = {"preprocess": preprocess, "head": head, "labels": labels}
    model, inputs = of_module(module, example_inputs, **around, batch=batch)
    # proving copies the network, so that there the collector is needed
    with contextlib.nullcontext() if prove else collector_paused():
        graph = trace(model.module, inputs, batch, name=model.name, prove=prove, dynamic=dynamic)
        options = {"opset": opset, "passes": chosen, "functions": functions, "prove": prove}
        written = _placed(graph, model, inputs, target, options)
    for note in written.notes:
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return target


def _placed(
    graph: Graph,
    model: LoadedModel,
    inputs: Mapping[str, torch.Tensor],
    target: Path,
    options: Mapping[str, Any],
) -> Written:
    """Write a file beside its place, prove it if asked to, and put it there."""
    from netloft.errors import OutputError
    from netloft_exporters.onnx import write_onnx

    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".netloft-") as folder:
            staged = Path(folder) / target.name
            written = write_onnx(
                graph, model.module, inputs, staged, metadata=model.metadata, **options
            )
            if options["prove"]:
                _prove(graph, model, inputs, staged)
            # the weights first: a header must never point at data that is not there yet
            for file in sorted(Path(folder).iterdir(), key=lambda p: p == staged):
                file.replace(target.parent / file.name)
    except OSError as error:
        raise OutputError(
            f"{target} could not be written: {error.strerror or error}", remedy="name another file"
        ) from error
    return written


def _prove(
    graph: Graph, model: LoadedModel, inputs: Mapping[str, torch.Tensor], file: Path
) -> None:
    from netloft.locating.failing import require_located
    from netloft.models.domain import domain_inputs
    from netloft.parity.check import certify
    from netloft.parity.inputs import cases_of

    # bytes are pictures; numbers of the caller's own are what the caller says that they are
    real = (lambda batch, seed: domain_inputs(model, batch, seed)) if model.inside else None
    made = cases_of(graph, inputs, 0, real)
    parity, expected = certify(graph, model.module, file, made, ["cpu"])
    require_located(parity, expected, file, ["cpu"])
