"""What the bench does with what it measured: a limit that is broken is told whatever else fails."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from tests.toolkit.speed.stand_ins import one_operation

from netloft.cli import main
from netloft.errors import InputError
from netloft.speed import footprint, history, peak, profile, targets
from netloft.speed.measure import Plan

BROKEN = ("--budget", "p50_ms=1e-9")
KEPT = ("--budget", "p50_ms=1e9")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(one_operation(tmp_path / "abs.onnx", "b", 3))


def bench(*arguments: str | Path) -> Result:
    how = ["--quick", "--provider", "cpu", "--batches", "1", "--threads", "1"]
    return CliRunner().invoke(main, ["bench", *map(str, arguments), *how])


@pytest.mark.parametrize(("limit", "code"), [(BROKEN, 1), (KEPT, 3)])
def test_nodes_that_do_not_add_up_are_no_broken_limit(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr(profile, "adds_up", lambda *_: False)
    monkeypatch.setattr(peak, "check_peak", lambda: None)
    monkeypatch.setattr("netloft.speed.targets.measure_peak", lambda _: peak.Peak(1, 1.0, 1.0))
    drawn = tmp_path / "roof.svg"
    found = bench(file, *limit, "--profile", "--roofline", drawn)
    assert found.exit_code == code, found.output
    assert "there are no nodes to draw" in found.stderr
    assert ("is broken" in found.stderr) == (code == 1)
    assert not drawn.exists()


def test_a_broken_limit_is_told_where_there_is_no_peak(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    asked = (file, *BROKEN, "--profile", "--roofline", tmp_path / "roof.svg", "--json")
    before = bench(*asked)
    assert before.exit_code == 3
    assert "needs a C compiler" in before.stderr
    assert "measuring" not in before.stderr, "it is known before anything is measured"
    monkeypatch.setattr(peak, "check_peak", lambda: None)
    after = bench(*asked)
    assert after.exit_code == 1
    assert [row["status"] for row in json.loads(after.stdout)["budgets"]] == ["broken"]
    assert "there is no roof to draw" in after.stderr
    assert "p50_ms <= 1e-09 is broken" in after.stderr


@pytest.mark.parametrize(("limit", "code"), [(BROKEN, 1), (KEPT, 2)])
def test_a_broken_limit_is_told_where_the_history_cannot_be_drawn(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, ...], code: int
) -> None:
    def unreadable(_: Path) -> None:
        raise InputError("somebody else has written into it meanwhile")

    monkeypatch.setattr(history, "read_series", unreadable)
    kept = tmp_path / "speed.jsonl"
    found = bench(file, *limit, "--history", kept, "--plot", tmp_path / "speed.svg")
    assert found.exit_code == code
    assert "somebody else has written" in found.stderr
    assert ("is broken" in found.stderr) == (code == 1)
    assert len(kept.read_text().splitlines()) == 1


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_broken_limit_is_told_beside_one_that_is_for_nothing(
    file: str, as_json: tuple[str, ...]
) -> None:
    found = bench(file, "--budget", "p50_ms=5,target=absent", *BROKEN, *as_json)
    assert found.exit_code == 1
    assert "p50_ms <= 5 at target absent is for nothing that was measured" in found.stderr
    assert "p50_ms <= 1e-09 is broken" in found.stderr
    alone = bench(file, "--budget", "p50_ms=5,target=absent", *KEPT, *as_json)
    assert alone.exit_code == 2
    assert "is for nothing that was measured" in alone.stderr
    if as_json:
        assert [row["status"] for row in json.loads(alone.stdout)["budgets"]] == ["kept"]
    else:
        assert "p50_ms <= 1e+09 is kept" in alone.stdout


@pytest.mark.parametrize("engine", ["eager", "onnxruntime-tuned"])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_nothing_measured_is_a_mistake_and_is_not_kept(
    file: str, tmp_path: Path, engine: str, as_json: tuple[str, ...]
) -> None:
    kept, drawn = tmp_path / "speed.jsonl", tmp_path / "speed.svg"
    outputs = ("--history", kept, "--plot", drawn)
    found = bench(file, "--engine", engine, *KEPT, *outputs, *as_json)
    assert found.exit_code == 2
    why = {"eager": "no engine that was asked for", "onnxruntime-tuned": "only a bundle is tuned"}
    assert f"nothing was measured: {file}" in found.stderr
    assert why[engine] in found.stderr
    assert not kept.exists()
    assert not drawn.exists()
    if as_json:
        assert json.loads(found.stdout)["error"] == "UsageError"
    else:
        assert found.stdout == ""


def test_a_history_that_cannot_be_drawn_is_told_before_anything_is_measured(
    file: str, tmp_path: Path
) -> None:
    kept, drawn = tmp_path / "speed.jsonl", tmp_path / "speed.svg"
    assert bench(file, "--history", kept).exit_code == 0
    kept.write_text(kept.read_text() + "notes\n")
    found = bench(file, "--history", kept, "--plot", drawn)
    assert found.exit_code == 2
    assert f"line 2 of {kept} is none of the bench's" in found.stderr
    assert "take the line out" in found.stderr
    assert "measuring" not in found.stderr
    assert len(kept.read_text().splitlines()) == 2


def test_the_trace_of_a_crash_in_a_history_is_told_and_does_no_harm(
    file: str, tmp_path: Path
) -> None:
    kept, drawn = tmp_path / "speed.jsonl", tmp_path / "speed.svg"
    assert bench(file, "--history", kept).exit_code == 0
    kept.write_text(kept.read_text() + '{"time": "now", "spe')
    first = bench(file, "--history", kept, "--plot", drawn)
    assert first.exit_code == 0, first.output
    assert f"note: the last line of {kept} was cut off" in first.stderr
    again = bench(file, "--history", kept, "--plot", drawn)
    assert again.exit_code == 0, again.output
    assert "was cut off" not in again.stderr
    assert drawn.read_text().count("<circle") == 3


def test_a_limit_on_loading_is_judged_on_eight_processes(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = list[object]()
    answered = footprint._answered

    def counted(asked: Mapping[str, Any]) -> footprint.Footprint:
        started.append(asked)
        return answered(asked)

    monkeypatch.setattr(footprint, "_answered", counted)
    monkeypatch.setattr(targets, "plan_of", lambda *_: Plan(0.0, rounds=5, warmup_s=0.0))
    how = ["--provider", "cpu", "--batches", "1", "--threads", "1", "--json", "--quiet"]
    limits = ["--budget", "memory_mb=1e6", "--budget", "load_ms=1e9"]
    found = CliRunner().invoke(main, ["bench", file, *how, *limits])
    assert found.exit_code == 0, found.output
    assert len(started) == 8
    (row,) = json.loads(found.stdout)["speed"]
    for one, name in zip(json.loads(found.stdout)["budgets"], ("memory_", "load_"), strict=True):
        assert one["status"] == "kept"
        assert (one["low"], one["high"]) == (row[f"{name}low"], row[f"{name}high"])
        assert one["low"] <= one["value"] <= one["high"]
    assert row["load_low"] < row["load_high"]


ANSWER = """
import os, sys, time
for line in sys.stdin:
    time.sleep({seconds})
    print(os.environ["NETLOFT_BATCH"], flush=True)
