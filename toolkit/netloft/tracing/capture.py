"""The ways to get a graph out of a module, in order: torch.fx thrice, then torch.export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn

from netloft.errors import TraceError
from netloft.tracing.axes import Axes
from netloft.tracing.clone import private_copy
from netloft.tracing.dataless import Values
from netloft.tracing.exported import CaptureError, ExportTracer
from netloft.tracing.helpers import HelperMetError, has_helpers
from netloft.tracing.sized import SizedTracer
from netloft.tracing.tracer import Tracer

__all__ = ["Captured", "capture"]


@dataclass(frozen=True)
class Captured:
    """A graph that is not proven yet.

    Attributes:
        root: The copy that was traced, whose weights the graph reads.
        tracer: What traced it.
        graph: The nodes.
        refusal: Why torch.fx cannot trace it; None where it did.
    """

    root: nn.Module
    tracer: Tracer
    graph: fx.Graph
    refusal: TraceError | None = None

    @property
    def how(self) -> str:
        """Say what captured it, and why it was not torch.fx."""
        if self.refusal is None:
            return "torch.fx"
        where = f" ({self.refusal.source})" if self.refusal.source else ""
        return f"torch.export, since {self.refusal.problem}{where}"

    @property
    def runs(self) -> dict[int, Values]:
        """What each node gives without data, by batch size, where tracing had to know."""
        if isinstance(self.tracer, SizedTracer):
            return self.tracer.runs(self.graph)
        return {}

    @property
    def program(self) -> torch.export.ExportedProgram | None:
        """What torch.export gave; None where torch.fx traced."""
        return self.tracer.program if isinstance(self.tracer, ExportTracer) else None

    def explained(self, fault: TraceError) -> TraceError:
        """Return what to tell about a graph that turned out to be wrong."""
        return fault if self.refusal is None else _both(self.refusal, CaptureError(fault.problem))


def capture(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    batch: str | int,
    axes: Axes,
    copied: Callable[[nn.Module], nn.Module],
) -> Captured:
    """Trace a copy, for user code runs meanwhile; its weights are compared afterwards.

    The plain way first; with buffers recorded where that stops; with lengths known where those
    stop, or meet a helper that only this one goes through; torch.export where all of them stop.

    Args:
        module: The network.
        inputs: Example inputs by name.
        batch: `dynamic`, or the one batch size that the graph is for.
        axes: Other open axes.
        copied: How to copy a module for torch.fx.

    Raises:
        TraceError: No way leads to a graph; the message is the first one's.
    """
    refusals: list[TraceError] = []

    def attempt(tracer: Tracer) -> Captured | None:
        work = copied(module)
        try:
            return Captured(work, tracer, tracer.trace(work))
        except TraceError as error:
            refusals.append(error)
            return None

    def plainly(*, helpers: bool) -> Captured | None:
        plain = attempt(Tracer(inputs, helpers=helpers))
        return plain or attempt(Tracer(inputs, buffers=True, helpers=helpers))

    def through_helpers() -> Captured | None:
        found = attempt(SizedTracer(inputs, batch, axes))
        if found is None:  # what stops every way is told as the plain way met it
            refusals.clear()
            found = plainly(helpers=True)
        return found

    try:
        if has_helpers(module):  # the plain way would copy the network, to stop at the first
            found = through_helpers()
        else:
            found = plainly(helpers=False) or attempt(SizedTracer(inputs, batch, axes))
    except HelperMetError:
        found = through_helpers()
    if found is not None:
        return found
    if type(module).__module__.startswith("torch.nn."):
        raise TraceError(
            f"{type(module).__name__} is a single layer of torch.nn",
            remedy="put it into a module of your own whose forward calls it",
        ) from refusals[0]
    return _exported(module, ExportTracer(inputs, batch, axes), refusals[0])


def _exported(module: nn.Module, tracer: ExportTracer, refusal: TraceError) -> Captured:
    work = private_copy(module)  # it is run on data
    try:
        return Captured(work, tracer, tracer.trace(work), refusal)
    except CaptureError as error:
        raise _both(refusal, error) from error


def _both(refusal: TraceError, failure: CaptureError) -> TraceError:
    """Tell why torch.fx stops, and why torch.export does where that is another reason."""
    if failure.source and failure.source == refusal.source:
        return refusal
    where = f" ({failure.source})" if failure.source else ""
    return TraceError(
        f"{refusal.problem}; torch.export fails too: {failure}{where}",
        node=refusal.node,
        module=refusal.module,
        source=refusal.source,
        remedy=failure.remedy or refusal.remedy,
    )
