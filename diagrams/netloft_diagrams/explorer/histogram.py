"""What the weights of a network look like: 32 bins for each parameter, computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["BINS", "Histogram", "histograms"]

BINS = 32
LARGE = 1e12
"""Elements whose squares, added up, may be too large for float32."""
BUDGET = 300_000_000
"""Elements that are counted in one network; what comes after has its shape and no histogram."""


@dataclass(frozen=True)
class Histogram:
    """Figures of one parameter.

    Attributes:
        counts: Elements in each of the bins, which cut the range evenly.
        low: Smallest finite element.
        high: Largest finite element.
        mean: Of the finite elements.
        std: Of the finite elements, with the number of elements as the divisor.
        odd: Elements that are infinite or no number; they are in no bin.
    """

    counts: tuple[int, ...]
    low: float
    high: float
    mean: float
    std: float
    odd: int = 0


def histograms(parameters: Mapping[str, nn.Parameter]) -> dict[str, Histogram | str]:
    """Return the histogram of each parameter, or why it has none; a tied one is counted once.

    Args:
        parameters: By name.
    """
    found: dict[str, Histogram | str] = {}
    known: dict[int, Histogram | str] = {}
    left = BUDGET
    for name, parameter in parameters.items():
        if id(parameter) not in known:
            left -= parameter.numel()
            known[id(parameter)] = (
                _of(parameter) if left >= 0 else f"not counted: over {BUDGET:,} elements"
            )
        found[name] = known[id(parameter)]
    return found


@torch.no_grad()
def _of(parameter: Tensor) -> Histogram | str:
    if parameter.is_meta:
        return "no values: the tensor is on the meta device"
    if not parameter.is_floating_point():
        return f"not counted: {str(parameter.dtype).removeprefix('torch.')}"
    values = parameter.detach().cpu().float().flatten()
    low, high = (float(v) for v in values.aminmax()) if values.numel() else (0.0, 0.0)
    odd = 0
    if not math.isfinite(low) or not math.isfinite(high):
        finite = values[values.isfinite()]
        odd = values.numel() - finite.numel()
        values = finite
        low, high = (float(v) for v in values.aminmax()) if values.numel() else (0.0, 0.0)
    if not values.numel():
        return "no finite element" if odd else "empty"
    counts = _counts(values, low, high)
    # in float64 where float32 would overflow: masks are full of its lowest number
    size = max(abs(low), abs(high))
    values = values.double() if size > LARGE else values
    mean = values.mean()
    # twice as fast as torch.std_mean, which goes through the values one by one
    std = float(torch.linalg.vector_norm(values - mean)) / math.sqrt(values.numel())
    return Histogram(counts, low, high, float(mean), std, odd)


def _counts(values: Tensor, low: float, high: float) -> tuple[int, ...]:
    if low == high:  # histc would widen the range
        return (*(0 for _ in range(BINS - 1)), values.numel())
    # float32 counts stop at 2**24: a long tensor is counted in pieces
    total = torch.zeros(BINS, dtype=torch.int64)
    for start in range(0, values.numel(), 1 << 22):
        total += torch.histc(values[start : start + (1 << 22)], BINS, low, high).to(torch.int64)
    return tuple(total.tolist())
