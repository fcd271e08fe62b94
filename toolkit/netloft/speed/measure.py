"""Time things side by side; what is short and can be started anew has several lives.

Where memory lies decides by some percent how long a short run takes (Mytkowycz and others,
"Producing wrong data without doing anything obviously wrong!", 2009), and more rounds of one
session tell of one place. So each life of a short one is started in memory that is left then, and
how far they lie apart is in the interval (Curtsinger and Berger, "STABILIZER", 2013).
"""

from __future__ import annotations

import functools
import math
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
    quiet,
)
from netloft.speed.stats import SHORT_NS, Interval, median, paired_ratio, place_of

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

LIVES = 16
"""Of what has short runs. Half the interval of their mean is 0.74 of the deviation of one: where
sessions differ by 2 or 3 %, a twentieth is told from 1."""

_APART = 1 << 16
"""Bytes that lie between what is started, at most: else each life would have the same offsets."""


def measure(
    runs: Sequence[Run],
    plan: Plan,
    clock: Clock | None = None,
    *,
    ready: Callable[[], object] | None = None,
    agains: Sequence[Again | None] = (),
    pauses: Sequence[float] = (),
) -> list[Samples]:
    """Time several contestants side by side, as `in_rounds` does.

    Args:
        runs: The contestants; each returns when its work is done.
        plan: How long to measure.
        clock: Of the machine by default.
        ready: Called once all are warm, before the first round of each life.
        agains: What starts each once more, and returns its run; None where that cannot be, and
            nothing where none can be.
        pauses: As of `in_rounds`.

    Returns:
        Samples in the order of `runs`, as many for each.

    Raises:
        RunError: One of them failed.
    """
    clock = clock or Clock()
    rounds = functools.partial(in_rounds, clock=clock, ready=ready, pauses=pauses)
    lives = _lives(runs, plan, clock, agains, rounds) if any(agains) else []
    return lives or rounds(runs, plan)


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
    ends = [(median(each.wall_ns), len(each.lives)) for each in (samples, baseline)]
    return paired_ratio(
        samples.wall_ns,
        baseline.wall_ns,
        lives=samples.lives or baseline.lives,
        place=max(place_of(nanoseconds, lives) for nanoseconds, lives in ends),
    )


def _lives(
    runs: Sequence[Run],
    plan: Plan,
    clock: Clock,
    agains: Sequence[Again | None],
    rounds: Callable[[Sequence[Run], Plan], list[Samples]],
) -> list[Samples]:
    """Return the samples of all lives, one after the other; none where there cannot be so many."""
    lives = list[list[Samples]]()
    with quiet(), no_collection():
        short = _short(runs, agains, plan, clock)
        for number, started in enumerate(_started_anew(runs, short, plan, clock)):
            lives.append(rounds(started, plan.part(number, LIVES)))
    if len(lives) < LIVES:
        return []
    each = zip(short, *lives, strict=True)
    return [_joined(of_one, anew=again is not None) for again, *of_one in each]


def _short(
    runs: Sequence[Run], agains: Sequence[Again | None], plan: Plan, clock: Clock
) -> list[Again | None]:
    """Return what starts those anew whose runs are short, where the lives of all fit the budget."""
    least = list[float]()
    for index, run in enumerate(runs):
        with named(index):
            least.append(_least(run, clock))
    if sum(least) * 2 * FEWEST * LIVES > plan.budget_s * 1e9:  # beside something slow, or many
        return []
    each = zip(agains, least, strict=True)
    return [again if nanoseconds < SHORT_NS else None for again, nanoseconds in each]


def _least(run: Run, clock: Clock) -> float:
    """Return the least time of five runs, or of fewer that are not short, in nanoseconds."""
    least = math.inf
    for _ in range(5):
        start = clock.wall()
        run()
        least = min(least, clock.wall() - start)
        if least > 10 * SHORT_NS:
            break
    return least


def _started_anew(
    runs: Sequence[Run], agains: Sequence[Again | None], plan: Plan, clock: Clock
) -> Iterator[Sequence[Run]]:
    """Start what can be for each life, in an order drawn anew; the life before ends only then.

    It ends early where that takes longer than rounds may in all, and where one cannot be started
    any more: for want of memory, most likely.
    """
    generator, between = np.random.default_rng(plan.seed), list[bytearray]()
    left = plan.budget_s * plan.patience * 1e9
    for _ in range(LIVES if any(agains) else 0):
        started, start = list(runs), clock.wall()
        for index in generator.permutation(len(runs)):
            between.append(bytearray(int(generator.integers(_APART))))
            again = agains[index]
            try:
                with captured_output():
                    started[index] = again() if again else runs[index]
                    started[index]()  # which takes memory too
            except Exception:  # noqa: BLE001 - engines raise anything; their first session is measured
                return
        left -= clock.wall() - start
        if left < 0:
            return
        yield started


def _joined(lives: Sequence[Samples], *, anew: bool) -> Samples:
    return Samples(
        tuple(ns for life in lives for ns in life.wall_ns),
        tuple(ns for life in lives for ns in life.cpu_ns),
        tuple(len(life.wall_ns) for life in lives) if anew else (),
    )
