"""What one session says of a short run is held against many sessions before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.toolkit.speed.stand_ins import taking

from netloft.runtime import placed
from netloft.runtime.providers import start_session
from netloft.speed import settings as settings_module
from netloft.speed import tune as tune_module
from netloft.speed import variants as variants_module
from netloft.speed.measure import RunError
from netloft.speed.settings import OWN, Setting
from netloft.speed.stats import Interval
from netloft.speed.tune import TuneResult, tune
from netloft.speed.variants import Variant

pytestmark = pytest.mark.usefixtures("usual_pages")

Ratio = Callable[..., Interval | None]


@pytest.fixture
def tuned(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Ratio], TuneResult]:
    """Tune for one thread, which one session says to be better, with another word of many."""

    def run(ratio: Ratio) -> TuneResult:
        monkeypatch.setattr(tune_module, "process_cpus", lambda: 1)
        monkeypatch.setattr(variants_module, "variant_of", lambda *_, **__: Variant(b""))
        monkeypatch.setattr(settings_module, "measure", taking(0.8, 1.3))
        monkeypatch.setattr(settings_module, "ratio_of_lives", ratio)
        return tune(bundle, batches=[1], providers=["cpu"])

    return run


def test_what_many_sessions_say_is_kept(tuned: Callable[[Ratio], TuneResult]) -> None:
    found = tuned(lambda *_, **__: Interval(0.7, 0.68, 0.72))
    (kept,) = found.kept
    assert (kept.threads, kept.ratio, kept.ratio_low, kept.ratio_high) == (1, 0.7, 0.68, 0.72)
    assert [(row.setting, row.ratio) for row in found.rows if row.chosen] == [
        (Setting(1, False), 0.7)
    ]


def test_what_they_do_not_say_is_not(tuned: Callable[[Ratio], TuneResult]) -> None:
    found = tuned(lambda *_, **__: Interval(0.99, 0.97, 1.01))
    assert found.kept == ()
    assert [row.setting for row in found.rows if row.chosen] == [OWN]
    (row,) = (row for row in found.rows if row.setting == Setting(1, False))
    assert (row.ratio, row.low, row.high) == (0.99, 0.97, 1.01)


def test_of_long_runs_one_session_tells_enough(tuned: Callable[[Ratio], TuneResult]) -> None:
    (kept,) = tuned(lambda *_, **__: None).kept
    assert kept.ratio == pytest.approx(0.8, rel=0.01)


def test_what_fails_is_told_and_loses_nothing(tuned: Callable[[Ratio], TuneResult]) -> None:
    def failing(*_: Any, **__: Any) -> Interval:
        raise RunError(1, RuntimeError("no more memory"))

    found = tuned(failing)
    assert [what for what, _ in found.refused] == ["many sessions of the best at batch 1 on cpu"]
    assert "no more memory" in found.refused[0].reason
    assert [row.threads for row in found.kept] == [1]


def test_both_are_started_anew(
    tuned: Callable[[Ratio], TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def watched(*args: Any, **options: Any) -> Any:
        asked.append(options)
        return start_session(*args, **options)

    def started(new: Callable[[], Any], own: Callable[[], Any], *_: Any, **__: Any) -> Interval:
        with monkeypatch.context() as patch:
            patch.setattr(placed, "start_session", watched)
            for start in (new, own, new):
                (y,) = start()()
                assert y.shape == (1, 5)
        return Interval(0.7, 0.68, 0.72)

    tuned(started)
    assert [options["threads"] for options in asked] == [1, None, 1]
