"""Proof, on the spot, that a pass left the function as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from netloft.passes.edit import Edit
from netloft.passes.wide import WideInterpreter, widened
from netloft.tracing.faithful import flatten_outputs, fresh_inputs, silent

__all__ = ["LIMITS", "Proof", "Run", "difference"]

SEED = 20_240_229
"""Of the inputs; no other check uses it."""

BATCH = 2
"""Items in the batch: a pass that mixes items is seen, and the run is short."""

LIMITS = {"float64": 1e-10, "float32": 1e-5}
"""Largest scaled difference of a right pass. Reordered float64 arithmetic differs by some 1e-15,
which a deep network makes 1e-13; a wrong fold differs by more than 1e-3."""


@dataclass(frozen=True)
class Run:
    """What a graph gave on the proof's inputs.

    Attributes:
        outputs: By name.
        precision: `float64`, or `float32` where the graph fixes that type inside.
        ms: Milliseconds, the faster of two runs; None where it ran once.
    """

    outputs: Mapping[str, torch.Tensor]
    precision: str
    ms: float | None


class Proof:
    """Run graphs on the same fresh inputs.

    Args:
        example: Inputs of the right shapes, by name.
        batch: `dynamic`, or the graph's one size.
        timed: Run each twice, and say how long it takes.
    """

    def __init__(
        self, example: Mapping[str, torch.Tensor], batch: str | int, *, timed: bool = True
    ) -> None:
        size = batch if isinstance(batch, int) else BATCH
        self._inputs = fresh_inputs(example, size, SEED)
        self._wide, self._times = True, 2 if timed else 1

    def pair(self, before: Edit, after: Edit, known: Run | None = None) -> tuple[Run, Run]:
        """Run both in float64; in float32 where one of them has no float64 run.

        Args:
            before: What a pass was given.
            after: What it made of it.
            known: What `before` gave, where it has been run.
        """
        if self._wide:
            old = self._wide_run(before, known)
            new = self._wide_run(after, None) if old else None
            if old and new:
                return old, new
            self._wide = old is not None
        narrow = known if known and known.precision == "float32" else self._narrow_run(before)
        return narrow, self._narrow_run(after)

    def _wide_run(self, edit: Edit, known: Run | None) -> Run | None:
        if known and known.precision == "float64":
            return known
        try:
            return self._timed(WideInterpreter(edit.finish(wide=True).module), "float64")
        except Exception:  # noqa: BLE001 - the run in float32 tells what is wrong
            return None

    def _narrow_run(self, edit: Edit) -> Run:
        return self._timed(fx.Interpreter(edit.finish().module), "float32")

    def _timed(self, interpreter: fx.Interpreter, precision: str) -> Run:
        runs = [self._once(interpreter, precision) for _ in range(self._times)]
        times = [ms for _, ms in runs]
        return Run(runs[0][0], precision, min(times) if len(times) > 1 else None)

    def _once(
        self, interpreter: fx.Interpreter, precision: str
    ) -> tuple[dict[str, torch.Tensor], float]:
        inputs: list[Any] = [tensor.clone() for tensor in self._inputs.values()]
        if precision == "float64":
            inputs = [widened(tensor) for tensor in inputs]
        start = time.perf_counter()
        with torch.no_grad(), silent():
            result = interpreter.run(*inputs)
        return flatten_outputs(result), (time.perf_counter() - start) * 1e3


def difference(before: Run, after: Run) -> float:
    """Return the largest scaled difference of two runs; infinite where they are not alike."""
    if before.outputs.keys() != after.outputs.keys():
        return float("inf")
    return max(
        (_difference(before.outputs[name], after.outputs[name]) for name in before.outputs),
        default=0.0,
    )


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if not a.dtype.is_floating_point:
        return 0.0 if torch.equal(a, b) else float("inf")
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)):
        return float("inf")
    if not torch.equal(a[~finite].nan_to_num(), b[~finite].nan_to_num()):
        return float("inf")
    x, y = a[finite].double(), b[finite].double()
    if not x.numel():
        return 0.0
    scale = float(x.abs().max())
    gap = float((x - y).abs().max())
    return gap / scale if scale else (0.0 if gap == 0 else float("inf"))
