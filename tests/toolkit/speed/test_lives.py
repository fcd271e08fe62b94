"""What is short is started anew many times, and how far its sessions lie apart is told."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import taking
from torch import nn

import netloft
from netloft.cli import main
from netloft.speed import measure as measure_module
from netloft.speed import optimised as optimised_module
from netloft.speed import settings as settings_module
from netloft.speed import targets as targets_module
from netloft.speed import tune as tune_module
from netloft.speed import variants as variants_module
from netloft.speed.contestants import Contestant
from netloft.speed.engines import ENGINES
from netloft.speed.measure import (
    LIVES,
    Again,
    Clock,
    Plan,
    Run,
    Samples,
    measure,
    ratio_between,
    ratio_of,
)
from netloft.speed.optimised import Optimised
from netloft.speed.settings import OWN, Setting
from netloft.speed.setup import Setup
from netloft.speed.sources import source_of
from netloft.speed.stats import PLACE, SHORT_NS, Interval
from netloft.speed.together import together
from netloft.speed.tune import tune
from netloft.speed.variants import variant_of

PLAN = Plan(budget_s=60.0, rounds=160, most_rounds=160, warmup_s=0.0)
SHORT_S = SHORT_NS / 1e9


def waiting(seconds: float) -> Run:
    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


class Starts:
    """Counts sessions; each takes as long as is said, or raises it."""

    def __init__(self, *times: float | Exception, log: list[object] | None = None) -> None:
        self.count, self.times, self.log = 0, times or (1e-4,), log

    def __call__(self) -> Run:
        self.count += 1
        told = self.times[min(self.count, len(self.times)) - 1]
        if self.log is not None:
            self.log.append(self)
        if isinstance(told, Exception):
            raise told
        return waiting(told)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what runs take at the least, in their order: this machine may be busy."""

    def say(*times: float) -> None:
        left = list(times)
        monkeypatch.setattr(measure_module, "_least", lambda *_: left.pop(0) * 1e9)

    return say


def test_short_runs_are_of_many_sessions(short: Callable[..., None]) -> None:
    short(1e-4, 1e-4)
    starts = Starts()
    mine, theirs = measure([waiting(1e-4), waiting(1e-4)], PLAN, agains=[starts, None])
    assert starts.count == LIVES
    assert mine.lives == (10,) * LIVES
    assert theirs.lives == ()
    assert len(mine.wall_ns) == len(theirs.wall_ns) == len(theirs.cpu_ns) == 160


def test_how_far_they_lie_apart_is_the_interval(short: Callable[..., None]) -> None:
    short(1e-4, 1e-4)
    apart = Starts(*(1e-4 * (1 + 0.1 * n) for n in range(LIVES)))
    found = ratio_of(waiting(1e-4), waiting(1e-4), PLAN, agains=(apart, Starts()))
    assert 1.3 < found.value < 2
    assert found.high / found.low > 1.2


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ((1e-4, 1e-4), (LIVES, LIVES)),
        ((0.9 * SHORT_S, 1.1 * SHORT_S), (LIVES, 0)),  # the other one is not short
        ((1.1 * SHORT_S, 1.1 * SHORT_S), (0, 0)),
        ((1e-4, 0.5), (0, 0)),  # sixteen lives beside that one would take too long
    ],
)
def test_only_what_is_short_is_started_anew(
    short: Callable[..., None], least: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    short(*least)
    starts = Starts(), Starts()
    samples = measure([waiting(1e-4)] * 2, PLAN, agains=starts)
    assert tuple(each.count for each in starts) == expected
    assert tuple(len(each.lives) for each in samples) == expected


def test_nothing_is_timed_where_nothing_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_module, "_least", pytest.fail)
    (samples,) = measure([waiting(1e-4)], PLAN, agains=[None])
    assert samples.lives == ()


@pytest.mark.parametrize(
    ("times_ms", "least_ms", "runs"),
    [((5, 0.1, 2, 3, 4), 0.1, 5), ((9, 9, 9, 9, 9), 9, 5), ((11, 0.1), 11, 1)],
)
def test_the_least_of_five_runs_tells_whether_it_is_short(
    times_ms: tuple[float, ...], least_ms: float, runs: int
) -> None:
    now, left = [0], list(times_ms)

    def run() -> None:
        now[0] += int(left.pop(0) * 1e6)

    clock = Clock(wall=lambda: now[0], cpu=lambda: now[0])
    assert measure_module._least(run, clock) == least_ms * 1e6
    assert len(times_ms) - len(left) == runs


