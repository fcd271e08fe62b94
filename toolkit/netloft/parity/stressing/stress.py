"""A fixed set of inputs that stress a file: each kind shows what noise does not.

Pictures of one colour, of black and white alone, of slow waves, over-exposed ones, one bright pixel
in the dark, subnormal numbers, NaN and infinities. All but the last two stay in the box of what the
network is made for: from the smallest to the largest value of each input on its usual inputs.

Whole numbers have the same kinds, rounded, between the smallest and the largest one that the usual
inputs hold: a word far beyond a table's end would be refused by the module and say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from netloft.graph.graph import Graph
from netloft.parity.inputs import Case
from netloft.tracing.faithful import fresh_inputs

__all__ = [
    "NOT_NUMBERS",
    "QUICK",
    "REAL",
    "STRESS",
    "WHOLE",
    "Box",
    "Stress",
    "box_of",
    "make_stress",
    "stressed",
]

Box = Mapping[str, tuple[float, float]]
"""Smallest and largest value of each input, by name."""

STRESS = "stress"
"""Kind of all of these inputs; what each item is comes after a colon."""

_VARIANTS = 4
"""Items of each kind in the whole set."""
_SEED = 20_000
"""Added to the seed, so that the noise in them is not that of the other inputs."""

_Field = Callable[[tuple[int, ...], float, float, torch.Generator], torch.Tensor]
"""Shape, batch first, the ends of the box and chance to values in it, in float64."""


def _constant(
    shape: tuple[int, ...], low: float, high: float, random: torch.Generator
) -> torch.Tensor:
    levels = low + (high - low) * torch.rand(shape[0], generator=random, dtype=torch.float64)
    levels[:2] = torch.tensor([high, low])[: shape[0]]
    return levels.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)


def _binary(
    shape: tuple[int, ...], low: float, high: float, random: torch.Generator
) -> torch.Tensor:
    return torch.where(torch.rand(shape, generator=random) < 0.5, low, high).double()


def _smooth(
    shape: tuple[int, ...], low: float, high: float, random: torch.Generator
) -> torch.Tensor:
    return low + (high - low) * _waves(shape, random)


def _saturated(
    shape: tuple[int, ...], low: float, high: float, random: torch.Generator
) -> torch.Tensor:
    return low + (high - low) * (4 * _waves(shape, random) - 1.5).clamp(0, 1)


def _one_hot(
    shape: tuple[int, ...], low: float, high: float, random: torch.Generator
) -> torch.Tensor:
    """One element at an end of the box, high and low in turn; the others as near 0 as can be."""
    zero = min(max(0.0, low), high)
    flat = torch.full((shape[0], math.prod(shape[1:])), zero, dtype=torch.float64)
    where = torch.randint(flat.shape[1], (shape[0],), generator=random)
    items = torch.arange(shape[0])
    flat[items, where] = torch.where(items % 2 == 0, high, low).double()
    return flat.reshape(shape)


def _waves(shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    """Add up one cosine of up to two periods along each axis, and bring the sum to [0, 1]."""
    field = torch.zeros(shape, dtype=torch.float64)
    for axis, length in enumerate(shape[1:], start=1):
        periods, phase = torch.rand((2, shape[0], 1), generator=random)
        along = torch.arange(length) / length
        wave = torch.cos(2 * math.pi * (2 * periods * along + phase))
        field += wave.reshape(shape[0], *[1] * (axis - 1), length, *[1] * (len(shape) - axis - 1))
    flat = field.reshape(shape[0], -1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return ((flat - low) / (high - low).clamp_min(torch.finfo(flat.dtype).eps)).reshape(shape)


_FIELDS: Mapping[str, _Field] = MappingProxyType({
    "constant": _constant,
    "binary": _binary,
    "smooth": _smooth,
    "saturated": _saturated,
    "one-hot": _one_hot,
})  # fmt: skip

_NUMBERS = MappingProxyType({"NaN": math.nan, "infinity": math.inf, "-infinity": -math.inf})
_SUBNORMAL = "subnormal"

WHOLE = tuple(_FIELDS)
"""What an item may be of any type."""
REAL = (_SUBNORMAL, *_NUMBERS)
"""What it may be besides where an input is a real number."""
NOT_NUMBERS = tuple(_NUMBERS)
"""Those of them that have no size."""


def make_stress(
    example: Mapping[str, torch.Tensor], box: Box, kind: str, batch: int, seed: int
) -> dict[str, torch.Tensor]:
    """Make inputs of one kind, the same for the same seed.

    Args:
        example: Inputs of the right shapes and types, by name.
        box: Range of each.
        kind: One of `WHOLE` or `REAL`. Of `NaN` and the infinities the first item holds one; the
            others are noise, which it must not reach.
        batch: Items.
        seed: Of what is left to chance.
    """
    random = torch.Generator().manual_seed(seed)
    noise = fresh_inputs(example, batch, seed)
    return {name: _of_kind(kind, t, box[name], random) for name, t in noise.items()}


def _of_kind(
    kind: str, noise: torch.Tensor, ends: tuple[float, float], random: torch.Generator
) -> torch.Tensor:
    if not noise.dim() or not noise.numel():
        return noise
    if kind in _FIELDS:
        values = _FIELDS[kind](tuple(noise.shape), *ends, random)
        return _typed(values, ends, noise.dtype)
    if not noise.dtype.is_floating_point:
        return noise
    if kind == _SUBNORMAL:
        tiny = torch.finfo(noise.dtype).tiny
        parts = 2 * torch.rand(noise.shape, generator=random, dtype=torch.float64) - 1
        return (parts * tiny).to(noise.dtype)
    where = int(torch.randint(noise[0].numel(), (1,), generator=random))
    noise.reshape(len(noise), -1)[0, where] = _NUMBERS[kind]
    return noise


def _typed(values: torch.Tensor, ends: tuple[float, float], dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point:
        return values.to(dtype)
    return values > sum(ends) / 2 if dtype is torch.bool else values.round().to(dtype)


def box_of(cases: Iterable[Case]) -> dict[str, tuple[float, float]]:
    """Return the range of each input on the usual inputs; of noise only where there is no other."""
    usual = [case for case in cases if case.usual]
    known = [case for case in usual if not case.kind.startswith("noise")] or usual
    return {name: _ends([case.inputs[name] for case in known]) for name in known[0].inputs}


def _ends(tensors: Iterable[torch.Tensor]) -> tuple[float, float]:
    given = list(tensors)
    values = torch.cat([tensor.reshape(-1).double() for tensor in given])
    values = values[values.isfinite()]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    # beside the one index that is usual there may be none in the table
    is_wide = low < high or not given[0].dtype.is_floating_point
    return (low, high) if is_wide else (low - 1, high + 1)


@dataclass(frozen=True)
class Stress:
    """Which of these inputs a check has.

    Attributes:
        kinds: Out of `WHOLE` and `REAL`.
        variants: Items of each kind, a batch for each; 0 for one item of each, all in one batch.
        batches: Sizes of batches of noise.
    """

    kinds: tuple[str, ...]
    variants: int = _VARIANTS
    batches: tuple[int, ...] = ()


QUICK = Stress(WHOLE, variants=0)
"""What every certificate has: it costs one run."""


def stressed(
    cases: Iterable[Case], graph: Graph, seed: int, stress: Stress = QUICK
) -> Iterator[Case]:
    """Give the inputs of a check, and then those that stress the file.

    Args:
        cases: The other inputs of the check, which say what is usual.
        graph: Says what batches it takes.
        seed: Of what is left to chance.
        stress: Which ones.
    """
    seen = []
    for case in cases:
        seen.append(case)
        yield case
    example, box, seed = seen[0].inputs, box_of(seen), seed + _SEED
    if not stress.variants:
        yield from _stacked(example, box, stress.kinds, graph.batch, seed)
        return
    size = graph.batch if isinstance(graph.batch, int) else stress.variants
    for index, kind in enumerate(stress.kinds):
        made = make_stress(example, box, kind, size, seed + index)
        yield Case(STRESS, size, made, usual=False, parts=(kind,) * size)
    for batch in stress.batches:
        inputs = fresh_inputs(example, batch, seed)
        yield Case(f"{STRESS}: batch {batch}", batch, inputs, usual=False)


def _stacked(
    example: Mapping[str, torch.Tensor], box: Box, kinds: Sequence[str], batch: str | int, seed: int
) -> Iterator[Case]:
    """Give one item of each kind, in one batch or in as many as the file takes at a time."""
    each = [make_stress(example, box, kind, 1, seed + i) for i, kind in enumerate(kinds)]
    size = batch if isinstance(batch, int) else len(each)
    for start in range(0, len(each), size):
        chosen = [(start + i) % len(each) for i in range(size)]
        inputs = {
            name: torch.cat([each[i][name] for i in chosen]) if t.dim() else t
            for name, t in each[0].items()
        }
        parts = tuple(kinds[i] for i in chosen)
        yield Case(STRESS, size, inputs, usual=False, parts=parts)
