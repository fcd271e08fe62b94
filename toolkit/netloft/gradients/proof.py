"""A gradient, held to the one that PyTorch's autograd works out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from netloft.errors import CheckError, first_line
from netloft.gradients.adjoint import NoAdjointError
from netloft.gradients.walk import Walk, adopt
from netloft.graph.graph import Graph

__all__ = ["LIMIT", "check_gradient"]

LIMIT = 1e-6
"""Largest distance in float64, beside the length of the gradient: sums in another order differ by a
few parts in 1e16, PyTorch keeps factors such as the sixth of hardsigmoid in float32, and another
function differs by far more.
"""


def check_gradient(
    graph: Graph, inputs: Sequence[Tensor], seed: fx.Node, at: Sequence[fx.Node]
) -> float:
    """Compare gradients with autograd's, in float64, with random weights for the seed.

    Args:
        graph: Without writes in place.
        inputs: In order; those of real numbers are taken in float64.
        seed: Node whose value is weighted and added up.
        at: Where the gradient is wanted.

    Returns:
        The largest distance beside the length of the gradient (L2), of all of `at`.

    Raises:
        CheckError: They are further apart than `LIMIT`.
        NoAdjointError: The graph does not run in float64, or something in between has none.
    """
    root = nn.Module()
    adopt(root, graph)
    root = copy.deepcopy(root).double().requires_grad_()  # pictures as bytes require none
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    walk = Walk(root, graph)
    try:
        found, expected = _both(walk, wide, seed, at)
    except RuntimeError as error:
        raise NoAdjointError(
            f"the gradient of %{seed.name} cannot be proven in float64: {first_line(error)}",
            remedy="name a layer behind what fixes an element type with --layer",
        ) from error
    worst = max(map(_distance, found, expected))
    if not worst <= LIMIT:
        raise CheckError(
            f"the gradient of %{seed.name} differs from autograd's by {worst:.2g} of its length"
        )
    return worst


def _both(
    walk: Walk, wide: Sequence[Tensor], seed: fx.Node, at: Sequence[fx.Node]
) -> tuple[Sequence[Tensor], Sequence[Tensor | None]]:
    """Return the gradients, ours and autograd's, for random weights of the seed."""
    with torch.enable_grad():
        walk.forward([x.requires_grad_() if x.is_floating_point() else x for x in wide])
    value = walk.value(seed)
    weights = torch.randn(value.shape, dtype=value.dtype, generator=_generator())
    with torch.no_grad():
        found = walk.backward({seed: weights}, at)
    with torch.enable_grad():
        total = (value * weights).sum()
        expected = torch.autograd.grad(total, list(map(walk.value, at)), allow_unused=True)
    return found, expected


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _distance(found: Tensor, expected: Tensor | None) -> float:
    if expected is None:
        expected = torch.zeros_like(found)
    if found.shape != expected.shape:
        return float("inf")
    gap = torch.linalg.vector_norm(found - expected)
    return float(gap / torch.linalg.vector_norm(expected).clamp(min=1e-30)) if gap else 0.0
