"""The second capture: torch.export, for what torch.fx cannot trace.

torch.export runs `forward` on tensors without data. It sees through loops, `len()` and branches on
what is known of shapes, and writes down what it took for granted about the open lengths. That is
tried out here: a capture that holds for some batch sizes only is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from netloft.errors import first_line
from netloft.tracing.axes import Axes, lengths_of
from netloft.tracing.calls import Calls, watch_calls
from netloft.tracing.clone import private_copy
from netloft.tracing.faithful import accepts, watched_run
from netloft.tracing.program import CaptureError, ProgramReader
from netloft.tracing.quiet import quiet
from netloft.tracing.regroup import regroup
from netloft.tracing.shapes import resized
from netloft.tracing.source import describe, frame_in, raised_at
from netloft.tracing.tracer import Tracer

__all__ = ["CaptureError", "ExportTracer"]

_BATCH = 7
"""What the example is brought to: torch.export takes 0 and 1 for lengths that never change."""

_REMEDY = (
    "export the part of the network in front of that choice: a module of your own whose forward "
    "takes the batch as one tensor and returns what the choice is made from"
)

_SIZES = (*range(2, 513), *(2**power + step for power in range(10, 21) for step in (-1, 0, 1)))
"""Batch sizes at which the capture has to hold; 1 is left to the run of module and graph."""


class ExportTracer(Tracer):
    """Capture a module with torch.export, as a graph like that of `Tracer`.

    Args:
        inputs: Example inputs by name.
        batch: `dynamic`, or the one batch size that the graph is for.
        axes: Other open axes.

    Attributes:
        program: What torch.export gave, which torch.onnx takes.
    """

    def __init__(self, inputs: Mapping[str, torch.Tensor], batch: str | int, axes: Axes) -> None:
        super().__init__(inputs)
        self._open: dict[str, dict[int, Any]] = {
            name: dict.fromkeys(axes.get(name, {}), torch.export.Dim.AUTO) for name in inputs
        }
        self._axes, self._batch = axes, batch
        if batch == "dynamic":
            for name, tensor in inputs.items():
                self._open[name] |= {0: torch.export.Dim.AUTO} if tensor.dim() else {}
        self.program: ExportedProgram | None = None

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """Capture, and put the layers of torch.nn back together.

        Raises:
            CaptureError: It cannot be captured, or the capture does not hold for every size.
        """
        assert isinstance(root, nn.Module)
        calls = self._watched(root)
        module, self.program = self._captured(root)
        reader = ProgramReader(root, module, self.program, tuple(self._inputs))
        graph = reader.read()
        self.called = calls.made or reader.called
        self.side_effects += reader.side_effects
        regroup(graph, root, calls.plain)
        return graph

    def _watched(self, root: nn.Module) -> Calls:
        with self._recorded_prints(), quiet():
            try:
                return watch_calls(private_copy(root), self._inputs)
            except Exception:  # noqa: BLE001 - torch.cond bears no hooks; else the network fails
                watched_run(private_copy(root), self._inputs, None)
                return Calls()

    def _captured(self, root: nn.Module) -> tuple[fx.GraphModule, ExportedProgram]:
        """Capture by running the code; and by reading it, which takes `int()` and `len()` too."""
        try:
            return self._checked(root, self._export(root, strict=False))
        except Exception as error:
            failure = _failure(error)
            if _is_a_choice(error):
                raise failure from error
        try:
            return self._checked(root, self._export(root, strict=True))
        except Exception as error:
            # told as the first way met it, unless this one came further
            raise (error if isinstance(error, CaptureError) else failure) from error

    def _export(self, root: nn.Module, *, strict: bool) -> ExportedProgram:
        inputs = dict(self._inputs)
        if self._batch == "dynamic":
            inputs = {n: resized(t, _BATCH) if t.dim() else t for n, t in inputs.items()}
        with quiet(), torch.no_grad():
            return torch.export.export(root, (), inputs, dynamic_shapes=self._open, strict=strict)

    def _checked(
        self, root: nn.Module, program: ExportedProgram
    ) -> tuple[fx.GraphModule, ExportedProgram]:
        """Try out what torch.export took for granted, at many lengths."""
        with quiet():
            module = program.module()
        assert isinstance(module, fx.GraphModule)
        if any(self._open.values()):
            self._check_guards(module, root)
        return module, program

    def _check_guards(self, module: nn.Module, root: nn.Module) -> None:
        guards = getattr(module, "_guards_fn", None)
        if guards is None:
            raise CaptureError("this PyTorch does not say for which sizes its capture holds")
        for lengths, inputs in self._variants():
            try:
                guards(*inputs)
            except AssertionError as error:
                if accepts(root, self._inputs, self._axes, lengths):
                    raise CaptureError(f"its capture holds only {_where(error)}") from error

    def _variants(self) -> Iterator[tuple[dict[str, int], list[torch.Tensor]]]:
        lengths = lengths_of(self._axes, self._inputs)
        if self._batch == "dynamic":
            for size in _SIZES:
                yield lengths, self._sized(size, lengths)
        size = _BATCH if self._batch == "dynamic" else int(self._batch)
        for symbol, length in lengths.items():
            for other in range(2, 2 * length + 64):
                changed = {**lengths, symbol: other}
                yield changed, self._sized(size, changed)

    def _sized(self, batch: int, lengths: Mapping[str, int]) -> list[torch.Tensor]:
        made = []
        for name, tensor in self._inputs.items():
            shape = list(tensor.shape)
            shape[:1] = [batch] if shape else []
            for axis, symbol in self._axes.get(name, {}).items():
                shape[axis] = lengths[symbol]
            made.append(torch.empty(shape, dtype=tensor.dtype, device="meta"))
        return made


def _where(guard: AssertionError) -> str:
    text = str(guard).removeprefix("Guard failed: ").replace(".size()", ".shape")
    one = re.fullmatch(rf"\w+\.shape\[0\] == {_BATCH}", text)
    return "for one batch size" if one else f"where {text}"


def _is_a_choice(error: BaseException) -> bool:
    """Tell whether the code asked which of two ways to go, and not for a number."""
    condition = getattr(error, "cond", None)
    return bool(
        getattr(condition, "is_Relational", False) or getattr(condition, "is_Boolean", False)
    )


def _failure(error: BaseException) -> CaptureError:
    if isinstance(error, CaptureError):
        return error
    source = describe(raised_at(error) or frame_in(str(error)))
    if hasattr(error, "cond"):
        return CaptureError("the path taken depends on the values of a tensor", source, _REMEDY)
    return CaptureError(first_line(error).rstrip(".")[:200], source)
