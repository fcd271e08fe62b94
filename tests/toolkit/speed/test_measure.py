"""Sampling with contestants that only move the clock on."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from netloft.speed.measure import Clock, Plan, RunError, measure

MS = 1_000_000


class Machine:
    """A clock that stands still but for what runs."""

    def __init__(self) -> None:
        self.now = 0
        self.log: list[str] = []

    def contestant(self, name: str, *times_ms: float) -> Callable[[], None]:
        """Takes the given times in turn; the last one from then on."""
        left = list(times_ms)

        def run() -> None:
            self.log.append(name)
            self.now += int((left.pop(0) if len(left) > 1 else left[0]) * MS)

        return run

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, cpu=lambda: 2 * self.now)


def turns(log: list[str]) -> list[str]:
    """A turn is two runs: one untimed and one timed."""
    assert log[::2] == log[1::2]
    return log[::2]


def test_rounds_are_interleaved_in_an_order_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        machine = Machine()
        runs = [machine.contestant(name, 1) for name in "abc"]
        plan = Plan(budget_s=0.001, rounds=12, patience=1e6, seed=seed)
        samples = measure(runs, plan, machine.clock)
        assert [len(s.wall_ns) for s in samples] == [12, 12, 12]
        return turns(machine.log[9:])  # three runs of warm-up for each

    first = order(0)
    rounds = [first[i : i + 3] for i in range(0, len(first), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1, "the order never changes"
    assert order(0) == first
    assert order(1) != first


def test_times_are_wall_and_cpu_of_the_timed_run() -> None:
    machine = Machine()
    (samples,) = measure([machine.contestant("a", 7)], Plan(0.001, rounds=5), machine.clock)
    assert samples.wall_ns == (7 * MS,) * 5
    assert samples.cpu_ns == (14 * MS,) * 5


def test_warm_up_goes_on_until_times_are_stable() -> None:
    machine = Machine()
    run = machine.contestant("a", 100, 50, 20, 10, 10, 10)
    (samples,) = measure([run], Plan(0.001, rounds=5), machine.clock)
    assert len(machine.log) == 6 + 2 * 5
    assert set(samples.wall_ns) == {10 * MS}


def test_warm_up_is_bounded() -> None:
    machine = Machine()
    run = machine.contestant("a", *(10 * (1 + i % 2) for i in range(500)), 1)
    measure([run], Plan(0.001, rounds=5, warmup_s=0.3), machine.clock)
    assert len(machine.log) == 20 + 2 * 5


@pytest.mark.parametrize(
    ("ms", "plan", "n"),
    [
        (1, Plan(budget_s=1, rounds=8), 500),  # the budget is used up
        (1, Plan(budget_s=100, rounds=8, most_rounds=60), 60),  # enough is enough
        (100, Plan(budget_s=1, rounds=8), 8),  # past the budget for the samples
        (2000, Plan(budget_s=1, rounds=8), 5),  # past all patience, but never fewer than 5
        (2000, Plan(budget_s=1, rounds=8, least=30), 30),  # but for those that were asked for
        (100, Plan(budget_s=1, rounds=8, least=3, width=0.01), 8),  # and no more
    ],
)
def test_budget_and_number_of_samples(ms: float, plan: Plan, n: int) -> None:
    machine = Machine()
    (samples,) = measure([machine.contestant("a", ms)], plan, machine.clock)
    assert len(samples.wall_ns) == n


def test_rounds_go_on_until_the_interval_is_narrow() -> None:
    def rounds(width: float | None, *times_ms: float, patience: float = 1e6) -> int:
        machine = Machine()
        swings = [t for _ in range(500) for t in times_ms]
        runs = [machine.contestant("a", 10), machine.contestant("b", *swings)]
        plan = Plan(budget_s=0.3, rounds=5, patience=patience, warmup_s=0, width=width)
        return len(measure(runs, plan, machine.clock)[1].wall_ns)

    swing = 9.0, 9.0, 10.0, 10.0, 11.0, 11.0  # a turn is two runs, of which the second counts
    assert rounds(None, *swing) == rounds(0.2, *swing) < 10
    few, many = rounds(0.1, *swing), rounds(0.05, *swing)
    assert 4 * few * 0.7 < many < 4 * few * 1.4, "twice as narrow takes four times as many"
    assert rounds(0.05, *swing, patience=2) < many
    assert rounds(0.001, 10.0) < 10, "what does not swing is sure at once"


def test_prints_are_dropped_and_collection_waits(capsys: pytest.CaptureFixture[str]) -> None:
    collecting = []

    def run() -> None:
        print("a module that prints")
        collecting.append(gc.isenabled())

    measure([run], Plan(0.0, rounds=5))
    assert capsys.readouterr().out == ""
    assert not any(collecting)
    assert gc.isenabled()


def test_collection_comes_back_after_an_error() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(RunError, match=r"while it was measured: ZeroDivisionError$"):
        measure([fail], Plan(0.0, rounds=5))
    assert gc.isenabled()


def test_nobody_takes_part() -> None:
    assert measure([], Plan()) == []


def test_a_run_that_fails_is_named() -> None:
    machine = Machine()
    left = [None] * 10

    def fails() -> None:
        machine.now += MS
        left.pop()

    plan = Plan(budget_s=0.001, rounds=12, patience=1e6)
    with pytest.raises(RunError, match="while it was measured: IndexError: pop from") as caught:
        measure([machine.contestant("a", 1), fails], plan, machine.clock)
    assert caught.value.index == 1


def test_nobody_runs_after_one_whose_threads_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr("netloft.speed.rounds.time.sleep", lambda s: machine.log.append(f"{s}"))
    runs = [machine.contestant(name, 1) for name in "ab"]
    plan = Plan(budget_s=0.001, rounds=6, patience=1e6)
    samples = measure(runs, plan, machine.clock, pauses=[0.03, 0.0])
    told = "".join(machine.log[6:]).replace("0.03", ".")
    assert told.count("aa.") == told.count(".") == told.count("aa") == told.count("bb") == 6
    assert {s.wall_ns for s in samples} == {(MS,) * 6}
