"""Contestants with short runs are started anew, and their sessions are told apart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import taking
from torch import nn

import netloft
from netloft.cli import main
from netloft.speed import together as together_module
from netloft.speed.contestants import Contestant
from netloft.speed.measure import Plan, RunError, Samples, ratio_between
from netloft.speed.together import LIVES, SHORT_S, ratio_of_lives, together

PLAN = Plan(rounds=160, most_rounds=160, warmup_s=0.0)


def waiting(seconds: float) -> Callable[[], object]:
    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


def contestant(run: Callable[[], object], again: Callable[[], Callable[[], object]] | None = None,
               engine: str = "one") -> Contestant:  # fmt: skip
    return Contestant(engine, "cpu", 1, 1, run, again=again)


class Lives:
    """Counts the sessions that are started, of which each is slower than the one before."""

    def __init__(self, step: float = 0.0, seconds: float = 1e-4) -> None:
        self.started, self.step, self.seconds = 1, step, seconds

    def __call__(self) -> Callable[[], object]:
        self.started += 1
        return waiting(self.seconds * (1 + self.step * self.started))


def test_short_runs_are_of_many_sessions() -> None:
    lives = Lives()
    one, other = contestant(waiting(1e-4), lives), contestant(waiting(1e-4))
    (mine, theirs), failed = together([one, other], PLAN)
    assert failed == []
    assert lives.started == LIVES
    assert mine.samples.lives == (10,) * LIVES
    assert theirs.samples.lives == ()
    assert len(mine.samples.wall_ns) == len(theirs.samples.wall_ns) == 160


def test_how_far_they_lie_apart_is_told() -> None:
    one, other = contestant(waiting(1e-4), Lives(0.1)), contestant(waiting(1e-4), Lives())
    (first, second), _ = together([other, one], PLAN)
    apart = ratio_between(second.samples, first.samples)
    assert apart.high - apart.low > 0.3  # sessions of 1 to 2.6 times the time


@pytest.mark.parametrize("seconds", [1.2 * SHORT_S, 5 * SHORT_S])
def test_long_runs_are_of_one_session(seconds: float) -> None:
    lives = Lives()
    ((measured,), _) = together([contestant(waiting(seconds), lives)], Plan(0.0, rounds=5))
    assert lives.started == 1
    assert measured.samples.lives == ()


def test_one_that_cannot_be_started_anew_is_left_out() -> None:
    def full() -> Callable[[], object]:
        raise RuntimeError("no more memory")

    one, other = contestant(waiting(1e-4), Lives()), contestant(waiting(1e-4), full, "other")
    measured, failed = together([one, other], PLAN)
    assert [m.contestant.engine for m in measured] == ["one"]
    ((who, why),) = failed
    assert who.engine == "other"
    assert "no more memory" in why


def test_each_life_has_a_part_of_the_plan_and_its_own_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans = list[Plan]()

    def told(runs: list[Callable[[], object]], plan: Plan, **_: object) -> list[Samples]:
        plans.append(plan)
        return taking(*[1.0] * len(runs))(runs, plan)

    monkeypatch.setattr(together_module, "measure", told)
    together([contestant(waiting(1e-4), Lives())], Plan(least=528))
    assert {(p.budget_s, p.rounds, p.most_rounds, p.least) for p in plans} == {(0.25, 2, 63, 33)}
    assert len({plan.seed for plan in plans}) == LIVES


def test_memory_is_laid_out_in_each_life() -> None:
    laid_out = list[int]()
    together([contestant(waiting(1e-4), Lives())], PLAN, ready=lambda: laid_out.append(1))
    assert len(laid_out) == LIVES


def test_the_ratio_of_what_is_started_anew() -> None:
    slow, lives = Lives(seconds=2e-4), Lives()
    found = ratio_of_lives(slow, lives, PLAN)
    assert found is not None
    assert found.low < found.value < found.high
    assert 1.8 < found.value < 2.2
    assert (slow.started, lives.started) == (LIVES + 1, LIVES + 1)
    assert ratio_of_lives(lambda: waiting(0), lambda: waiting(2 * SHORT_S), PLAN) is None


@pytest.mark.parametrize("index", [0, 1])
def test_the_ratio_of_what_fails(index: int) -> None:
    def full() -> Callable[[], object]:
        raise RuntimeError("no more memory")

    one, other = (Lives(), full) if index == 0 else (full, Lives())
    with pytest.raises(RunError, match="no more memory") as failed:
        ratio_of_lives(one, other, PLAN)
    assert failed.value.index == index


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(8, 4)).eval()
    large = nn.Sequential(nn.Conv2d(8, 64, 5), nn.ReLU(), nn.Conv2d(64, 64, 5)).eval()
    made = {"small": (small, torch.randn(2, 8)), "large": (large, torch.randn(2, 8, 90, 90))}
    for name, (net, x) in made.items():
        netloft.to_onnx(net, (x,), tmp_path / f"{name}.onnx", prove=False)
    return [str(tmp_path / f"{name}.onnx") for name in made]


@pytest.mark.parametrize(
    ("place", "sessions", "engines"),
    [
        (0, [LIVES, LIVES], ["onnxruntime"]),
        (1, [1, 1], ["onnxruntime"]),
        (0, [LIVES] * 6, ["onnxruntime", "onnxruntime-saved", "onnxslim"]),
    ],
)
def test_the_bench_tells_how_many_there_were(
    files: list[str], place: int, sessions: list[int], engines: list[str]
) -> None:
    given = ["--quick", "--provider", "cpu", "--batches", "1", "--threads", "1", "--json"]
    asked = [word for engine in engines for word in ("--engine", engine)]
    result = CliRunner().invoke(main, ["bench", files[place], files[place], *given, *asked])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["speed"]
    assert [row["sessions"] for row in rows] == sessions
    assert all(row["p50_low"] <= row["p50_ms"] <= row["p50_high"] for row in rows)
    assert np.isfinite([row["ratio_high"] for row in rows]).all()
