"""How a network is to be exported."""

from __future__ import annotations

from dataclasses import dataclass, field

from netloft.defaults import BATCHES, DEFAULT_OPSET
from netloft.parity.task_level import DEFAULT_CRITERIA, Criteria
from netloft.tracing.axes import Axes

__all__ = ["DEFAULT_OPTIONS", "ExportOptions"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        batch: `dynamic`, or the one batch size that the file takes.
        opset: ONNX operator set.
        providers: Execution providers to prove and measure on; empty for CPU, and CUDA where it
            starts.
        seed: Of the inputs.
        threads: For one operation; None for the machine's cores.
        quick: Measure at batch 1 alone, with fewer repetitions and no `torch.compile`, and do not
            time the runs that prove the passes.
        passes: Names of the passes to run, in order; None for the default ones.
        without: Names of passes to leave out.
        dynamic: Axes beside the batch that stay open, by input, with names for their lengths.
        functions: Gather the nodes of each module call into an ONNX function.
        precision: `fp32`, `fp16` or `int8`.
        criteria: What an int8 file has to reach.
    """

    batch: str | int = "dynamic"
    opset: int = DEFAULT_OPSET
    providers: tuple[str, ...] = ()
    seed: int = 0
    threads: int | None = None
    quick: bool = False
    passes: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    dynamic: Axes = field(default_factory=dict)
    functions: bool = False
    precision: str = "fp32"
    criteria: Criteria = DEFAULT_CRITERIA

    @property
    def timed_batches(self) -> tuple[int, ...]:
        """The batch sizes whose time is measured."""
        if isinstance(self.batch, int):
            return (self.batch,)
        return (1,) if self.quick else BATCHES


DEFAULT_OPTIONS = ExportOptions()
