"""The page of speed tells what is alike from what rounds more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import performance
from benchmarks.performance_report import report
from benchmarks.timing import Row

FACTS: Row = {
    "net": "mnist", "threads": 1, "cpu": "a processor", "peak": 100.0, "batch": 1, "macs": 10**6,
    "precision": "fp32", "complaints": [], "sqnr_db": None,
}  # fmt: skip


def row(contestant: str, computes_in: str, ratio: float, verdict: str) -> Row:
    times = {"p50_ms": ratio, "ratio": ratio, "low": ratio, "high": ratio, "verdict": verdict}
    return {**FACTS, "contestant": contestant, "computes_in": computes_in, **times}


def test_what_computes_in_16_bits_in_parts_is_not_alike() -> None:
    for computes_in in ("bf16", "bf16, f32", "f32, f16"):
        rows = [row("netloft", "f32", 1, ""), row("OpenVINO", computes_in, 0.5, "faster")]
        page = "\n".join(report(rows))
        assert "as fast as can be told, on 0 of 1\nrows; of what is alike, on 1." in page
        assert f"0.500, in {computes_in}." in page
    rows[1]["computes_in"] = "f32"
    assert "as can be told, on 0 of 1\nrows; of what is alike, on 0." in "\n".join(report(rows))


def test_each_kind_of_processor_has_what_was_not_measured_on_it() -> None:
    other = {**row("netloft", "f32", 1, ""), "cpu": "another", "net": "alexnet"}
    refused = {"net": "alexnet", "threads": 1, "cpu": "another", "not_run": "int8", "reason": "no"}
    first, second = "\n".join(report([row("netloft", "f32", 1, ""), other, refused])).split(
        "## another\n"
    )
    left = "Not measured in fp32 with 1 thread: "
    assert "alexnet" in first.split(left)[1].split("\n")[0]
    assert "mnist" not in first.split(left)[1].split("\n")[0]
    assert "mnist" in second.split(left)[1].split("\n")[0]
    assert "- alexnet: int8: no" in second
    assert "- alexnet" not in first


@pytest.mark.parametrize(("dies", "left"), [("prepare", 1), ("tune", 3), ("", 7)])
def test_no_step_runs_on_what_another_did_not_make(
    dies: str, left: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = []

    def ended(file: Path, module: str, arguments: Any, what: str) -> bool:
        steps.append(what)
        return arguments[0] != dies

    monkeypatch.setattr(performance, "add_rows", ended)
    performance.run(tmp_path / "rows.jsonl", ["mnist"])
    assert len(steps) == left
    assert steps[0] == "prepare mnist"