class Failing:
    """A session that does not start, or starts and does not run."""

    def __init__(self, at: int, *, runs: bool) -> None:
        self.count, self.at, self.runs = 0, at, runs

    def __call__(self) -> Run:
        self.count += 1
        if self.count < self.at:
            return waiting(1e-6)
        if not self.runs:
            raise MemoryError

        def run() -> None:
            raise MemoryError

        return run


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("at", [1, 5, LIVES])
def test_where_no_more_can_be_started_the_first_sessions_are_measured(
    short: Callable[..., None], at: int, runs: bool
) -> None:
    short(1e-4, 1e-4)
    agains: list[Again] = [Failing(at, runs=runs), Starts(1e-6)]
    both = measure([waiting(1e-6)] * 2, PLAN, agains=agains)
    assert [each.lives for each in both] == [(), ()]
    assert [len(each.wall_ns) for each in both] == [160, 160]


@pytest.mark.parametrize(("seconds", "lives"), [(0.4, LIVES), (0.6, 0)])
def test_starting_takes_no_longer_than_rounds_may(
    short: Callable[..., None], seconds: float, lives: int
) -> None:
    """Of a clock that nothing moves on but starting: half a second for each of sixteen."""
    short(1e-9)
    now = [0]

    def slowly() -> Run:
        now[0] += int(seconds * 1e9)
        return lambda: None

    plan = Plan(budget_s=1.0, patience=8.0, rounds=16, most_rounds=16)
    clock = Clock(wall=lambda: now[0], cpu=lambda: now[0])
    (samples,) = measure([lambda: None], plan, clock, agains=[slowly])
    assert len(samples.lives) == lives


def test_what_modules_print_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    def talking() -> None:
        print("chatty")

    def again() -> Run:
        print("chatty as well")
        return talking

    measure([talking, talking], PLAN, agains=[again, None])
    assert capsys.readouterr().out == ""


def test_each_is_started_first_as_often(short: Callable[..., None]) -> None:
    first = 0
    for seed in range(20):
        short(1e-4, 1e-4)
        log: list[object] = []
        starts = [Starts(log=log), Starts(log=log)]
        plan = Plan(rounds=16, most_rounds=16, warmup_s=0.0, seed=seed)
        measure([waiting(1e-6)] * 2, plan, agains=starts)
        first += sum(one is starts[0] for one in log[::2])
    assert 120 < first < 200  # of 320


def test_a_life_ends_when_the_next_has_begun(short: Callable[..., None]) -> None:
    short(1e-4)
    alive = list[weakref.ref[Any]]()
    most = 0

    class Session:
        def run(self) -> None:
            pass

    def started() -> Run:
        nonlocal most
        session = Session()
        alive.append(weakref.ref(session))
        most = max(most, sum(ref() is not None for ref in alive))
        return session.run

    measure([waiting(1e-6)], PLAN, agains=[started])
    assert len(alive) == LIVES
    assert most == 2


