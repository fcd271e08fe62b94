"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import ADJOINTS, Adjoint, Step, adjoint

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "prelu",
    "relu6",
    "selu",
    "shrink",
    "softmax",
    "softmax2d",
    "softplus",
    "threshold",
]

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al., Self-Normalizing Neural Networks, 2017."""


def _silu(x: Tensor) -> Tensor:
    gate = x.sigmoid()
    return gate * (1 + x * (1 - gate))


def _mish(x: Tensor) -> Tensor:
    gate = F.softplus(x).tanh()
    return gate + x * x.sigmoid() * (1 - gate * gate)


def _softsign(x: Tensor) -> Tensor:
    whole = x.abs() + 1
    return (whole * whole).reciprocal()


def _hardswish(x: Tensor) -> Tensor:
    return torch.where(x <= -3, 0.0, torch.where(x < 3, x / 3 + 0.5, 1.0))


_DERIVATIVES: Mapping[str, Callable[[Tensor], Any]] = {
    "silu": _silu,
    "mish": _mish,
    "softsign": _softsign,
    "hardswish": _hardswish,
    "logsigmoid": lambda x: (-x).sigmoid(),
    "log_sigmoid": lambda x: (-x).sigmoid(),
    "tanhshrink": lambda x: x.tanh() * x.tanh(),
}


def _of_one(derivative: Callable[[Tensor], Any]) -> Adjoint:
    def pulled(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
        return {"input": grad * derivative(input)}

    return pulled


ADJOINTS.update({op: _of_one(derivative) for op, derivative in _DERIVATIVES.items()})


@adjoint("relu")
def relu(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.relu: where it lets through."""
    return {"input": torch.where(step.result > 0, grad, 0.0)}


@adjoint("relu6")
def relu6(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.nn.functional.relu6: hardtanh from 0 to 6."""
    return hardtanh(step, grad, input, 0.0, 6.0)


@adjoint("hardtanh")
def hardtanh(
    step: Step, grad: Tensor, input: Tensor, min_val: float = -1.0, max_val: float = 1.0
) -> Mapping[str, Tensor]:
    """torch.nn.functional.hardtanh: between the ends, without them."""
    return {"input": torch.where((input > min_val) & (input < max_val), grad, 0.0)}


@adjoint("hardsigmoid")
def hardsigmoid(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.nn.functional.hardsigmoid: a sixth between -3 and 3."""
    return {"input": torch.where((input > -3) & (input < 3), grad / 6, 0.0)}


@adjoint("leaky_relu")
def leaky_relu(
    step: Step, grad: Tensor, input: Tensor, negative_slope: float = 0.01
) -> Mapping[str, Tensor]:
    """torch.nn.functional.leaky_relu: the slope of each side."""
    return {"input": torch.where(input > 0, grad, grad * negative_slope)}


@adjoint("prelu")
def prelu(step: Step, grad: Tensor, input: Tensor, weight: Tensor) -> Mapping[str, Tensor]:
    """torch.nn.functional.prelu: the slope of each side, channel by channel."""
    rank = len(step.shape)
    slope = weight.reshape([-1, *[1] * (rank - 2)]) if rank > 1 else weight
    return {"input": torch.where(input > 0, grad, grad * slope)}


@adjoint("threshold")
def threshold(
    step: Step, grad: Tensor, input: Tensor, threshold: float, value: float
) -> Mapping[str, Tensor]:
    """torch.nn.functional.threshold: where the input is kept."""
    return {"input": torch.where(input > threshold, grad, 0.0)}


@adjoint("hardshrink", "softshrink")
def shrink(step: Step, grad: Tensor, input: Tensor, lambd: float = 0.5) -> Mapping[str, Tensor]:
    """torch.nn.functional.hardshrink and softshrink: where something is left."""
    return {"input": torch.where((input > lambd) | (input < -lambd), grad, 0.0)}


@adjoint("elu")
def elu(step: Step, grad: Tensor, input: Tensor, alpha: float = 1.0) -> Mapping[str, Tensor]:
    """torch.nn.functional.elu: alpha * exp(x) below zero, which is the result and alpha."""
    return {"input": torch.where(input > 0, grad, grad * (step.result + alpha))}


@adjoint("celu")
def celu(step: Step, grad: Tensor, input: Tensor, alpha: float = 1.0) -> Mapping[str, Tensor]:
    """torch.nn.functional.celu: exp(x / alpha) below zero."""
    return {"input": torch.where(input > 0, grad, grad * (step.result / alpha + 1))}


@adjoint("selu")
def selu(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.nn.functional.selu: an elu, scaled."""
    below = step.result + _SELU_SCALE * _SELU_ALPHA
    return {"input": torch.where(input > 0, grad * _SELU_SCALE, grad * below)}


@adjoint("gelu")
def gelu(step: Step, grad: Tensor, input: Tensor, approximate: str = "none") -> Mapping[str, Any]:
    """torch.nn.functional.gelu: x times the normal distribution, or its approximation by tanh."""
    if approximate == "none":
        share = (input * math.sqrt(0.5)).erf() * 0.5 + 0.5
        density = (input * input * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
        return {"input": grad * (share + input * density)}
    square = input * input
    bend = (input * (square * 0.044715 + 1) * math.sqrt(2 / math.pi)).tanh()
    inner = (square * (3 * 0.044715) + 1) * math.sqrt(2 / math.pi)
    return {"input": grad * ((bend + 1) * 0.5 + input * (1 - bend * bend) * inner * 0.5)}


@adjoint("softplus")
def softplus(
    step: Step, grad: Tensor, input: Tensor, beta: float = 1.0, threshold: float = 20.0
) -> Mapping[str, Tensor]:
    """torch.nn.functional.softplus: a sigmoid, up to where it is taken for the input itself."""
    scaled = input * beta
    return {"input": torch.where(scaled > threshold, grad, grad * scaled.sigmoid())}


@adjoint("glu")
def glu(step: Step, grad: Tensor, input: Tensor, dim: int = -1) -> Mapping[str, Tensor]:
    """torch.nn.functional.glu: one half, gated by the sigmoid of the other."""
    half, gate = input.chunk(2, dim)
    share = gate.sigmoid()
    return {"input": torch.cat([grad * share, grad * half * share * (1 - share)], dim)}


@adjoint("softmax", "softmin")
def softmax(
    step: Step, grad: Tensor, input: Tensor, dim: int | None = None, **options: Any
) -> Mapping[str, Tensor]:
    """torch.softmax: y * (grad - sum(grad * y))."""
    if dim is None:
        step.refuse("no dim is given")
    weighted = grad * step.result
    found = weighted - step.result * weighted.sum(dim=dim, keepdim=True)
    return {"input": -found if step.record.op == "softmin" else found}


@adjoint("softmax2d")
def softmax2d(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.nn.Softmax2d: over the channels."""
    return softmax(step, grad, input, -3)


@adjoint("log_softmax")
def log_softmax(
    step: Step, grad: Tensor, input: Tensor, dim: int | None = None, **options: Any
) -> Mapping[str, Tensor]:
    """torch.log_softmax: grad - exp(y) * sum(grad)."""
    if dim is None:
        step.refuse("no dim is given")
    return {"input": grad - step.result.exp() * grad.sum(dim=dim, keepdim=True)}
