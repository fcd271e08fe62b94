"""Contestants that take turns; where one fails meanwhile, the others go on without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netloft.speed.contestants import Contestant
from netloft.speed.measure import Plan, RunError, Samples, measure

__all__ = ["Failed", "Measured", "together"]


class Measured(NamedTuple):
    """A contestant and its times."""

    contestant: Contestant
    samples: Samples


class Failed(NamedTuple):
    """A contestant that was started, and why it has no times."""

    contestant: Contestant
    reason: str


def together(
    contestants: Sequence[Contestant], plan: Plan, *, ready: Callable[[], object] | None = None
) -> tuple[list[Measured], list[Failed]]:
    """Time contestants side by side.

    Args:
        contestants: Each has run once.
        plan: How long to measure.
        ready: As of `measure`.

    Returns:
        Those that ran to the end, in their order, and those that did not. The rounds begin anew
        without one that failed: what it did to the others' times is not in them.
    """
    left, failed = list(contestants), list[Failed]()
    while True:
        runs, agains = [each.run for each in left], [each.again for each in left]
        try:
            samples = measure(runs, plan, ready=ready, agains=agains)
        except RunError as error:
            failed.append(Failed(left.pop(error.index), error.problem))
            continue
        return list(map(Measured, left, samples)), failed
