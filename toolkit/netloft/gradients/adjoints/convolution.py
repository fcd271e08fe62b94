"""Convolutions and transposed ones: each is the other's adjoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import Step, adjoint
from netloft.gradients.lengths import each_axis

__all__ = ["conv", "conv_transpose", "conv_transpose_module"]

_CONV: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSE: tuple[Callable[..., Tensor], ...] = (
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
)


@adjoint("conv1d", "conv2d", "conv3d")
def conv(
    step: Step,
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Mapping[str, Tensor]:
    """torch.nn.functional.conv2d: a transposed convolution with the same weight."""
    if padding_mode != "zeros":
        step.refuse(f"padding_mode='{padding_mode}'")
    kernel = step.lengths_of("weight")
    n = len(kernel)
    strides, dilations = each_axis(stride, n), each_axis(dilation, n)
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if padding == "valid":
        padding = 0
    before = [r // 2 for r in reach] if isinstance(padding, str) else each_axis(padding, n)
    sizes, made = step.lengths_of("input", *range(-n, 0)), _lengths(step, n)
    full = [(out - 1) * s + r + 1 for out, s, r in zip(made, strides, reach, strict=True)]
    if isinstance(padding, str):  # another padding behind than before: cut it off afterwards
        pulled = _TRANSPOSE[n - 1](grad, weight, None, strides, 0, 0, groups, dilations)
        for axis, (b, size) in enumerate(zip(before, sizes, strict=True)):
            pulled = pulled.narrow(axis - n, b, size)
        return {"input": pulled}
    more = [size - f + 2 * b for size, f, b in zip(sizes, full, before, strict=True)]
    return {
        "input": _TRANSPOSE[n - 1](grad, weight, None, strides, before, more, groups, dilations)
    }


def _lengths(step: Step, n: int) -> list[int]:
    found = [length for length in step.shape[-n:] if isinstance(length, int)]
    if len(found) < n:
        step.refuse("an axis whose length is open")
    return found


@adjoint("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    step: Step,
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.conv_transpose2d: a convolution with the same weight."""
    n = len(step.lengths_of("weight"))
    pulled = _CONV[n - 1](grad, weight, None, stride, padding, dilation, groups)
    for axis, size in enumerate(step.lengths_of("input", *range(-n, 0))):
        pulled = pulled.narrow(axis - n, 0, size)  # an output padding of a stride or more adds one
    return {"input": pulled}


@adjoint("conv_transpose_module")
def conv_transpose_module(
    step: Step, grad: Tensor, input: Tensor, output_size: object = None, **options: Any
) -> Mapping[str, Tensor]:
    """torch.nn.ConvTranspose2d, whose `output_size` only says how long the result is."""
    return conv_transpose(step, grad, input, **options)
