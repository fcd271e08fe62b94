"""Take samples: warm up, then interleaved rounds in random order."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from netloft.errors import CheckError
from netloft.runtime.reasons import first_line
from netloft.speed.stats import NORMAL

__all__ = [
    "FEWEST",
    "Clock",
    "Plan",
    "Run",
    "RunError",
    "Samples",
    "in_rounds",
    "named",
    "no_collection",
    "quiet",
]

Run = Callable[[], object]


@dataclass(frozen=True)
class Clock:
    """Where times come from; tests bring their own.

    Attributes:
        wall: Nanoseconds on a monotonic clock.
        cpu: Nanoseconds that all threads of this process have run.
    """

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        budget_s: Seconds of rounds after which sampling stops, once there are `rounds`.
        rounds: Samples of each contestant to take even past the budget.
        least: Samples of each to take whatever that costs.
        most_rounds: Samples of each contestant that are enough in any case.
        patience: Budgets after which sampling stops with fewer rounds, for very slow networks.
        warmup_s: Seconds of warm-up of one contestant after which it counts as warm.
        width: How wide half an interval of a ratio to the first contestant may be, as a share of
            it: past the budget, rounds go on until it is narrower, within `patience`. None takes it
            as it comes.
        seed: Of the order in each round.
    """

    budget_s: float = 4.0
    rounds: int = 20
    most_rounds: int = 1000
    patience: float = 8.0
    warmup_s: float = 1.0
    width: float | None = None
    least: int = 0
    seed: int = 0

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan for a look: a second, and at least 8 samples."""
        return cls(budget_s=1.0, rounds=8, warmup_s=0.3)

    def part(self, number: int, of: int) -> Plan:
        """Return the plan of one of several lives: the interval is what lies between them.

        Args:
            number: Of the life.
            of: How many there are.
        """
        rounds, most, least = (-(-n // of) for n in (self.rounds, self.most_rounds, self.least))
        return dataclasses.replace(
            self, budget_s=self.budget_s / of, warmup_s=self.warmup_s / of, rounds=rounds,
            most_rounds=most, least=least, width=None, seed=self.seed * of + number,
        )  # fmt: skip


FEWEST = 5
"""Samples below which a median is not worth printing; taken whatever they cost."""


@dataclass(frozen=True)
class Samples:
    """Times of one contestant, one of each round.

    Attributes:
        wall_ns: Wall time.
        cpu_ns: CPU time of all threads of the process during the sample.
        lives: Rounds of each of its lives, where it was started anew in between.
    """

    wall_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...]
    lives: tuple[int, ...] = ()


class RunError(CheckError):
    """A run failed, though an earlier one may not have.

    Attributes:
        index: Which of the contestants.
    """

    def __init__(self, index: int, reason: Exception) -> None:
        own = isinstance(reason, CheckError) or not str(reason)
        kind = "" if own else f"{type(reason).__name__}: "
        super().__init__(f"it failed while it was measured: {kind}{first_line(reason)}")
        self.index = index


def in_rounds(
    runs: Sequence[Run],
    plan: Plan,
    clock: Clock | None = None,
    *,
    ready: Callable[[], object] | None = None,
    pauses: Sequence[float] = (),
) -> list[Samples]:
    """Time several contestants side by side.

    In each round every contestant has one turn, in an order drawn anew: an untimed run, which
    brings its weights and threads back, then a timed one. What slows the machine down for a while
    thus falls on all. Garbage collection waits meanwhile, and what modules print is dropped.

    Args:
        runs: The contestants; each returns when its work is done.
        plan: How long to measure.
        clock: Of the machine by default.
        ready: Called once all are warm, before the first round.
        pauses: Seconds that nobody runs after a turn of each, or nothing for none: threads that
            wait in a loop when it is over would take the processor from the next.

    Returns:
        Samples in the order of `runs`, as many for each.

    Raises:
        RunError: One of them failed.
    """
    clock = clock or Clock()
    taken: list[list[tuple[int, int]]] = [[] for _ in runs]
    if not runs:
        return []
    with quiet(), no_collection():
        for index, run in enumerate(runs):
            with named(index):
                _warm_up(run, plan, clock)
        if ready is not None:
            ready()
        generator = np.random.default_rng(plan.seed)
        start = clock.wall()
        while not _enough(taken, (clock.wall() - start) / 1e9, plan):
            for index in generator.permutation(len(runs)):
                with named(index):
                    taken[index].append(_sample(runs[index], clock))
                if pauses and pauses[index]:
                    time.sleep(pauses[index])
    return [Samples(tuple(w for w, _ in t), tuple(c for _, c in t)) for t in taken]


def _enough(taken: Sequence[Sequence[tuple[int, int]]], seconds: float, plan: Plan) -> bool:
    rounds = len(taken[0])
    if rounds < max(FEWEST, plan.least):
        return False
    if rounds >= plan.most_rounds or seconds >= plan.budget_s * plan.patience:
        return True
    if rounds < plan.rounds or seconds < plan.budget_s:
        return False
    return plan.width is None or _widest(taken) <= plan.width


def _widest(taken: Sequence[Sequence[tuple[int, int]]]) -> float:
    """Return about half the width of the widest interval of a ratio to the first contestant.

    A bootstrap for each round would take longer than the round: this is the normal distribution's
    interval of a median, its spread taken from the middle half of the rounds.
    """
    walls = np.log([[max(wall, 1) for wall, _ in times] for times in taken])
    logs = walls[1:] - walls[0]
    if not len(logs):
        return 0.0
    low, high = np.percentile(logs, [25, 75], axis=1)
    deviation = (high - low).max() / 1.349  # the normal distribution's, and so is the next number
    return float(NORMAL * 1.2533 * deviation / np.sqrt(logs.shape[1]))


def _warm_up(run: Run, plan: Plan, clock: Clock) -> None:
    """Run until three times in a row are within a tenth of the best, or time is up."""
    start, recent = clock.wall(), list[int]()
    while True:
        before = clock.wall()
        run()
        now = clock.wall()
        recent = [*recent[-2:], now - before]
        if len(recent) == 3 and max(recent) <= 1.1 * min(recent):
            return
        if len(recent) == 3 and now - start >= plan.warmup_s * 1e9:
            return


def _sample(run: Run, clock: Clock) -> tuple[int, int]:
    # Without this run a contestant pays for the one before: resnet18 in ONNX Runtime, right after
    # PyTorch, whose idle threads wait in a loop, took 14.1 ms and 29.3 ms of CPU time, against
    # 10.5 and 20.3 alone (2 threads); with it, 20.1 ms of CPU time.
    run()
    cpu, wall = clock.cpu(), clock.wall()
    run()
    return clock.wall() - wall, clock.cpu() - cpu


@contextlib.contextmanager
def named(index: int) -> Iterator[None]:
    """Say whose failure it is.

    Args:
        index: Of the contestant.

    Raises:
        RunError: Anything was raised.
    """
    try:
        yield
    except Exception as error:  # engines raise anything
        raise RunError(index, error) from error


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Let garbage collection wait; within another of these it waits already."""
    if not gc.isenabled():
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what modules print: around the whole loop, so that no sample pays for it."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
