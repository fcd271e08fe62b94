"""Arithmetic and functions of one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from netloft.gradients.adjoint import ADJOINTS, Adjoint, Step, adjoint

__all__ = [
    "DERIVATIVES",
    "add",
    "addcdiv",
    "addcmul",
    "clamp",
    "div",
    "extreme",
    "flat",
    "lerp",
    "mul",
    "power",
    "rsub",
    "sub",
    "where",
    "where_method",
]

_ERF = 2 / math.sqrt(math.pi)

DERIVATIVES: Mapping[str, Callable[[Tensor, Tensor], Any]] = {
    "neg": lambda x, y: -1.0,
    "exp": lambda x, y: y,
    "exp2": lambda x, y: y * math.log(2),
    "expm1": lambda x, y: y + 1,
    "log": lambda x, y: x.reciprocal(),
    "log2": lambda x, y: (x * math.log(2)).reciprocal(),
    "log10": lambda x, y: (x * math.log(10)).reciprocal(),
    "log1p": lambda x, y: (x + 1).reciprocal(),
    "sqrt": lambda x, y: (y * 2).reciprocal(),
    "rsqrt": lambda x, y: y * y * y * -0.5,
    "square": lambda x, y: x * 2,
    "reciprocal": lambda x, y: -(y * y),
    "abs": lambda x, y: x.sign(),
    "sin": lambda x, y: x.cos(),
    "cos": lambda x, y: -x.sin(),
    "tan": lambda x, y: y * y + 1,
    "asin": lambda x, y: (1 - x * x).rsqrt(),
    "acos": lambda x, y: -(1 - x * x).rsqrt(),
    "atan": lambda x, y: (x * x + 1).reciprocal(),
    "sinh": lambda x, y: x.cosh(),
    "cosh": lambda x, y: x.sinh(),
    "erf": lambda x, y: (-(x * x)).exp() * _ERF,
    "tanh": lambda x, y: 1 - y * y,
    "sigmoid": lambda x, y: y * (1 - y),
}
"""Derivative by the argument and by the result."""

_FLAT = ("sign", "floor", "ceil", "round", "trunc")


def _of_one(derivative: Callable[[Tensor, Tensor], Any]) -> Adjoint:
    def pulled(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
        return {"input": grad * derivative(input, step.result)}

    return pulled


ADJOINTS.update({op: _of_one(derivative) for op, derivative in DERIVATIVES.items()})


@adjoint(*_FLAT)
def flat(step: Step, grad: Tensor, input: Tensor, **options: Any) -> Mapping[str, Tensor]:
    """Steps: their derivative is zero wherever there is one."""
    return {"input": torch.zeros_like(input)}


@adjoint("add")
def add(
    step: Step, grad: Tensor, input: Any, other: Any, *, alpha: Any = 1
) -> Mapping[str, Tensor]:
    """torch.add: input + alpha * other."""
    return step.parts(input=lambda: grad, other=lambda: grad if alpha == 1 else grad * alpha)


@adjoint("sub")
def sub(
    step: Step, grad: Tensor, input: Any, other: Any, *, alpha: Any = 1
) -> Mapping[str, Tensor]:
    """torch.sub: input - alpha * other."""
    return step.parts(input=lambda: grad, other=lambda: grad * -alpha)


@adjoint("rsub")
def rsub(step: Step, grad: Tensor, input: Any, other: Any, alpha: Any = 1) -> Mapping[str, Tensor]:
    """torch.rsub: other - alpha * input."""
    return step.parts(input=lambda: grad * -alpha, other=lambda: grad)


@adjoint("mul")
def mul(step: Step, grad: Tensor, input: Any, other: Any) -> Mapping[str, Tensor]:
    """torch.mul: each by the other."""
    return step.parts(input=lambda: grad * other, other=lambda: grad * input)


@adjoint("div")
def div(
    step: Step, grad: Tensor, input: Any, other: Any, *, rounding_mode: str | None = None
) -> Mapping[str, Tensor]:
    """torch.div without rounding."""
    if rounding_mode is not None:
        step.refuse(f"rounding_mode='{rounding_mode}'")
    return step.parts(input=lambda: grad / other, other=lambda: -(grad * step.result) / other)


@adjoint("pow")
def power(step: Step, grad: Tensor, input: Any, exponent: Any) -> Mapping[str, Tensor]:
    """torch.pow: by the base, and by the exponent."""

    def by_base() -> Any:
        if isinstance(exponent, int | float):
            if exponent in (0, 1):
                return grad * float(exponent)
            return grad * (input ** (exponent - 1) * exponent)
        return grad * torch.where(exponent == 0, 0.0, exponent * input ** (exponent - 1))

    def by_exponent() -> Any:
        log = math.log(input) if isinstance(input, int | float) else input.log()
        return grad * torch.where(step.result == 0, 0.0, step.result * log)

    return step.parts(input=by_base, exponent=by_exponent)


@adjoint("lerp")
def lerp(step: Step, grad: Tensor, input: Tensor, end: Tensor, weight: Any) -> Mapping[str, Any]:
    """torch.lerp: input + weight * (end - input)."""
    return step.parts(
        input=lambda: grad * (1 - weight),
        end=lambda: grad * weight,
        weight=lambda: grad * (end - input),
    )


@adjoint("addcmul")
def addcmul(
    step: Step, grad: Tensor, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1
) -> Mapping[str, Tensor]:
    """torch.addcmul: input + value * tensor1 * tensor2."""
    return step.parts(
        input=lambda: grad,
        tensor1=lambda: grad * (tensor2 * value),
        tensor2=lambda: grad * (tensor1 * value),
    )


@adjoint("addcdiv")
def addcdiv(
    step: Step, grad: Tensor, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1
) -> Mapping[str, Tensor]:
    """torch.addcdiv: input + value * tensor1 / tensor2."""
    return step.parts(
        input=lambda: grad,
        tensor1=lambda: grad * value / tensor2,
        tensor2=lambda: -(grad * value * tensor1) / (tensor2 * tensor2),
    )


@adjoint("maximum", "minimum")
def extreme(step: Step, grad: Tensor, input: Tensor, other: Tensor) -> Mapping[str, Tensor]:
    """torch.maximum and torch.minimum: to the winner, and half to each of two equals."""
    more, less = (input > other, input < other)
    if step.record.op == "minimum":
        more, less = less, more
    even = grad * 0.5
    return step.parts(
        input=lambda: torch.where(more, grad, torch.where(less, 0.0, even)),
        other=lambda: torch.where(less, grad, torch.where(more, 0.0, even)),
    )


@adjoint("where")
def where(step: Step, grad: Tensor, condition: Tensor, input: Any, other: Any) -> Mapping[str, Any]:
    """torch.where: to the one that was chosen."""
    return step.parts(
        input=lambda: torch.where(condition, grad, 0.0),
        other=lambda: torch.where(condition, 0.0, grad),
    )


@adjoint("where_method")
def where_method(
    step: Step, grad: Tensor, input: Any, condition: Tensor, other: Any
) -> Mapping[str, Tensor]:
    """torch.Tensor.where, whose arguments stand in another order."""
    return where(step, grad, condition, input, other)


@adjoint("clamp", "clip")
def clamp(
    step: Step, grad: Tensor, input: Tensor, min: Any = None, max: Any = None
) -> Mapping[str, Tensor]:
    """torch.clamp: where nothing was cut, the ends among it."""
    if min is not None:
        grad = torch.where(input >= min, grad, 0.0)
    if max is not None:
        grad = torch.where(input <= max, grad, 0.0)
    return step.parts(input=lambda: grad)


@adjoint("clamp_min")
def clamp_min(step: Step, grad: Tensor, input: Tensor, min: Any) -> Mapping[str, Tensor]:
    """torch.clamp with one end."""
    return clamp(step, grad, input, min=min)


@adjoint("clamp_max")
def clamp_max(step: Step, grad: Tensor, input: Tensor, max: Any) -> Mapping[str, Tensor]:
    """torch.clamp with one end."""
    return clamp(step, grad, input, max=max)
