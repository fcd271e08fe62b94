"""Where error starts: each value of the exported file against the same value in float64."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from netloft.errors import CheckError, first_line
from netloft.graph.graph import Graph, annotation
from netloft.overlays.overlay import Inputs, Overlay
from netloft.parity.compare import measure
from netloft.parity.policy import DEFAULT_POLICY
from netloft.passes.wide import WideInterpreter, widened
from netloft.runtime.providers import start_session
from netloft.tracing.faithful import silent

__all__ = ["errors"]

Arrays = dict[str, npt.NDArray[Any]]


def errors(graph: Graph, inputs: Inputs | None) -> Overlay:
    """Measure the error of each value of the exported file on the CPU.

    Of each node the scaled error against float64 is held against PyTorch's own in float32, as a
    parity check does with the outputs.

    Args:
        graph: What is exported.
        inputs: By name of `forward`'s argument.

    Raises:
        ExportError: The values of the file cannot be told apart.
        CheckError: The graph has no float64 run.
    """
    from netloft_exporters.onnx.watched import write_watched

    assert inputs is not None
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        file = Path(folder) / "watched.onnx"
        watched = write_watched(graph, file)
        actual = _run_file(file, graph, inputs, watched.outputs)
    wanted = frozenset(watched.outputs)
    with torch.inference_mode(), silent():
        single = _Kept(watched.graph.module, wanted)
        single.run(*(tensor.clone() for tensor in inputs.values()))
        double = _Compared(watched.graph.module, actual, single.kept)
        try:
            double.run(*(widened(tensor.clone()) for tensor in inputs.values()))
        except (RuntimeError, TypeError) as error:
            raise CheckError(
                f"the network does not run in float64: {first_line(error)}",
                remedy="netloft verify compares the outputs in float32",
            ) from error
    return _overlay(graph, double.ratios, double.details)


def _run_file(
    file: Path, graph: Graph, inputs: Inputs, outputs: Mapping[str, str]
) -> dict[str, npt.NDArray[Any]]:
    """Return what the file gives, by the node of the graph."""
    session = start_session(file)
    names = list(dict.fromkeys(outputs.values()))
    feeds = {
        value.name: np.asarray(tensor.numpy(), order="C")
        for value, tensor in zip(graph.inputs, inputs.values(), strict=True)
    }
    given = dict(zip(names, session.run(names, feeds), strict=True))
    return {node: given[name] for node, name in outputs.items()}


class _Kept(fx.Interpreter):
    """Run a graph and keep what some of its nodes give."""

    def __init__(self, module: fx.GraphModule, wanted: frozenset[str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.kept: Arrays = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._wanted:
            self.kept[n.name] = result.numpy().copy()
        return result


class _Compared(WideInterpreter):
    """Run a graph in float64 and hold against each value what the others gave for it."""

    def __init__(self, module: fx.GraphModule, actual: Arrays, single: Arrays) -> None:
        super().__init__(module)
        self._actual, self._single = actual, single
        self.ratios: dict[str, float] = {}
        self.details: dict[str, str] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._actual:
            self._compare(n.name, result.numpy())
        return result

    def _compare(self, name: str, expected: npt.NDArray[Any]) -> None:
        mine, theirs = self._actual.pop(name), self._single.pop(name)
        own = measure(theirs, expected, nonfinite_like=theirs).scaled
        error = measure(mine, expected, nonfinite_like=theirs).scaled
        self.ratios[name] = error / DEFAULT_POLICY.floor(own, [own], theirs.dtype.name)
        self.details[name] = f"scaled error {error:.2g}, PyTorch's own in float32 {own:.2g}"


def _overlay(graph: Graph, ratios: Mapping[str, float], details: Mapping[str, str]) -> Overlay:
    limit = DEFAULT_POLICY.factor
    beyond = next((name for name, ratio in ratios.items() if not ratio <= limit), None)
    note = f"no value is further than {limit:g} times PyTorch's own error from float64"
    if beyond is not None:
        note = f"the first value beyond {limit:g} times PyTorch's own error: %{beyond}"
        known = {node.name: annotation(node) for node, _ in graph}
        if beyond in known and known[beyond].module:
            note += f" in {known[beyond].module}"
    return Overlay(
        "error",
        "error of the exported file (ONNX Runtime on the CPU) against float64, as a multiple of "
        "PyTorch's own; of several, the largest",
        "times",
        "max",
        ratios,
        full=limit,
        notes=(note, "with every value an output, ONNX Runtime fuses less than it does alone"),
        details=details,
    )
