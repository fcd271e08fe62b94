"""How the machine was, told from times of its processors that are made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloft.speed import conditions
from netloft.speed.conditions import Conditions, Watch


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
