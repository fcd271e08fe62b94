"""Steps of a search that need no gradient: a block of the input changed, two inputs mixed.

After evolution strategies with block mutations and crossover; each is the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from netloft.parity.stressing.stress import Box

__all__ = ["MOVES", "between"]

Inputs = Mapping[str, torch.Tensor]
_Made = dict[str, torch.Tensor]


def _block(mine: Inputs, other: Inputs, box: Box, random: torch.Generator) -> _Made:
    """Put one value into a block: an end of the box, or one between."""

    def put(name: str, tensor: torch.Tensor) -> torch.Tensor:
        low, high = box[name]
        ends = torch.tensor([low, high, low + (high - low) * float(_chance(random))])
        value = ends[int(torch.randint(3, (1,), generator=random))]
        return torch.full_like(tensor, _as(tensor, float(value)))

    return _changed(mine, put, random)


def _mirrored(mine: Inputs, other: Inputs, box: Box, random: torch.Generator) -> _Made:
    """Turn a block upside down in the box."""

    def turn(name: str, tensor: torch.Tensor) -> torch.Tensor:
        low, high = box[name]
        if tensor.dtype is torch.bool:
            return ~tensor
        return ((low + high) - tensor.double()).to(tensor.dtype)

    return _changed(mine, turn, random)


def _grafted(mine: Inputs, other: Inputs, box: Box, random: torch.Generator) -> _Made:
    """Take a block from another input."""
    return _changed(mine, lambda name, tensor: other[name], random)


def _mixed(mine: Inputs, other: Inputs, box: Box, random: torch.Generator) -> _Made:
    """Go part of the way to another input."""
    return between(mine, other, float(_chance(random)))


def between(mine: Inputs, other: Inputs, share: float) -> _Made:
    """Return what lies between two inputs.

    Args:
        mine: At 0, by name.
        other: At 1.
        share: How far to go; whole numbers change over at a half.
    """
    return {
        name: tensor + share * (other[name] - tensor)
        if tensor.dtype.is_floating_point
        else (other[name] if share > 0.5 else tensor)
        for name, tensor in mine.items()
    }


def _changed(
    mine: Inputs, change: Callable[[str, torch.Tensor], torch.Tensor], random: torch.Generator
) -> _Made:
    """Return inputs in one of which a block is what `change` makes of it."""
    names = [name for name, tensor in mine.items() if tensor.numel()]
    chosen = names[int(torch.randint(len(names), (1,), generator=random))]
    tensor = mine[chosen]
    mask = torch.ones(tensor.shape, dtype=torch.bool)
    for axis, length in enumerate(tensor.shape):
        size = max(1, round(length * float(_chance(random))))
        start = int(torch.randint(length - size + 1, (1,), generator=random))
        inside = torch.zeros(length, dtype=torch.bool)
        inside[start : start + size] = True
        mask &= inside.reshape(-1, *[1] * (tensor.dim() - axis - 1))
    return {**mine, chosen: torch.where(mask, change(chosen, tensor), tensor)}


def _chance(random: torch.Generator) -> torch.Tensor:
    return torch.rand((), generator=random)


def _as(tensor: torch.Tensor, value: float) -> float:
    return value if tensor.dtype.is_floating_point else round(value)


MOVES: Mapping[str, Callable[[Inputs, Inputs, Box, torch.Generator], _Made]] = {
    "block": _block,
    "mirrored block": _mirrored,
    "grafted block": _grafted,
    "mixture": _mixed,
}
"""By name: an input, another one, the box and chance to a new input in the box."""
