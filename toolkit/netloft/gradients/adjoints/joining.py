"""Parts put together, and parts taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from netloft.gradients.adjoint import Step, adjoint, shape_of

__all__ = ["cat", "getitem", "narrow", "parts", "select", "stack"]


@adjoint("cat")
def cat(step: Step, grad: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Mapping[str, Any]:
    """torch.cat: to each its part."""
    if isinstance(step.given["tensors"], fx.Node):
        step.refuse("parts that are not taken one by one")
    found, start = list[Tensor | None](), 0
    for given in step.given["tensors"]:
        shape = shape_of(given)
        if shape == (0,):  # of any rank, as long as torch has had it
            found.append(None)
            continue
        length = shape[dim]
        if not isinstance(length, int):
            step.refuse("an axis whose length is open")
        found.append(grad.narrow(dim, start, length))
        start += length
    return {"tensors": found}


@adjoint("stack")
def stack(step: Step, grad: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Mapping[str, Any]:
    """torch.stack: to each its part."""
    if isinstance(step.given["tensors"], fx.Node):
        step.refuse("parts that are not taken one by one")
    return {"tensors": [grad.select(dim, i) for i in range(len(step.given["tensors"]))]}


@adjoint("split", "chunk", "unbind", "tensor_split", "split_with_sizes")
def parts(
    step: Step, grad: list[Tensor | None], input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """torch.split, torch.chunk and torch.unbind: put together again."""
    op = step.record.op
    at = 0 if op == "unbind" else 1
    dim = options.get("dim", args[at] if len(args) > at else 0)
    whole = [
        torch.zeros_like(step.result[i]) if part is None else part for i, part in enumerate(grad)
    ]
    return {"input": torch.stack(whole, dim) if op == "unbind" else torch.cat(whole, dim)}


@adjoint("getitem")
def getitem(step: Step, grad: Tensor, input: Tensor, index: Any) -> Mapping[str, Tensor]:
    """A part of a tensor: zeros around it."""
    return {"input": _placed(grad, input, _places(step, index))}


@adjoint("setitem")
def setitem(
    step: Step, grad: Tensor, input: Tensor, index: Any, value: Any
) -> Mapping[str, Tensor]:
    """`input` with `value` at `index`: to the value what is there, to the input the rest."""
    places = _places(step, index)
    whole = [length if isinstance(length, int) else _OPEN for length in step.shape]
    part = torch.empty(whole, device="meta")[places].shape
    open_ = next((length for length in step.shape if isinstance(length, str)), "")
    shape = [open_ if length == _OPEN else length for length in part]
    found = dict[str, Tensor]()
    if len(step.shape_of("value")) > len(shape):
        step.refuse("a value of more axes than its place")
    if isinstance(step.given["value"], fx.Node):
        found["value"] = step.like(grad[places], "value", shape)
    rest = grad.clone()
    rest[places] = 0.0
    return {**found, "input": rest}


_OPEN = 1_000_003
"""Stands for the one open length of a shape while a part of it is looked at."""


def _places(step: Step, index: Any) -> tuple[Any, ...]:
    """Return an index as a tuple of numbers and slices."""
    given = step.given["index"]
    items = given if isinstance(given, tuple) else (given,)
    nodes: list[fx.Node] = []
    fx.map_arg(items, nodes.append)
    if nodes or any(isinstance(item, list | Tensor) for item in items):
        step.refuse("an index by a list, a tensor or a number that is worked out")
    return index if isinstance(index, tuple) else (index,)


def _placed(grad: Tensor, input: Tensor, index: tuple[Any, ...]) -> Tensor:
    whole = torch.zeros_like(input)
    whole[index] = grad
    return whole


@adjoint("select")
def select(step: Step, grad: Tensor, input: Tensor, dim: int, index: Any) -> Mapping[str, Tensor]:
    """torch.select: zeros around it."""
    front = dim % len(step.shape_of("input"))
    return {"input": _placed(grad, input, (*[slice(None)] * front, index))}


@adjoint("narrow")
def narrow(
    step: Step, grad: Tensor, input: Tensor, dim: int, start: Any, length: Any
) -> Mapping[str, Tensor]:
    """torch.narrow: zeros around it."""
    if isinstance(step.given["start"], fx.Node) or isinstance(step.given["length"], fx.Node):
        step.refuse("a place that is worked out")
    (size,) = step.lengths_of("input", dim)
    front = dim % len(step.shape_of("input"))
    start %= size
    return {"input": _placed(grad, input, (*[slice(None)] * front, slice(start, start + length)))}