def test_each_life_has_a_part_of_the_plan(
    short: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = list[Plan]()

    def told(runs: list[Run], plan: Plan, *_: object, **__: object) -> list[Samples]:
        plans.append(plan)
        return taking(*[1.0] * len(runs))(runs, plan)

    short(1e-4)
    monkeypatch.setattr(measure_module, "in_rounds", told)
    measure([waiting(1e-6)], Plan(least=528, width=0.01), agains=[Starts()])
    parts = {(p.budget_s, p.rounds, p.most_rounds, p.least, p.width) for p in plans}
    assert parts == {(0.25, 2, 63, 33, None)}
    assert len({plan.seed for plan in plans}) == LIVES


@pytest.mark.parametrize(("ns", "place"), [(1000, 0.05), (2 * SHORT_NS, PLACE)])
def test_where_one_keeps_its_place_the_interval_is_wider(ns: int, place: float) -> None:
    lives, wall = (10,) * LIVES, (ns,) * 160
    anew, kept = Samples(wall, wall, lives), Samples(wall, wall)
    assert ratio_between(anew, anew).high == pytest.approx(1)
    assert ratio_between(anew, kept).high == pytest.approx(1 + place)
    assert ratio_between(kept, anew).low == pytest.approx(1 - place)
    assert ratio_between(kept, kept).low == pytest.approx(1 - place)


def test_memory_is_laid_out_in_each_life(short: Callable[..., None]) -> None:
    short(1e-4)
    laid_out = list[int]()
    one = Contestant("one", "cpu", 1, 1, waiting(1e-4), again=Starts())
    together([one], PLAN, ready=lambda: laid_out.append(1))
    assert len(laid_out) == LIVES


def test_what_stays_on_small_pages_is_told_once(
    short: Callable[..., None], files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(1e-4)
    monkeypatch.setattr(targets_module, "why_no_huge_pages", str)
    monkeypatch.setattr(targets_module, "everything_on_huge_pages", lambda: "7 MB stay")
    monkeypatch.setattr(targets_module, "plan_of", lambda *_: PLAN)
    found = targets_module.bench(
        files[0], batches=[1], providers=["cpu"], quick=True, huge_pages=True
    )
    assert json.dumps(found.environment).count("7 MB stay") == 1
    assert found.rows[0].sessions == LIVES


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(8, 4)).eval()
    large = nn.Sequential(nn.Conv2d(8, 64, 5), nn.ReLU(), nn.Conv2d(64, 64, 5)).eval()
    made = {"small": (small, torch.randn(2, 8)), "large": (large, torch.randn(2, 8, 90, 90))}
    for name, (net, x) in made.items():
        netloft.to_onnx(net, (x,), tmp_path / f"{name}.onnx", prove=False)
    return [str(tmp_path / f"{name}.onnx") for name in made]


@pytest.mark.parametrize(("place", "sessions"), [(0, LIVES), (1, 1)])
def test_the_bench_tells_how_many_there_were(
    short: Callable[..., None],
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    place: int,
    sessions: int,
) -> None:
    short(*[1e-4, 5e-2][place : place + 1] * 4)
    monkeypatch.setattr(targets_module, "plan_of", lambda *_: PLAN)
    given = ["--quick", "--provider", "cpu", "--batches", "1", "--threads", "1"]
    engines = ["--engine", "onnxruntime", "--engine", "onnxruntime-saved"]
    file = files[place]
    result = CliRunner().invoke(main, ["bench", file, file, *given, *engines, "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["speed"]
    assert [row["sessions"] for row in rows] == [sessions] * 4
    assert all(row["p50_low"] <= row["p50_ms"] <= row["p50_high"] for row in rows)
    short(*[1e-4, 5e-2][place : place + 1] * 4)
    table = CliRunner().invoke(main, ["bench", file, file, *given, *engines]).stdout
    assert ("sessions" in table) == (sessions > 1)


@pytest.mark.parametrize(
    "name",
    ["onnxruntime", "onnxruntime-basic", "onnxruntime-saved", "onnxslim", "openvino", "deployed"],
)
def test_what_is_started_anew_gives_the_same(bundle: Path, name: str) -> None:
    if name.startswith(("openvino", "onnxslim")):
        pytest.importorskip(name)
    source = source_of(bundle, ("cpu",), 1)
    made = ENGINES[name].make(source, Setup("cpu", 2, 1))
    again = made.again
    assert again is not None
    first = _array(made.run())
    del made, source  # a folder that goes with it is held by what starts it anew
    gc.collect()
    np.testing.assert_array_equal(_array(again()()), first)


def _array(found: Any) -> Any:
    """Return the one output, of a list or of OpenVINO's result, as it is now."""
    return np.array(next(iter(found.values())) if hasattr(found, "values") else found[0])


@pytest.mark.parametrize("name", ["eager", "compile", "channels-last"])
def test_modules_keep_their_session(name: str) -> None:
    if ENGINES[name].refuses("cpu"):
        pytest.skip("it does not run here")
    source = source_of("mnist", ("cpu",), 1)
    assert ENGINES[name].make(source, Setup("cpu", 1, 1)).again is None


def test_tuning_starts_what_it_compares_anew(
    bundle: Path, usual_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[list[Again | None]]()

    def told(runs: list[Run], plan: Plan, **how: Any) -> list[Samples]:
        given.append(list(how["agains"]))
        for again in how["agains"]:
            (y,) = again()()
            assert y.shape == (1, 5)
        return taking(0.8, 1.3)(runs, plan)

    monkeypatch.setattr(settings_module, "measure", told)
    tune(bundle, batches=[1], providers=["cpu"], quick=True)
    *screens, last = given
    assert screens
    assert not any(map(any, screens))  # a first look is of one session
    assert len(last) >= 2


def test_tuning_measures_many_sessions_of_the_best(
    bundle: Path, usual_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_module, "_least", lambda *_: 1e5)
    monkeypatch.setattr(tune_module, "plan_of", lambda *_: PLAN)
    started = list[Setting]()

    def counted(model: Any, provider: str, setting: Setting, *rest: Any) -> Any:
        started.append(setting)
        return settings_module.session_of(model, provider, setting, *rest)

    monkeypatch.setattr(tune_module, "session_of", counted)
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert found.refused == ()
    assert started.count(OWN) >= LIVES


def test_kinds_and_saved_files_are_started_anew(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = list[int]()

    def told(run: Run, baseline: Run, plan: Plan, *, agains: Any, **_: Any) -> Interval:
        for again in agains:
            np.testing.assert_allclose(_array(again()()), _array(baseline()), atol=1e-5)
        counts.append(len(agains))
        return Interval(0.9, 0.8, 1.0)

    monkeypatch.setattr(variants_module, "ratio_of", told)
    assert variant_of(bundle / "model.onnx", 1, lambda _: None).rows
    monkeypatch.setattr(optimised_module, "ratio_of", told)
    file = Optimised(bundle / "model.onnx", bundle / "model.onnx", "saved", Interval(1, 1, 1))
    x = {"input": np.ones((1, 3, 9, 9), np.float32)}
    file.run_ratio(x, "cpu", OWN, PLAN)
    assert counts == [2, 2]
