"""Lengths by axis, and maps that act along each axis for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["axes_of", "each_axis", "pulled_along"]


def each_axis(value: int | Sequence[int], n: int) -> list[int]:
    """Return one number for each of `n` axes, of one for all or one each."""
    if isinstance(value, int):
        return [value] * n
    return list(value) * n if len(value) == 1 else list(value)


def axes_of(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    """Return axes counted from the front, in order; all where none is named."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return list(range(rank))
    return sorted(axis % rank for axis in ([dim] if isinstance(dim, int) else dim))


def pulled_along(
    grad: Tensor, sizes: Sequence[int], maps: Sequence[Callable[[Tensor], Tensor]]
) -> Tensor:
    """Pull a gradient back through linear maps, one along each of the last axes.

    Args:
        grad: Of the result.
        sizes: Lengths of those axes before the maps.
        maps: For each of them, what is done to (channels, length) along the length.

    Returns:
        The gradient, with lengths `sizes`.
    """
    n = len(sizes)
    for i, (size, along) in enumerate(zip(sizes, maps, strict=True)):
        matrix = along(torch.eye(size, dtype=torch.float64)).type_as(grad)  # (before, after)
        axis = i - n
        if axis == -1:
            grad = grad.matmul(matrix.t())
        else:
            grad = grad.transpose(axis, -1).matmul(matrix.t()).transpose(axis, -1)
    return grad
