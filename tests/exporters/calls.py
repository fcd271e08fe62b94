"""One call of an operator or a layer as a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from tests.exporters.judging import filled
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netloft.tracing.shapes import resized

__all__ = ["Arguments", "Sample", "one_item", "open_batch"]

BATCHES = (1, 3, 5)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""In order, and by name."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor stood among the arguments, and what stands there in the network."""

    kind: Literal["item", "batch", "weight"]
    name: str = ""

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class Call(nn.Module):
    """One call of an operator; tensors are inputs or weights, all else is fixed."""

    def __init__(self, call: Callable[..., Any], tree: Any, leaves: list[Any]) -> None:
        super().__init__()
        self.call, self.tree, self.leaves = call, tree, leaves

    def forward(self, **tensors: Tensor) -> Any:
        """Call the operator; an item is an input whose batch axis of one is taken off."""
        leaves = list(self.leaves)
        for index, place in enumerate(leaves):
            if isinstance(place, _Place):
                known = getattr(self, place.name) if place.kind == "weight" else tensors[place.name]
                leaves[index] = known[0] if place.kind == "item" else known
        args, kwargs = pytree.tree_unflatten(leaves, self.tree)
        return self.call(*args, **kwargs)


@dataclass
class Sample:
    """A network of one operator, what it is traced with and what it is compared on."""

    module: Call
    example: dict[str, Tensor]
    batch: str | int
    cases: list[dict[str, Tensor]]

    def __str__(self) -> str:
        tensors = {**self.example, **dict(self.module.named_buffers())}
        shapes = [f"{t.dtype}{list(t.shape)}".removeprefix("torch.") for t in tensors.values()]
        given = pytree.tree_unflatten(self.module.leaves, self.module.tree)
        return f"{', '.join(shapes)} in {given}"


def one_item(call: Callable[..., Any], arguments: Arguments) -> Sample | None:
    """Make every tensor an input with a batch axis of one in front; None where there is none."""
    leaves, tree = pytree.tree_flatten(arguments)
    inputs: dict[str, Tensor] = {}
    places = list(leaves)
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            name = f"x{len(inputs)}"
            inputs[name] = leaf.detach()[None]
            places[index] = _Place("item", name)
    return Sample(_module(call, tree, places), inputs, 1, [inputs]) if inputs else None


def open_batch(call: Callable[..., Any], arguments: Arguments) -> Sample | None:
    """Take the first tensor's own first axis for the batch, if the call allows other batches.

    Tensors of the same first length share the batch; the others are weights.
    """
    leaves, tree = pytree.tree_flatten(arguments)
    if not isinstance(leaves[0], Tensor) or not leaves[0].dim() or not len(leaves[0]):
        return None
    inputs: dict[str, Tensor] = {}
    module = _module(call, tree, list(leaves))
    for index, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            continue
        shares = leaf.dim() and len(leaf) == len(leaves[0])
        place = _Place("batch" if shares else "weight", f"{'x' if shares else 'w'}{index}")
        module.leaves[index] = place
        if shares:
            inputs[place.name] = leaf.detach()
        else:
            module.register_buffer(place.name, leaf.detach())
    cases = [case for case in map(partial(_sized, inputs), BATCHES) if _runs(module, case)]
    return Sample(module, inputs, "dynamic", cases) if len(cases) == len(BATCHES) else None


def _module(call: Callable[..., Any], tree: Any, leaves: list[Any]) -> Call:
    module = Call(call, tree, leaves).eval()
    filled(module)
    return module


def _sized(inputs: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Return inputs of another batch; repeated items differ by a factor and keep their order."""
    made = {name: resized(tensor, batch) for name, tensor in inputs.items()}
    for name, tensor in made.items():
        if tensor.is_floating_point():
            factors = torch.linspace(1, 1.1, batch).view(-1, *[1] * (tensor.dim() - 1))
            made[name] = tensor * factors
    return made


def _runs(module: Call, inputs: dict[str, Tensor]) -> bool:
    try:
        module(**{name: tensor.clone() for name, tensor in inputs.items()})
    except Exception:  # noqa: BLE001 - a layer may say no in any way
        return False
    return True