"""


def command(seconds: float) -> str:
    return shlex.join([sys.executable, "-c", ANSWER.format(seconds=seconds)])


def test_a_command_takes_its_turns(file: str) -> None:
    slow = command(0.02)
    found = bench(file, "--command", slow, "--json")
    assert found.exit_code == 0, found.output
    first, second = json.loads(found.stdout)["speed"]
    assert (first["target"], first["engine"]) == (file, "ONNX Runtime")
    assert (second["target"], second["engine"], second["cpu_ms"]) == (slow, "command", None)
    assert second["p50_ms"] >= 20
    assert first["n"] == second["n"] == 5
    assert second["verdict"] == "slower"
    assert second["ratio_to_first"] > 1


def test_a_command_that_is_none_and_one_that_fails(file: str) -> None:
    absent = bench(file, "--command", "no-such-program-here 1")
    assert absent.exit_code == 2
    assert "names no program that is here" in absent.stderr
    assert "measuring" not in absent.stderr
    failing = shlex.join([sys.executable, "-c", "raise SystemExit(3)"])
    found = bench(file, "--command", failing)
    assert found.exit_code == 0, "the others go on"
    assert f"not run: {failing} at batch 1: " in found.stdout
    held = bench(file, "--command", failing, "--max-regression", "900%")
    assert held.exit_code == 2
    assert "which did not run" in held.stderr


@pytest.mark.parametrize(
    ("asked", "taken"), [((), 5), (("--rounds", "9"), 9), (("--rounds", "2"), 5)]
)
def test_rounds_are_the_fewest_runs(file: str, asked: tuple[str, ...], taken: int) -> None:
    found = bench(file, *asked, "--json")
    (row,) = json.loads(found.stdout)["speed"]
    assert row["n"] == taken
    assert row["p95_ms"] is None


def test_enough_rounds_bring_a_percentile(file: str) -> None:
    (row,) = json.loads(bench(file, "--rounds", "104", "--json").stdout)["speed"]
    assert row["n"] == 104
    assert row["p95_low"] <= row["p95_ms"] <= row["p95_high"]
    assert row["p99_ms"] is None


@pytest.mark.parametrize(("slower", "most", "code"), [(True, "5%", 1), (False, "1000000%", 0)])
def test_two_targets_and_a_regression(file: str, slower: bool, most: str, code: int) -> None:
    """A file, and a product that takes many times as long, in either order."""
    large = Path(file).parent / "large.onnx"
    large.write_bytes(product(1024))
    targets = (file, str(large)) if slower else (str(large), file)
    more = ["--rounds", "40"]  # one of five that waited for its processor hides it
    found = bench(*targets, "--max-regression", most, *more, "--json")
    assert found.exit_code == code, found.output
    (one,) = json.loads(found.stdout)["budgets"]
    assert (one["target"], one["status"]) == (targets[1], "broken" if slower else "kept")
    assert one["limit"].startswith("time over the first target's <= ")
    if slower:
        assert f"{large} in ONNX Runtime on cpu at batch 1 with 1 thread: time over" in found.stderr


def product(length: int) -> bytes:
    """Return a file with a product with a matrix of `length` x `length`."""
    matrix = numpy_helper.from_array(np.ones((length, length), np.float32), "w")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", length]) for n in "xy"]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [matrix])
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    data: bytes = model.SerializeToString()
    return data
