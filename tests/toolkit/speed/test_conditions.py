"""How the machine was, told from times of its processors that are made up."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.toolkit.speed.stand_ins import one_operation

from netloft.runtime.quota import Throttled
from netloft.speed import bench, conditions
from netloft.speed.command import command_contestant
from netloft.speed.conditions import Conditions, Watch, Watches
from netloft.speed.measure import Plan
from netloft.speed.setup import Setup


def ticks(busy: int, idle: int, stolen: int) -> str:
    """Return what Linux says of two processors; the process may use the first."""
    own = f"cpu3 {busy} 0 0 {idle} 0 0 0 {stolen} 0 0"
    return f"cpu 9 9 9 9 9 9 9 9 9 9\n{own}\ncpu4 99999 0 0 0 0 0 0 0 0 0\nintr 12 34\n"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stat = tmp_path / "stat"
    monkeypatch.setattr(conditions, "_STAT", stat)
    monkeypatch.setattr(conditions, "_cpus", lambda: {"cpu3"})
    monkeypatch.setattr(conditions, "_own_seconds", iter((5.0, 7.0)).__next__)
    monkeypatch.setattr(os, "sysconf", lambda _: 100, raising=False)
    monkeypatch.setattr(conditions, "_loop", iter((0.010, 0.012)).__next__)
    monkeypatch.setattr(conditions, "cpu_quota", lambda: None)
    monkeypatch.setattr(conditions, "throttled", dict)
    return stat


def test_what_others_took_and_what_was_stolen(system: Path) -> None:
    system.write_text(ticks(1000, 1000, 0))
    watch = Watch()
    system.write_text(ticks(1500, 1300, 200))  # of 1000 ticks 500 were busy, 200 of these ours
    found = watch.conditions()
    assert (found.others, found.stolen) == (0.3, 0.2)
    assert found.drift == pytest.approx(1.2)
    assert found.complaints == (
        "other programs took 30% of the CPUs",
        "the host gave 20% of the CPUs to other machines",
        "the processor was 20% slower at the end",
    )
    assert found.to_dict()["complaints"] == list(found.complaints)


def test_a_quiet_machine_has_no_complaints(system: Path) -> None:
    system.write_text(ticks(0, 0, 0))
    watch = Watch()
    system.write_text(ticks(210, 790, 10))
    found = watch.conditions()
    assert found.others == pytest.approx(10 / 1010)
    assert Conditions(found.others, found.stolen, 1.05).complaints == ()


def test_a_system_that_does_not_say(system: Path) -> None:
    found = Watch().conditions()
    assert (found.others, found.stolen) == (None, None)
    assert found.to_dict()["others"] is None


def test_this_machine() -> None:
    found = Watch().conditions()
    assert found.drift > 0
    assert found.others is None or 0 <= found.others <= 1.5


def test_too_short_a_time_says_nothing(system: Path) -> None:
    system.write_text(ticks(1000, 1000, 0))
    watch = Watch()
    system.write_text(ticks(1019, 1000, 0))
    assert watch.conditions().others is None


@pytest.mark.parametrize(
    ("quota", "busy", "others"),
    [
        (None, (700, 700, 0, 0), 0.3),  # of 4 CPUs' 4000 ticks 1400 were busy, 200 of these ours
        (4.0, (700, 700, 0, 0), 0.3),
        (2.0, (700, 700, 0, 0), 0.0),  # two CPUs were left, and that is all the quota gives
        (2.0, (1000, 1000, 700, 500), 0.5),  # one CPU was left of two
        (0.5, (1000, 1000, 1000, 1000), 0.6),
    ],
)
def test_what_a_quota_does_not_need_is_not_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quota: float | None,
    busy: tuple[int, ...],
    others: float,
) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(conditions, "_STAT", stat)
    monkeypatch.setattr(conditions, "_cpus", lambda: {f"cpu{n}" for n in range(4)})
    monkeypatch.setattr(conditions, "_own_seconds", iter((5.0, 7.0)).__next__)
    monkeypatch.setattr(conditions, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sysconf", lambda _: 100, raising=False)
    stat.write_text("".join(f"cpu{n} 0 0 0 0 0 0 0 0 0 0\n" for n in range(4)))
    watch = Watch()
    rows = [f"cpu{n} {ticks} 0 0 {1000 - ticks} 0 0 0 0 0 0\n" for n, ticks in enumerate(busy)]
    stat.write_text("".join(rows))
    assert watch.conditions().others == pytest.approx(others)


def test_a_quota_that_stopped_the_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "throttled_since", lambda _: Throttled(40, 10, 1.5))
    found = Watch().conditions()
    told = (
        "the container's quota stopped its threads in 10 of 40 periods, for 1.5 s added up over "
        "the CPUs"
    )
    assert told in found.complaints
    assert found.to_dict()["throttled_s"] == 1.5
    assert Conditions(None, None, 1.0, Throttled(40, 0, 0.0)).complaints == ()


BURN = """
import sys, time
for line in sys.stdin:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print(flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_what_a_command_takes_is_no_other_program() -> None:
    contestant = command_contestant(shlex.join([sys.executable, "-c", BURN]), Setup("cpu", 1, 1))
    contestant.run()
    before = conditions._own_seconds()
    contestant.run()
    assert conditions._own_seconds() - before >= 0.25


def told(watches: Watches) -> list[str]:
    found = watches.to_dict()["complaints"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def each(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what each watch finds, in turn."""
    monkeypatch.setattr(conditions, "_loop", lambda: 0.01)

    def find(*found: Conditions) -> None:
        left = iter(found)
        monkeypatch.setattr(Watch, "conditions", lambda _: next(left))

    return find


def test_one_measurement_of_many_that_was_not_quiet_is_named(each: Callable[..., None]) -> None:
    each(*[Conditions(0.0, 0.0, 1.0)] * 3, Conditions(0.7, 0.0, 1.0), *[Conditions(0.0, 0.0, 1.0)])
    watches = Watches()
    for batch in range(1, 6):
        with watches.watch(str(Setup("cpu", batch, 2))):
            pass
    assert told(watches) == ["batch 4 on cpu with 2 threads: other programs took 70% of the CPUs"]
    assert watches.to_dict()["others"] == 0.7


def test_a_processor_that_slows_down_a_little_in_each(
    each: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    each(Conditions(None, None, 1.08, Throttled(9, 1, 0.1)), Conditions(None, None, 1.07))
    watches = Watches()
    monkeypatch.setattr(conditions, "_loop", lambda: 0.0116)
    for name in "ab":
        with watches.watch(name):
            pass
    first, last = told(watches)
    assert first.startswith("a: the container's quota")
    assert last == "from the first to the last: the processor was 16% slower at the end"
    assert watches.to_dict()["drift"] == pytest.approx(1.16)
    assert watches.to_dict()["throttled_s"] == 0.1


def test_the_bench_watches_what_it_measures_and_not_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: Callable[..., None]
) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))
    quiet, loud = Conditions(0.0, 0.0, 1.0), Conditions(0.5, 0.0, 1.0)
    each(quiet, quiet, loud, quiet)
    file = one_operation(tmp_path / "abs.onnx", "batch", 3)
    found = bench(file, batches=[1, 2], providers=["cpu"], threads=[1, 2], quick=True)
    machine = found.environment["conditions"]
    assert isinstance(machine, dict)
    assert machine["complaints"] == [
        "batch 1 on cpu with 2 threads: other programs took 50% of the CPUs"
    ]
