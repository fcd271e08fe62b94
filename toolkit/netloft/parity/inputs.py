"""The inputs that a file is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netloft.graph.graph import Graph
from netloft.tracing.axes import stretched
from netloft.tracing.faithful import fresh_inputs
from netloft.tracing.shapes import resized

__all__ = ["Case", "DomainInputs", "cases", "cases_of", "feeds_of", "parity_batches"]

DomainInputs = Callable[[int, int], tuple[dict[str, torch.Tensor], str] | None]
"""Batch and seed to real-looking inputs by name and what they are; None where there are none."""

EXTREME = 100.0
"""Factor on N(0, 1) for the extreme inputs: large, and far from overflow in float32."""


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes:
        kind: What they are: `noise`, `extreme`, `zeros`, `2 photographs` …
        batch: Items in the batch.
        inputs: By parameter name of `forward`.
        usual: What the network is made for; it may refuse the others, and ties make the indices
            that it gives for them arbitrary.
        parts: What each item is, where they are judged one by one; else empty.
    """

    kind: str
    batch: int
    inputs: Mapping[str, torch.Tensor]
    usual: bool = True
    parts: tuple[str, ...] = ()


def feeds_of(graph: Graph, inputs: Mapping[str, torch.Tensor]) -> dict[str, npt.NDArray[Any]]:
    """Return inputs as a file of the graph takes them.

    Args:
        graph: Says the file's names.
        inputs: By parameter name of `forward`, in order.
    """
    pairs = zip(graph.inputs, inputs.values(), strict=True)
    return {value.name: np.asarray(tensor.numpy(), order="C") for value, tensor in pairs}


def parity_batches(batch: str | int) -> tuple[int, ...]:
    """Return the batch sizes to check: one, two and an odd one, or the fixed one.

    The odd one is not three, which pictures have of colours: batch and channels may be mixed up.
    """
    return (batch,) if isinstance(batch, int) else (1, 2, 5)


def cases(
    example: Mapping[str, torch.Tensor],
    batches: Sequence[int],
    seed: int,
    domain: DomainInputs | None = None,
) -> Iterator[Case]:
    """Make the inputs of a parity check, the same for the same seed.

    A proof in float64 costs by the item: noise shows every batch size, what the network is made for
    the first two, large values the second and zeros the first.

    Args:
        example: Inputs of the right shapes, by name.
        batches: Batch sizes.
        seed: Of the noise.
        domain: Real-looking inputs; without them the example itself is used.
    """
    few = batches[:2]
    for index, batch in enumerate(batches):
        noise = fresh_inputs(example, batch, seed + index)
        yield Case("noise", batch, noise)
        if batch in few:
            yield _real(example, batch, domain(batch, seed + index) if domain else None)
        if batch == few[-1]:
            large = {name: _extreme(tensor) for name, tensor in noise.items()}
            yield Case("extreme", batch, large, usual=False)
    zeros = {n: torch.zeros_like(t) for n, t in fresh_inputs(example, batches[0], seed).items()}
    yield Case("zeros", batches[0], zeros, usual=False)


def cases_of(
    graph: Graph,
    example: Mapping[str, torch.Tensor],
    seed: int,
    domain: DomainInputs | None = None,
) -> Iterator[Case]:
    """Make the inputs of a graph's parity check: every batch size, open axes at two lengths.

    Args:
        graph: Says what is open.
        example: Inputs of the right shapes, by name.
        seed: Of the noise.
        domain: Real-looking inputs.
    """
    batches = parity_batches(graph.batch)
    yield from cases(example, batches, seed, domain)
    others = {symbol: lengths[1] for symbol, lengths in graph.lengths.items() if lengths[1:]}
    if not others:
        return
    told = " and ".join(f"{symbol} {length}" for symbol, length in others.items())
    longer = stretched(example, graph.axes, others)
    for index, batch in enumerate(batches):
        yield Case(f"noise at {told}", batch, fresh_inputs(longer, batch, seed + index))


def _real(
    example: Mapping[str, torch.Tensor],
    batch: int,
    domain: tuple[Mapping[str, torch.Tensor], str] | None,
) -> Case:
    if domain:
        return Case(domain[1], batch, domain[0])
    return Case("example", batch, {n: _sized(t, batch) for n, t in example.items()})


def _sized(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    return resized(tensor, batch) if tensor.dim() else tensor


def _extreme(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype.is_floating_point:
        return tensor * EXTREME
    if tensor.dtype is torch.bool:
        return torch.ones_like(tensor)
    return torch.full_like(tensor, int(tensor.max()))
