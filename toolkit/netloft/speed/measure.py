"""Time things side by side; what is short and can be started anew has several lives.

Where memory lies decides by some percent how long a short run takes (Mytkowycz and others,
"Producing wrong data without doing anything obviously wrong!", 2009), and more rounds of one
session tell of one place. So each life of a short one lies somewhere else, and how far they lie
apart is in the interval (Curtsinger and Berger, "STABILIZER", 2013).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from netloft.runtime.capture import captured_output
from netloft.speed.rounds import (
    FEWEST,
    Clock,
    Plan,
    Run,
    RunError,
    Samples,
    in_rounds,
    named,
    no_collection,
)
from netloft.speed.stats import PLACE, Interval, paired_ratio

__all__ = [
    "Again",
    "Clock",
    "Plan",
    "Run",
    "RunError",
    "Samples",
    "measure",
    "named",
    "ratio_between",
    "ratio_of",
]

Again = Callable[[], Run]

SHORT_S = 1e-3
"""A run that takes less is short."""

LIVES = 16
"""Of what has short runs. Half the interval of their mean is 0.74 of the deviation of one: where
sessions differ by 2 or 3 %, a twentieth is told from 1."""

_ENOUGH = 4
"""Lives that tell something, where no more can be started."""

_APART = 1 << 16
"""Bytes that lie between what is started, at most: else each life would have the same offsets."""


def measure(
    runs: Sequence[Run],
    plan: Plan,
    clock: Clock | None = None,
    *,
    ready: Callable[[], object] | None = None,
    agains: Sequence[Again | None] = (),
) -> list[Samples]:
    """Time several contestants side by side, as `in_rounds` does.

    Args:
        runs: The contestants; each returns when its work is done.
        plan: How long to measure.
        clock: Of the machine by default.
        ready: Called once all are warm, before the first round of each life.
        agains: What starts each once more, and returns its run; None where that cannot be, and
            nothing where none can be.

    Returns:
        Samples in the order of `runs`, as many for each.

    Raises:
        RunError: One of them failed.
    """
    short = _short(runs, agains, plan) if any(agains) else []
    lives = list[list[Samples]]()
    if any(short):
        with no_collection():
            for number, started in enumerate(_started_anew(runs, short, plan)):
                lives.append(in_rounds(started, plan.part(number, LIVES), clock, ready=ready))
    if len(lives) < _ENOUGH:
        return in_rounds(runs, plan, clock, ready=ready)
    each = zip(short, *lives, strict=True)
    return [_joined(of_one, anew=again is not None) for again, *of_one in each]


def ratio_of(
    run: Run,
    baseline: Run,
    plan: Plan,
    *,
    ready: Callable[[], object] | None = None,
    agains: tuple[Again, Again] | None = None,
) -> Interval:
    """Time two things in turns; return the time of one over that of the other.

    Args:
        run: The one.
        baseline: The other.
        plan: How long to measure.
        ready: As of `measure`.
        agains: What starts the one, and the other, once more.
    """
    other, taken = measure([baseline, run], plan, ready=ready, agains=(agains or ())[::-1])
    return ratio_between(taken, other)


def ratio_between(samples: Samples, baseline: Samples) -> Interval:
    """Return the ratio of times that were taken in the same rounds.

    Args:
        samples: Of one contestant.
        baseline: Of another.
    """
    anew = bool(samples.lives and baseline.lives)  # else one of them lies where it lies
    return paired_ratio(
        samples.wall_ns,
        baseline.wall_ns,
        lives=samples.lives or baseline.lives,
        place=0.0 if anew else PLACE,
    )


def _short(runs: Sequence[Run], agains: Sequence[Again | None], plan: Plan) -> list[Again | None]:
    """Return what starts those anew whose runs are short, where the lives of all fit the budget."""
    least = list[float]()
    for index, run in enumerate(runs):
        with named(index):
            least.append(_least(run))
    if sum(least) * 2 * FEWEST * LIVES > plan.budget_s:  # beside something slow
        return []
    each = zip(agains, least, strict=True)
    return [again if seconds < SHORT_S else None for again, seconds in each]


def _least(run: Run) -> float:
    """Return the least time of five runs, or of fewer that are not short."""
    least = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
        if least > 10 * SHORT_S:
            break
    return least


def _started_anew(
    runs: Sequence[Run], agains: Sequence[Again | None], plan: Plan
) -> Iterator[Sequence[Run]]:
    """Start what can be for each life, in an order drawn anew; the life before ends only then.

    It ends early where that takes longer than the budget, and where one cannot be started any more:
    for want of memory, most likely.
    """
    generator, between, spent = np.random.default_rng(plan.seed), list[bytearray](), 0.0
    for _ in range(LIVES):
        started, start = list(runs), time.perf_counter()
        for index in generator.permutation(len(runs)):
            between.append(bytearray(int(generator.integers(_APART))))
            again = agains[index]
            try:
                with captured_output():
                    started[index] = again() if again else runs[index]
            except Exception:  # noqa: BLE001 - engines raise anything; how many there were is told
                return
        spent += time.perf_counter() - start
        yield started
        if spent > plan.budget_s:
            return


def _joined(lives: Sequence[Samples], *, anew: bool) -> Samples:
    return Samples(
        tuple(ns for life in lives for ns in life.wall_ns),
        tuple(ns for life in lives for ns in life.cpu_ns),
        tuple(len(life.wall_ns) for life in lives) if anew else (),
    )
