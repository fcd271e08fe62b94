"""Sums, means and extremes over axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from netloft.gradients.adjoint import Step, adjoint
from netloft.gradients.lengths import axes_of

__all__ = ["amax", "cumsum", "logsumexp", "maximum_along", "mean", "total", "variance"]

Dim = int | Sequence[int] | None


def _spread(step: Step, value: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    """Put axes of one back where they were taken out."""
    if keepdim:
        return value
    for axis in axes_of(dim, len(step.shape_of("input"))):
        value = value.unsqueeze(axis)
    return value


def _count(step: Step, dim: Dim) -> int:
    axes = axes_of(dim, len(step.shape_of("input")))
    return torch.Size(step.lengths_of("input", *axes) if axes else []).numel()


@adjoint("sum")
def total(
    step: Step, grad: Tensor, input: Tensor, dim: Dim = None, keepdim: bool = False, **options: Any
) -> Mapping[str, Tensor]:
    """torch.sum: the same to each."""
    return {"input": _spread(step, grad, dim, keepdim).expand_as(input)}


@adjoint("mean")
def mean(
    step: Step, grad: Tensor, input: Tensor, dim: Dim = None, keepdim: bool = False, **options: Any
) -> Mapping[str, Tensor]:
    """torch.mean: an equal share to each."""
    share = grad / _count(step, dim)
    return {"input": _spread(step, share, dim, keepdim).expand_as(input)}


@adjoint("amax", "amin")
def amax(
    step: Step, grad: Tensor, input: Tensor, dim: Dim = None, keepdim: bool = False
) -> Mapping[str, Tensor]:
    """torch.amax: an equal share to each that reaches it."""
    axes = axes_of(dim, len(step.shape_of("input")))
    reaching = (input == _spread(step, step.result, dim, keepdim)).type_as(grad)
    share = reaching / reaching.sum(dim=axes, keepdim=True)
    return {"input": share * _spread(step, grad, dim, keepdim)}


@adjoint("max", "min")
def maximum_along(
    step: Step, grad: Any, input: Tensor, dim: Any = None, keepdim: bool = False
) -> Mapping[str, Any]:
    """torch.max: of all, along an axis with indices, or of two tensors."""
    if not isinstance(grad, list):
        if dim is not None:
            step.refuse("two tensors")
        return amax(step, grad, input)
    index = _spread(step, step.result[1], dim, keepdim)
    value = _spread(step, grad[0], dim, keepdim)
    return {"input": torch.zeros_like(input).scatter(dim, index, value)}


@adjoint("logsumexp")
def logsumexp(
    step: Step, grad: Tensor, input: Tensor, dim: Dim, keepdim: bool = False
) -> Mapping[str, Tensor]:
    """torch.logsumexp: a softmax."""
    share = (input - _spread(step, step.result, dim, keepdim)).exp()
    return {"input": share * _spread(step, grad, dim, keepdim)}


@adjoint("var", "std")
def variance(
    step: Step,
    grad: Tensor,
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Mapping[str, Tensor]:
    """torch.var and torch.std: by how far each is from the mean."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    left_out = correction if correction is not None else int(unbiased is not False)
    axes = axes_of(dim, len(step.shape_of("input")))
    centred = input - input.mean(dim=axes, keepdim=True)
    whole = _spread(step, grad, dim, keepdim) / (_count(step, dim) - left_out)
    if step.record.op == "std":
        own = _spread(step, step.result, dim, keepdim)  # 0 where all are equal, as autograd has it
        return {"input": torch.where(own == 0, 0.0, centred * whole / own)}
    return {"input": centred * whole * 2}


@adjoint("cumsum")
def cumsum(step: Step, grad: Tensor, input: Tensor, dim: int, **options: Any) -> Mapping[str, Any]:
    """torch.cumsum: sums from the other end."""
    return {"input": grad.flip(dim).cumsum(dim).flip(dim)}
