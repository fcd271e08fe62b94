"""The table of adjoints: canonical operation to function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, TypeVar

from torch import Tensor, fx

from netloft.errors import UsageError
from netloft.graph.annotation import Annotation, Dim, TensorInfo
from netloft.graph.graph import annotation
from netloft.tracing.source import describe

__all__ = [
    "ADJOINTS",
    "Adjoint",
    "NoAdjointError",
    "Step",
    "adjoint",
    "parameters_of",
    "reduced",
    "shape_of",
]

Adjoint = Callable[..., Mapping[str, Any]]
F = TypeVar("F", bound=Adjoint)

ADJOINTS: dict[str, Adjoint] = {}
"""An adjoint takes the step, the gradient of its result, and then the operation's own arguments, in
torch's order. It gives the gradient of each argument that has one, by name: a list for a list.
"""


class NoAdjointError(UsageError):
    """There is no gradient through an operation."""


def adjoint(*ops: str) -> Callable[[F], F]:
    """Register a function for canonical operations; its signature is torch's own."""

    def register(function: F) -> F:
        for op in ops:
            ADJOINTS[op] = function
        return function

    return register


@cache
def parameters_of(function: Adjoint) -> inspect.Signature:
    """Return an adjoint's signature."""
    return inspect.signature(function)


@dataclass(frozen=True)
class Step:
    """One operation of a graph that is gone through backwards.

    Attributes:
        node: The operation.
        result: What it gave.
        given: Its arguments by name, as the graph has them: nodes, and what is plain.
        weights: The weights of a layer by name, for their shapes; empty for a function.
    """

    node: fx.Node
    result: Any
    given: Mapping[str, Any]
    weights: Mapping[str, Tensor | None]

    @property
    def record(self) -> Annotation:
        """What is known of the operation."""
        return annotation(self.node)

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Shape of its one result."""
        assert isinstance(self.record.value, TensorInfo)
        return self.record.value.shape

    def shape_of(self, name: str) -> tuple[Dim, ...]:
        """Return the shape of the tensor that was given as an argument; empty for a number."""
        return shape_of(self.weights.get(name, self.given.get(name)))

    def lengths_of(self, name: str, *axes: int) -> list[int]:
        """Return lengths of an argument's axes; all but the first two where none are named.

        Raises:
            NoAdjointError: One follows the batch, or is open.
        """
        shape = self.shape_of(name)
        chosen = [shape[axis] for axis in axes] if axes else list(shape[2:])
        found = [length for length in chosen if isinstance(length, int)]
        if len(found) < len(chosen):
            self.refuse("an axis whose length is open")
        return found

    def like(self, grad: Tensor, name: str, shape: Sequence[Dim] | None = None) -> Tensor:
        """Add a gradient up to the shape of the argument, where that was repeated to fit.

        Args:
            grad: Of the shape that the argument was repeated to.
            name: The argument.
            shape: Shape of `grad`; the result's by default.
        """
        return reduced(grad, tuple(shape or self.shape), self.shape_of(name))

    def parts(self, **found: Callable[[], Tensor]) -> dict[str, Tensor]:
        """Work out the gradients of those arguments that are tensors, each in its own shape."""
        given = self.given
        return {
            name: self.like(make(), name)
            for name, make in found.items()
            if isinstance(given.get(name), fx.Node)
        }

    def as_argument(self, grad: Tensor, name: str, value: Tensor) -> Tensor:
        """Give a gradient the argument's shape; the number of elements is the same."""
        shape = self.shape_of(name)
        open_ = [axis for axis, length in enumerate(shape) if not isinstance(length, int)]
        if len(open_) == 1:  # which then follows from the rest
            return grad.reshape([d if isinstance(d, int) else -1 for d in shape])
        sizes = [d if isinstance(d, int) else value.shape[i] for i, d in enumerate(shape)]
        return grad.reshape(sizes)

    def refuse(self, why: str) -> NoReturn:
        """Say that there is no gradient.

        Raises:
            NoAdjointError: Always.
        """
        record = self.record
        raise NoAdjointError(
            f"there is no gradient through {record.op}: {why}",
            node=self.node.name,
            module=record.module,
            source=describe(record.source),
            remedy="name a layer behind it with --layer",
        )


def shape_of(argument: Any) -> tuple[Dim, ...]:
    """Return the shape of a tensor or of a node that gives one; empty for what is plain."""
    if isinstance(argument, Tensor):
        return tuple(argument.shape)
    if isinstance(argument, fx.Node):
        value = annotation(argument).value
        if isinstance(value, TensorInfo):
            return value.shape
    return ()


def reduced(grad: Tensor, whole: Sequence[Dim], own: Sequence[Dim]) -> Tensor:
    """Add up what was repeated to fit.

    Args:
        grad: Of shape `whole`.
        whole: What a tensor was repeated to.
        own: What its shape was before.
    """
    front = len(whole) - len(own)
    if front:
        grad = grad.sum(dim=list(range(front)))
    pairs = zip(own, whole[front:], strict=True)
    axes = [axis for axis, (mine, theirs) in enumerate(pairs) if mine == 1 != theirs]
    return grad.sum(dim=axes, keepdim=True) if axes else grad
