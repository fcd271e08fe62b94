"""What the source module gives: in float64, the reference, and in float32, whose error is noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netloft.errors import first_line
from netloft.graph.graph import Graph
from netloft.parity.inputs import Case
from netloft.parity.taps import Tap, tapped_module
from netloft.parity.term_by_term import LANES, TermByTerm
from netloft.parity.widened import Reread, Widened, widened
from netloft.tracing.clone import detached_copy
from netloft.tracing.faithful import flatten_outputs, silent
from netloft.tracing.nesting import room_for

__all__ = ["ROUNDED_RUNS", "Reference", "ReferenceRun", "Referring", "Refers", "moved"]

Arrays = dict[str, npt.NDArray[Any]]

ROUNDED_RUNS = 5
"""Runs that show how far PyTorch's own error spreads, where one run is not enough."""


class Referring(Protocol):
    """What gives the results that a file should give."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    @property
    def float64_missing(self) -> str:
        """Why it has no float64 run, so that float32 is the reference; else empty."""

    def run(self, case: Case) -> ReferenceRun:
        """Run it in float32 and in float64."""

    def rounded_runs(self, case: Case) -> list[Arrays]:
        """Run it in float32 on inputs that differ from the case's by one rounding."""

    def summed_runs(self, case: Case) -> list[Arrays]:
        """Run it in float32 with sums added term by term, where that can be had."""

    def ranked(self, case: Case, node: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return what a node of the graph gives, in float32 and in float64."""


Refers = Callable[[nn.Module, Graph, Sequence[Tap]], Referring]
"""Takes a module, its graph and what is to be returned besides the outputs."""


@dataclass(frozen=True)
class ReferenceRun:
    """Outputs of the source module, tapped values among them, by name."""

    float32: Arrays
    float64: Arrays


class Reference:
    """Run a module in float32 and float64 on the same inputs.

    Where the module has no float64 run (it fixes a dtype inside), `float64_missing` says why, and
    float32 stands in for the reference.
    """

    name = "the module"

    def __init__(self, module: nn.Module, graph: Graph, taps: Sequence[Tap] = ()) -> None:
        self._graph = graph
        with room_for(module):
            self._module = detached_copy(module)
        self._taps = tapped_module(graph, {tap.name: tap.node for tap in taps}) if taps else None
        self._both = tuple(m for m in (self._module, self._taps) if m is not None)
        self._float64 = Widened(*self._both)
        self.float64_missing = ""

    def run(self, case: Case) -> ReferenceRun:
        """Run both; the case's tensors are not changed."""
        single = self.single(case)
        double = single
        if not self.float64_missing:
            inputs = {name: widened(t) for name, t in case.inputs.items()}
            try:
                double = self._outputs(inputs, self._float64)
            except (RuntimeError, TypeError) as error:
                self.float64_missing = first_line(error)
        return ReferenceRun(single, double)

    def single(self, case: Case) -> Arrays:
        """Run in float32 alone."""
        return self._outputs(case.inputs, self._arithmetic(*self._both))

    def _arithmetic(self, *modules: nn.Module) -> AbstractContextManager[Any]:
        """Return what is active while modules run whose error is the noise."""
        return nullcontext()

    def rounded_runs(self, case: Case) -> list[Arrays]:
        """Run in float32 on inputs that differ from the case's by one rounding.

        Where no input is a real number (pixels, words), or all are 0, the weights differ by one.
        """
        real = any(t.dtype.is_floating_point and bool(t.any()) for t in case.inputs.values())
        return self._moved_runs(case, weights=not real)

    def reread_runs(self, case: Case) -> list[Arrays]:
        """Run in float32 with inputs and weights one rounding away: each layer rounds anew."""
        return self._moved_runs(case, weights=True)

    def _moved_runs(self, case: Case, *, weights: bool) -> list[Arrays]:
        generator = torch.Generator().manual_seed(0)
        runs = []
        for _ in range(ROUNDED_RUNS):
            inputs = {name: moved(t, t.dtype, generator) for name, t in case.inputs.items()}
            reread = Reread(lambda t: moved(t, t.dtype, generator), *self._both)
            runs.append(self._outputs(inputs, reread if weights else nullcontext()))
        return runs

    def summed_runs(self, case: Case) -> list[Arrays]:
        """Run in float32 with long sums added term by term, as a runtime may."""
        return [self._outputs(case.inputs, TermByTerm(lanes)) for lanes in LANES]

    def ranked(self, case: Case, node: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return what a node of the graph gives, in float32 and in float64."""
        module = tapped_module(self._graph, {node: node})
        wide = nullcontext() if self.float64_missing else Widened(module)
        inputs = case.inputs.values()
        with torch.inference_mode(), silent():
            with self._arithmetic(module):
                single = module(*(tensor.clone() for tensor in inputs))[node]
            with wide:
                double = module(*(t if self.float64_missing else widened(t) for t in inputs))[node]
        return _array(single), _array(double)

    def _outputs(
        self, inputs: Mapping[str, torch.Tensor], precision: AbstractContextManager[Any]
    ) -> Arrays:
        with torch.inference_mode(), silent(), precision, room_for(self._module):
            result = self._module(**{name: t.clone() for name, t in inputs.items()})
            values = self._graph.named_outputs(flatten_outputs(result))
            if self._taps is not None:
                values |= self._taps(*(t.clone() for t in inputs.values()))
        return {name: _array(value) for name, value in values.items()}


def moved(tensor: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Move each element by half a unit in its last place, up or down, before it is rounded.

    Args:
        tensor: Of any type; whole numbers are left as they are.
        dtype: Whose places are meant; the result is rounded to it and is of the tensor's type.
        generator: Says which way.
    """
    if not tensor.dtype.is_floating_point:
        return tensor
    signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
    half = torch.finfo(dtype).eps / 2
    far: torch.Tensor = tensor.double() * (1 + 1.01 * half * signs)
    return far.to(dtype).to(tensor.dtype)


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    if tensor.dtype is torch.bfloat16:  # numpy has no such type
        tensor = tensor.float()
    return np.asarray(tensor.detach().cpu().numpy())
