"""Contestants that take turns; where one fails meanwhile, the others go on without it.

Where memory lies decides by some percent how long a short run takes (Mytkowycz and others,
"Producing wrong data without doing anything obviously wrong!", 2009), and more rounds of the same
session tell of the same place. So what is short and can be started anew has several lives, each
somewhere else, and how far they lie apart is in the interval (Curtsinger and Berger, "STABILIZER",
2013).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netloft.speed.contestants import Contestant
from netloft.speed.measure import Plan, RunError, Samples, measure, named, ratio_between
from netloft.speed.stats import Interval

__all__ = ["Failed", "Measured", "ratio_of_lives", "together"]

Run = Callable[[], object]
Again = Callable[[], Run]

SHORT_S = 1e-3
"""A run that takes less is short."""

LIVES = 16
"""Of a contestant with short runs. Half the interval of their mean is 0.74 of the deviation of one:
where sessions differ by 2 or 3 %, a twentieth is told from 1."""


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
        try:
            runs, agains = [each.run for each in left], [each.again for each in left]
            lives = LIVES if _is_short(runs, agains) else 1
            samples = _lived(runs, agains, plan, lives, ready)
        except RunError as error:
            failed.append(Failed(left.pop(error.index), error.problem))
            continue
        return list(map(Measured, left, samples)), failed


def ratio_of_lives(
    again: Again, baseline: Again, plan: Plan, *, ready: Callable[[], object] | None = None
) -> Interval | None:
    """Return the ratio of two things that are started anew many times.

    Args:
        again: Starts the one, and returns its run.
        baseline: Starts the other.
        plan: How long to measure.
        ready: As of `measure`.

    Returns:
        None where runs are so long that one session tells enough.

    Raises:
        RunError: One of them failed.
    """
    both, runs = (baseline, again), list[Run]()
    for index, start in enumerate(both):
        with named(index):
            runs.append(start())
            runs[-1]()
    if not _is_short(runs, both):
        return None
    other, taken = _lived(runs, both, plan, LIVES, ready)
    return ratio_between(taken, other)


def _is_short(runs: Sequence[Run], agains: Sequence[Again | None]) -> bool:
    """Tell whether the first that can be started anew has short runs; all of them ran before."""
    for index, (run, again) in enumerate(zip(runs, agains, strict=True)):
        if again is not None:
            with named(index):
                start = time.perf_counter()
                run()
                return time.perf_counter() - start < SHORT_S
    return False


def _lived(
    runs: Sequence[Run],
    agains: Sequence[Again | None],
    plan: Plan,
    lives: int,
    ready: Callable[[], object] | None,
) -> list[Samples]:
    """Measure lives one after the other; who cannot be started anew has one all the time."""
    if lives == 1:
        return measure(runs, plan, ready=ready)
    each, held = list[list[Samples]](), [list(runs)]
    for number in range(lives):
        each.append(measure(held[-1], plan.part(number, lives), ready=ready))
        held.append(
            []
        )  # beside those before: a session that went would leave its place to the next
        for index, again in enumerate(agains if number + 1 < lives else ()):
            with named(index):
                held[-1].append(again() if again else runs[index])
    return [
        _joined(of_one, anew=again is not None)
        for again, *of_one in zip(agains, *each, strict=True)
    ]


def _joined(lives: Sequence[Samples], *, anew: bool) -> Samples:
    return Samples(
        tuple(ns for life in lives for ns in life.wall_ns),
        tuple(ns for life in lives for ns in life.cpu_ns),
        tuple(len(life.wall_ns) for life in lives) if anew else (),
    )
