"""Pooling with a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import Step, adjoint
from netloft.gradients.lengths import each_axis, pulled_along

__all__ = ["adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool"]

_MAX = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_ADAPTIVE_MAX = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)


@adjoint("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    step: Step, grad: Any, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """torch.nn.functional.max_pool2d: each gradient goes to where the maximum was."""
    options = {name: value for name, value in options.items() if name != "return_indices"}
    return _scattered(step, grad, input, partial(_MAX[_rank(step)], **options), args[:5])


@adjoint("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(
    step: Step, grad: Any, input: Tensor, output_size: Any, return_indices: bool = False
) -> Mapping[str, Tensor]:
    """torch.nn.functional.adaptive_max_pool2d: each gradient goes to where the maximum was."""
    return _scattered(step, grad, input, _ADAPTIVE_MAX[_rank(step)], (output_size,))


def _rank(step: Step) -> int:
    return int(step.record.op[-2]) - 1


def _scattered(
    step: Step, grad: Any, input: Tensor, pool: Callable[..., Any], args: tuple[Any, ...]
) -> Mapping[str, Tensor]:
    n = _rank(step) + 1
    values = grad[0] if isinstance(grad, list) else grad
    step.lengths_of("input", *range(-n, 0))
    _, index = pool(input, *args, return_indices=True)
    flat = torch.zeros_like(input).flatten(-n)
    found = flat.scatter_add(-1, index.flatten(-n), values.flatten(-n))
    return {"input": step.as_argument(found, "input", input)}


@adjoint("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    step: Step,
    grad: Tensor,
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.avg_pool2d: a mean along each axis, pulled back along each."""
    n = _rank(step) + 1
    kernel = each_axis(kernel_size, n)
    empty = stride is None or (not isinstance(stride, int) and not len(stride))
    strides = kernel if empty else each_axis(stride or 0, n)
    maps = [
        partial(_averaged, args=(k, s, p, ceil_mode, count_include_pad))
        for k, s, p in zip(kernel, strides, each_axis(padding, n), strict=True)
    ]
    if divisor_override is not None:
        if ceil_mode or (not count_include_pad and any(each_axis(padding, n))):
            step.refuse("a divisor of its own with windows of several sizes")
        whole = torch.Size(kernel).numel()
        grad = grad * (whole / divisor_override)
    return {"input": pulled_along(grad, step.lengths_of("input", *range(-n, 0)), maps)}


def _averaged(x: Tensor, args: tuple[Any, ...]) -> Tensor:
    return F.avg_pool1d(x.unsqueeze(1), *args).squeeze(1)


@adjoint("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(
    step: Step, grad: Tensor, input: Tensor, output_size: int | Sequence[int | None]
) -> Mapping[str, Tensor]:
    """torch.nn.functional.adaptive_avg_pool2d: a mean along each axis, pulled back along each."""
    n = _rank(step) + 1
    sizes = step.lengths_of("input", *range(-n, 0))
    made = [length for length in step.shape[-n:] if isinstance(length, int)]
    if made == sizes:
        return {"input": grad}
    if made == [1] * n:
        kept = [-1] * (len(step.shape) - n)
        return {"input": (grad / torch.Size(sizes).numel()).expand(*kept, *sizes)}
    return {"input": pulled_along(grad, sizes, [partial(_adapted, length=to) for to in made])}


def _adapted(x: Tensor, length: int) -> Tensor:
    return F.adaptive_avg_pool1d(x.unsqueeze(1), length).squeeze(1)
