"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from netloft.gradients.adjoint import Step, adjoint, reduced, shape_of

__all__ = ["addmm", "baddbmm", "einsum", "linear", "matmul"]


@adjoint("linear")
def linear(
    step: Step, grad: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Mapping[str, Tensor]:
    """torch.nn.functional.linear: through the weight, the other way round."""
    if len(step.shape_of("weight")) == 1:
        return {"input": grad.unsqueeze(-1) * weight}
    return {"input": grad.matmul(weight)}


@adjoint("matmul", "bmm", "mm", "mv", "dot", "linalg_matmul")
def matmul(step: Step, grad: Tensor, input: Tensor, other: Tensor) -> Mapping[str, Tensor]:
    """torch.matmul: each operand by the other, transposed; a vector is a row, or a column."""
    left, right, whole = step.shape_of("input"), step.shape_of("other"), list(step.shape)
    row, column = len(left) == 1, len(right) == 1
    if row and column:
        return {"input": grad * other, "other": grad * input}
    if row:
        input, left = input.unsqueeze(0), (1, *left)
        grad, whole = grad.unsqueeze(-2), [*whole[:-1], 1, *whole[-1:]]
    if column:
        other, right = other.unsqueeze(-1), (*right, 1)
        grad, whole = grad.unsqueeze(-1), [*whole, 1]
    items = whole[:-2]
    by_input = reduced(grad.matmul(other.transpose(-1, -2)), (*items, *left[-2:]), left)
    by_other = reduced(input.transpose(-1, -2).matmul(grad), (*items, *right[-2:]), right)
    return {
        "input": by_input.squeeze(0) if row else by_input,
        "other": by_other.squeeze(-1) if column else by_other,
    }


@adjoint("addmm")
def addmm(
    step: Step, grad: Tensor, input: Tensor, mat1: Tensor, mat2: Tensor, beta: Any = 1,
    alpha: Any = 1,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.addmm: beta * input + alpha * mat1 @ mat2."""
    return {
        **step.parts(input=lambda: grad * beta),
        "mat1": grad.matmul(mat2.transpose(-1, -2)) * alpha,
        "mat2": mat1.transpose(-1, -2).matmul(grad) * alpha,
    }


@adjoint("baddbmm")
def baddbmm(
    step: Step, grad: Tensor, input: Tensor, batch1: Tensor, batch2: Tensor, beta: Any = 1,
    alpha: Any = 1,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.baddbmm: addmm, item by item."""
    return {
        **step.parts(input=lambda: grad * beta),
        "batch1": grad.matmul(batch2.transpose(-1, -2)) * alpha,
        "batch2": batch1.transpose(-1, -2).matmul(grad) * alpha,
    }


@adjoint("einsum")
def einsum(step: Step, grad: Tensor, equation: str, *operands: Any) -> Mapping[str, Any]:
    """torch.einsum: each operand changes places with the result."""
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    terms, arrow, result = equation.replace(" ", "").partition("->")
    words = terms.split(",")
    if not arrow or "." in equation or any(len(set(word)) < len(word) for word in words):
        step.refuse(f"the equation {equation}")
    given = step.given["operands"]
    shapes = map(shape_of, given[0] if tensors is not operands else given)
    pairs = (zip(word, shape, strict=True) for word, shape in zip(words, shapes, strict=True))
    lengths = {pair for each in pairs for pair in each}
    if len(lengths) > len({letter for letter, _ in lengths}):
        step.refuse("a length of one that is repeated")
    found = []
    for i, word in enumerate(words):
        others = [*words[:i], *words[i + 1 :]]
        if not set(word) <= set("".join([result, *others])):
            step.refuse(f"the equation {equation}, which sums one operand alone")
        factors = [grad, *tensors[:i], *tensors[i + 1 :]]
        found.append(torch.einsum(",".join([result, *others]) + "->" + word, *factors))
    return {"operands": [found] if tensors is not operands else found}
