"""Commands as contestants."""

from __future__ import annotations

import gc
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.toolkit.speed.stand_ins import one_operation

from netloft.errors import CheckError, UsageError
from netloft.speed import bench, command, targets
from netloft.speed.command import command_contestant
from netloft.speed.measure import Plan
from netloft.speed.setup import Setup

ECHO = """
import os, sys, time
for line in sys.stdin:
    time.sleep(0.002)
    print(os.environ["NETLOFT_BATCH"], os.environ["NETLOFT_THREADS"], flush=True)
open(sys.argv[1], "w").write("ended")
"""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


def python(code: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", code, *arguments])


def test_a_command_is_timed_and_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    contestant = command_contestant(python(ECHO, str(ended)), Setup("cpu", 4, 1))
    for _ in range(2):
        start = time.perf_counter()
        contestant.run()
    assert time.perf_counter() - start >= 0.002
    assert not contestant.own
    assert not ended.exists()
    del contestant
    gc.collect()
    assert ended.read_text() == "ended"


def test_a_command_without_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "available", lambda _: (("cuda",), ()))
    with pytest.raises(UsageError, match="beside what the CPU does"):
        bench(one_operation(tmp_path / "relu.onnx", "batch", 3), commands=["cat"], quick=True)


def test_beside_a_file(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    echo = python(ECHO, str(tmp_path / "ended"))
    result = bench(file, batches=[2], threads=1, commands=[echo, "false"], quick=True)
    first, second = result.rows
    assert (second.target, second.engine, second.batch) == (echo, "command", 2)
    assert second.p50_ms >= 2
    assert second.cpu_ms is None
    assert first.cpu_ms is not None
    assert second.ratio_to_first is not None
    assert any(
        what == "false at batch 2" and "'false'" in reason for what, reason in result.not_run
    )


def test_a_command_that_ends_early_is_told() -> None:
    code = "print(input(), flush=True); raise SystemExit(3)"
    contestant = command_contestant(python(code), Setup("cpu", 1, 1))
    contestant.run()
    time.sleep(0.5)
    for _ in range(2):
        with pytest.raises(CheckError, match=r"the command .* ended with code 3"):
            contestant.run()


@pytest.mark.parametrize("given", ["", "no-such-program-here", "'open quote"])
def test_what_is_no_command(given: str) -> None:
    with pytest.raises(UsageError, match="names no program that is here"):
        bench("mnist", commands=[given])


TALKATIVE = """
import sys
for line in sys.stdin:
    print("done")
    print("took long", flush=True)
"""


def test_a_line_that_no_run_asked_for_is_told() -> None:
    contestant = command_contestant(python(TALKATIVE), Setup("cpu", 1, 1))
    with pytest.raises(CheckError, match="wrote more than one line for a run"):
        for _ in range(2):  # the second line may come late
            contestant.run()
            time.sleep(0.5)
    contestant = command_contestant(python("print('ready', flush=True)" + ECHO, "/dev/null"),
                                    Setup("cpu", 1, 1))  # fmt: skip
    with pytest.raises(CheckError, match="wrote more than one line for a run"):
        for _ in range(2):
            contestant.run()
            time.sleep(0.5)


def test_a_prompt_behind_a_line_is_more_than_one() -> None:
    code = "while True: input(); print('done', end='\\n> ', flush=True)"
    contestant = command_contestant(python(code), Setup("cpu", 1, 1))
    with pytest.raises(CheckError, match="wrote more than one line for a run"):
        contestant.run()


def test_a_command_that_fails_is_ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_PATIENCE_S", 0.1)
    started: list[Any] = []
    begin = subprocess.Popen

    def watched(*args: Any, **how: Any) -> Any:
        started.append(begin(*args, **how))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    contestant = command_contestant(python(TALKATIVE + "import time\ntime.sleep(1000)"),
                                    Setup("cpu", 1, 1))  # fmt: skip
    with pytest.raises(CheckError):
        for _ in range(2):
            contestant.run()
            time.sleep(0.3)
    assert started[0].poll() is not None


def test_a_command_that_never_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LONGEST_S", 0.2)
    monkeypatch.setattr(command, "_PATIENCE_S", 0.1)
    contestant = command_contestant("sleep 1000", Setup("cpu", 1, 1))
    with pytest.raises(CheckError, match=r"gave no line within 0\.2 s"):
        contestant.run()


def test_a_command_that_ends_while_it_is_measured_leaves_the_others(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    code = "for _ in range(8): print(input(), flush=True)"
    result = bench(file, batches=[2], threads=1, commands=[python(code)], quick=True)
    assert [row.engine for row in result.rows] == ["ONNX Runtime"]
    assert result.rows[0].n >= 5
    ((what, reason),) = [each for each in result.not_run if "CUDA" not in each.reason][-1:]
    assert what == f"{python(code)} at batch 2"
    assert reason.startswith("it failed while it was measured: the command")
    assert [place.engine for place in result.missing] == ["command"]
