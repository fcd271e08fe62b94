"""Normalisation, with the statistics of the weights or with those of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from netloft.gradients.adjoint import Step, adjoint

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "instance_norm_module",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


@adjoint("batch_norm")
def batch_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.batch_norm in eval mode: a scale for each channel."""
    if training or running_var is None:
        step.refuse("statistics of the batch, which mix its items")
    scale = (running_var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    return {"input": grad * _per_channel(step, scale)}


def _per_channel(step: Step, value: Tensor) -> Tensor:
    return value.reshape([-1, *[1] * (len(step.shape) - 2)])


def _normalised(grad: Tensor, x: Tensor, axes: list[int], eps: float) -> Tensor:
    """Pull back through (x - mean) / sqrt(var + eps), both over some axes."""
    centred = x - x.mean(dim=axes, keepdim=True)
    scale = ((centred * centred).mean(dim=axes, keepdim=True) + eps).rsqrt()
    unit = centred * scale
    across = unit * (grad * unit).mean(dim=axes, keepdim=True)
    return (grad - grad.mean(dim=axes, keepdim=True) - across) * scale


@adjoint("layer_norm")
def layer_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.layer_norm over the last axes."""
    scaled = grad if weight is None else grad * weight
    return {"input": _normalised(scaled, input, list(range(-len(normalized_shape), 0)), eps)}


@adjoint("group_norm")
def group_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.group_norm: each group of channels for itself."""
    scaled = grad if weight is None else grad * _per_channel(step, weight)
    shape = [input.shape[0], num_groups, -1]
    found = _normalised(scaled.reshape(shape), input.reshape(shape), [-1], eps)
    return {"input": step.as_argument(found, "input", input)}


@adjoint("instance_norm")
def instance_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.instance_norm: each channel for itself."""
    if not use_input_stats:
        return batch_norm(step, grad, input, running_mean, running_var, weight, bias, eps=eps)
    scaled = grad if weight is None else grad * _per_channel(step, weight)
    return {"input": _normalised(scaled, input, list(range(2 - len(step.shape), 0)), eps)}


@adjoint("instance_norm_module")
def instance_norm_module(
    step: Step,
    grad: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    track_running_stats: bool,
    rank: str,
) -> Mapping[str, Tensor]:
    """torch.nn.InstanceNorm2d, which takes its own statistics where it has them."""
    if len(step.shape) != int(rank):
        step.refuse("an input without a batch")
    stats = not track_running_stats
    return instance_norm(step, grad, input, running_mean, running_var, weight, bias, stats, eps=eps)


@adjoint("rms_norm")
def rms_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.rms_norm over the last axes."""
    if eps is None:
        step.refuse("an eps that follows the element type")
    axes = list(range(-len(normalized_shape), 0))
    scaled = grad if weight is None else grad * weight
    scale = ((input * input).mean(dim=axes, keepdim=True) + eps).rsqrt()
    unit = input * scale
    return {"input": (scaled - unit * (scaled * unit).mean(dim=axes, keepdim=True)) * scale}


@adjoint("local_response_norm")
def local_response_norm(
    step: Step,
    grad: Tensor,
    input: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.local_response_norm: x / (k + alpha * mean of x² around it) ** beta."""
    (channels,) = step.lengths_of("input", 1)
    offset = torch.arange(channels).unsqueeze(0) - torch.arange(channels).unsqueeze(1)
    band = ((offset >= -(size // 2)) & (offset <= (size - 1) // 2)).double() / size
    near = band.type_as(input)  # (channel, its neighbours)
    base = near.matmul((input * input).flatten(2)) * alpha + k
    power = base ** (-beta)
    pulled = near.t().matmul((grad * input).flatten(2) * power / base) * (2 * alpha * beta)
    found = grad.flatten(2) * power - input.flatten(2) * pulled
    return {"input": step.as_argument(found, "input", input)}


@adjoint("normalize")
def normalize(
    step: Step, grad: Tensor, input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12,
    **options: Any,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.nn.functional.normalize by the Euclidean norm."""
    if p != 2.0:
        step.refuse(f"p={p}")
    length = (input * input).sum(dim=dim, keepdim=True).sqrt()
    along = (grad * step.result).sum(dim=dim, keepdim=True)
    whole = grad - torch.where(length > eps, step.result * along, 0.0)
    return {"input": whole / length.clamp(min=eps)}
