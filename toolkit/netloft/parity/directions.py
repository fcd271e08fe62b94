"""Directions that a file gives, held to float64 by their length.

A gradient jumps where a ReLU or the place of a maximum changes. A picture that stands at such a
kink, to the last places of float32, gets either of two directions, and both are right. By its
largest element such a direction is simply wrong; beside its length it is off by what one activation
weighs. So each item is judged for itself: by how far PyTorch's own float32 direction is off, and
the directions of pictures that are moved by one rounding, which fall to both sides of a kink, and
where that does not explain it, of weights that are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from netloft.errors import ParityError
from netloft.graph.graph import Graph
from netloft.parity.inputs import Case, feeds_of
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.reference import Reference

__all__ = ["Directions", "check_directions"]

Arrays = Mapping[str, npt.NDArray[Any]]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Directions:
    """How far a file's directions are from float64's, beside their length (L2).

    Attributes:
        items: How many were compared.
        median: The distance of the item in the middle.
        worst: The largest distance.
        undecided: Items at a kink that turns PyTorch's own direction so far that nothing can be
            said of the file's.
    """

    items: int
    median: float
    worst: float
    undecided: int


@dataclass(frozen=True)
class _Judged:
    """One set of inputs: distances (batch,) of the file, and of PyTorch in float32."""

    case: Case
    at: Doubles
    file: Doubles
    own: Doubles
    wanted: Doubles


def check_directions(
    graph: Graph,
    module: nn.Module,
    run: Callable[[dict[str, npt.NDArray[Any]]], Arrays],
    cases: Sequence[Case],
    *,
    output: str,
    start: str,
    policy: Policy = DEFAULT_POLICY,
) -> Directions:
    """Compare where a file goes with where its module goes in float64.

    Args:
        graph: The proven graph of `module`.
        module: The source, in eval mode.
        run: Runs the file.
        cases: Inputs to compare on.
        output: The output that says where each item goes, (batch, …).
        start: The input that says where each stands, of the same shape.
        policy: What passes.

    Raises:
        ParityError: An item goes another way than rounding explains; or most of them stand where
            nothing can be said.
    """
    reference = Reference(module, graph)
    judged = []
    for case in cases:
        ran = reference.run(case)
        at = case.inputs[start].double().numpy()
        wanted = ran.float64[output] - at
        given = run(feeds_of(graph, case.inputs))[output] - at
        file, own = distances(given, wanted), distances(ran.float32[output] - at, wanted)
        judged.append(_Judged(case, at, file, own, wanted))
    usual = float(np.median(np.concatenate([each.own for each in judged])))
    least = max(usual, policy.least)
    floors = [_floors(each, least, reference, output, policy) for each in judged]
    known = np.concatenate(floors)
    highest = float(known[np.isfinite(known)].max(initial=least))
    undecided = sum(
        _count_undecided(each, floor, highest, policy)
        for each, floor in zip(judged, floors, strict=True)
    )
    every = np.concatenate([each.file for each in judged])
    if 2 * undecided > len(every):
        raise ParityError(
            f"the exported step cannot be judged: {undecided} of {len(every)} pictures stand where "
            "PyTorch's own float32 direction says nothing",
            remedy="name a layer nearer to the picture with --layer",
        )
    return Directions(len(every), float(np.median(every)), float(every.max()), undecided)


def distances(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> Doubles:
    """Return how far each item is from what is wanted, beside the length of that.

    Args:
        found: (batch, …).
        wanted: Of the same shape; an item of zeros has to be met exactly.

    Returns:
        (batch,): 0 for the same, infinity where nothing is wanted and something found, and where
        something is no number.
    """
    axes = tuple(range(1, wanted.ndim))
    gap = np.sqrt(np.square(found.astype(np.float64) - wanted).sum(axis=axes))
    length = np.sqrt(np.square(wanted.astype(np.float64)).sum(axis=axes))
    apart = np.divide(gap, length, out=np.full_like(gap, np.inf), where=length > 0)
    return np.where(gap == 0, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _floors(
    judged: _Judged, least: float, reference: Reference, output: str, policy: Policy
) -> Doubles:
    """Return how far each item may be off by rounding alone, asked closer where that is needed."""
    floors = np.maximum(judged.own, least)
    # a kink deep inside is met by what the layers in front of it round to
    for nearby in (reference.rounded_runs, reference.reread_runs):
        if set(_statuses(judged.file, floors, policy)) == {"pass"}:
            break
        ran = nearby(judged.case)
        again = [distances(found[output] - judged.at, judged.wanted) for found in ran]
        floors = np.max([floors, *again], axis=0)
    return floors


def _statuses(errors: Doubles, floors: Doubles, policy: Policy) -> list[str]:
    return [policy.status(e, f) for e, f in zip(errors.tolist(), floors.tolist(), strict=True)]


def _count_undecided(judged: _Judged, floors: Doubles, highest: float, policy: Policy) -> int:
    """Count the items of which nothing can be said.

    A run that shows how far a kink throws an item may miss the kink that the file meets; that of
    another item may show it. So an item within the highest floor of all is not called wrong, and
    not right either: a step that is wrong by rule is so for most.

    Raises:
        ParityError: An item is off further than any kink throws one.
    """
    statuses = _statuses(judged.file, floors, policy)
    for item in np.argsort(-judged.file / floors):
        error = float(judged.file[item])
        if statuses[item] == "fail" and policy.status(error, highest) == "fail":
            raise ParityError(
                f"the exported step goes another way than the network's gradient: item {item} of "
                f"{judged.case.kind} at batch {judged.case.batch} is off by {error:.2g} of "
                f"its length where {policy.tolerance(highest):.2g} is allowed",
                remedy="report the network, and try another layer",
            )
    return len(statuses) - statuses.count("pass")
