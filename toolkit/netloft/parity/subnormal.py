"""Numbers below the smallest normal one: a runtime may compute with them, or take them as 0.

IEEE 754 has subnormal numbers down to 2⁻¹⁴⁹ in float32; processors are slow on them, and runtimes
may switch them off: what is smaller than 2⁻¹²⁶ is then read as 0, and a result that is smaller is
given as 0. Both are right. So on subnormal inputs three errors are no faults:

- the inputs read as 0: as much as the module's own result moves when they are, measured;
- a result that is given as 0: 2⁻¹²⁶;
- what lies between, where single terms of a sum are given as 0: of the size of the first, which the
  policy's factor covers.

The noise floor is therefore never below the larger of the first two. For a network that has biases
it is far below its rounding, and nothing changes; for one without, the results themselves are
subnormal.
"""

from __future__ import annotations

import dataclasses

import torch

from netloft.parity.compare import measure
from netloft.parity.inputs import Case
from netloft.parity.reference import ReferenceRun

__all__ = ["flushed_case", "is_subnormal", "least_of_flushed"]


def is_subnormal(case: Case) -> bool:
    """Tell whether an input holds subnormal numbers."""
    return any(bool(_subnormal(tensor).any()) for tensor in case.inputs.values())


def flushed_case(case: Case) -> Case:
    """Return the same inputs with 0 in the place of subnormal numbers."""
    inputs = {name: t.masked_fill(_subnormal(t), 0) for name, t in case.inputs.items()}
    return dataclasses.replace(case, inputs=inputs)


def least_of_flushed(run: ReferenceRun, flushed: ReferenceRun) -> dict[str, float]:
    """Return the scaled error, by output, that subnormal numbers may make.

    Args:
        run: What the module gives.
        flushed: What it gives where they are 0.
    """
    found = {}
    for name, wanted in run.float64.items():
        moved = measure(flushed.float64[name], wanted, nonfinite_like=run.float32[name])
        scale = moved.max_abs / moved.scaled if moved.scaled else 0.0
        tiny = torch.finfo(torch.float32).tiny
        found[name] = max(moved.scaled, tiny / scale if scale else 0.0)
    return found


def _subnormal(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.dtype.is_floating_point:
        return torch.zeros_like(tensor, dtype=torch.bool)
    return (tensor != 0) & (tensor.abs() < torch.finfo(tensor.dtype).tiny)
