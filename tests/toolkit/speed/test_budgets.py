"""Limits, judged by intervals, on rows that are made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netloft.errors import CheckError, InputError, UsageError
from netloft.runtime.devices import cpu_model
from netloft.speed.budgets import (
    Budget,
    Place,
    judge_baseline,
    judge_budgets,
    judge_first,
    parse_budget,
)
from netloft.speed.limits import REGRESSION, Limits, require_kept
from netloft.speed.rows import TargetResult, TargetRow

ROW = TargetRow(
    target="net", engine="ONNX Runtime", provider="cpu", batch=1, threads=2, n=400, sessions=1,
    p50_ms=10.0, p50_low=9.5, p50_high=10.5, p95_ms=18.0, p95_low=17.0, p95_high=21.0, p99_ms=None,
    p99_low=None, p99_high=None, items_per_s=100.0, cpu_ms=15.0, precision="", ratio_to_first=1.0,
    ratio_low=1.0, ratio_high=1.0, verdict="", load_ms=50.0, load_low=45.0, load_high=53.0,
    memory_mb=90.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("p95_ms=20,batch=1", Budget("p95_ms", 20, {"batch": "1"})),
        (" items_per_s = 90 ", Budget("items_per_s", 90, {})),
        ("target=a/b.onnx,provider=cuda,p50_ms=1e-1",
         Budget("p50_ms", 0.1, {"target": "a/b.onnx", "provider": "cuda"})),
    ],
)  # fmt: skip
def test_a_budget_is_read(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", "20", "p95=20", "p95_ms", "p95_ms=", "p95_ms=nan", "p95_ms=-1", "p95_ms=0", "batch=1",
     "p95_ms=20,batch=0", "p95_ms=20,batch=two", "p50_ms=1,p95_ms=2", "p50_ms=1,p50_ms=2",
     "p50_ms=1,threads=0", "p50_ms=1,colour=red", "p50_ms=1,batch=" + "9" * 5000,
     "p50_ms=1,batch=65537", "p50_ms=1,threads=257"],
)  # fmt: skip
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match="is no budget"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("p50_ms=10.5", "kept"),
        ("p50_ms=10.2", "cannot tell"),  # within the interval
        ("p50_ms=9.4", "broken"),
        ("p95_ms=21,batch=1", "kept"),
        ("p95_ms=16.9,batch=1", "broken"),
        ("p95_ms=18,provider=cpu,target=net", "cannot tell"),
        ("items_per_s=95", "kept"),
        ("items_per_s=100", "cannot tell"),
        ("items_per_s=106", "broken"),
        ("memory_mb=90", "kept"),
        ("memory_mb=89", "broken"),
        ("load_ms=55,threads=2", "kept"),
        ("load_ms=52,threads=2", "cannot tell"),  # the longest of three took more
        ("load_ms=44,threads=2", "broken"),
    ],
)
def test_a_budget_is_judged_by_the_interval(text: str, status: str) -> None:
    (found,) = judge_budgets([parse_budget(text)], [ROW])
    assert found.status == status
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("limit", "status"), [(96, "kept"), (92, "cannot tell"), (88, "cannot tell"), (84, "broken")]
)
def test_memory_of_several_processes_is_judged_by_all_of_them(limit: int, status: str) -> None:
    row = replace(ROW, memory_low=85.0, memory_high=95.0)
    (found,) = judge_budgets([parse_budget(f"memory_mb={limit}")], [row])
    assert (found.status, found.value, found.low, found.high) == (status, 90, 85, 95)


def test_a_budget_for_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="p50_ms <= 5 at batch 8 is for nothing"):
        judge_budgets([parse_budget("p50_ms=5,batch=8")], [ROW])
    with pytest.raises(UsageError, match="p99_ms of net at batch 1 was not measured"):
        judge_budgets([parse_budget("p99_ms=5")], [ROW])


GONE = Place("new", "ONNX Runtime", "cpu", 8, 2, "out of memory")


def test_a_limit_for_what_did_not_run_is_never_kept() -> None:
    for text in ("p50_ms=100", "p50_ms=100,batch=8", "p50_ms=100,engine=onnxruntime"):
        with pytest.raises(UsageError, match=r"is for new in ONNX Runtime .* batch 8, .* out of"):
            judge_budgets([parse_budget(text)], [ROW, replace(ROW, batch=8)], [GONE])
    assert judge_budgets([parse_budget("p50_ms=100,target=net")], [ROW], [GONE])
    with pytest.raises(UsageError, match="the limit of a regression is for new"):
        judge_first([ROW, replace(ROW, target="new", verdict="slower")], 0.05, [GONE])
    with pytest.raises(UsageError, match="the baseline is for new"):
        judge_baseline([ROW], [ROW.to_dict()], 0.05, [GONE])


def test_a_file_for_another_batch_is_missed_only_where_it_is_named() -> None:
    fixed = replace(GONE, batch=1, reason="it has a fixed batch of 4", other_batch=True)
    assert judge_budgets([parse_budget("p50_ms=100")], [ROW], [fixed])
    with pytest.raises(UsageError, match="a fixed batch of 4"):
        judge_budgets([parse_budget("p50_ms=100,batch=1")], [ROW], [fixed])
    other = replace(ROW, target="b", verdict="slower")
    assert judge_first([ROW, other], 0.05, [fixed])


def test_the_first_target_need_not_run_at_the_first_batch() -> None:
    alone = replace(ROW, target="b", ratio_to_first=None, ratio_low=None, ratio_high=None)
    first = replace(ROW, target="a", batch=4)
    slower = replace(
        ROW,
        target="b",
        batch=4,
        ratio_to_first=3.0,
        ratio_low=2.9,
        ratio_high=3.1,
        verdict="slower",
    )
    (found,) = judge_first([alone, first, slower], 0.05)
    assert (found.target, found.batch, found.status) == ("b", 4, "broken")


def test_engines_of_a_budget_have_their_short_names() -> None:
    basic = replace(ROW, engine="ONNX Runtime, basic", p50_ms=11.0, p50_high=11.0)
    for name, value in (("onnxruntime", 10.0), ("onnxruntime-basic", 11.0)):
        (found,) = judge_budgets([parse_budget(f"p50_ms=100,engine={name}")], [ROW, basic])
        assert found.value == value


def test_a_budget_brings_its_batch_and_its_runs() -> None:
    limits = Limits.read(["p99_ms=5,batch=4", "p50_ms=3", "p95_ms=3,batch=2"])
    assert (limits.batches, limits.rounds, limits.loads) == ((4, 2), 528, 1)
    assert [Limits.read([text]).loads for text in ("load_ms=5", "memory_mb=5")] == [8, 8]


def earlier(tmp_path: Path, *rows: TargetRow, **changes: Any) -> Path:
    facts = {"speed": [row.to_dict() for row in rows], "environment": {"cpu": cpu_model()}}
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps({**facts, **changes}))
    return path


@pytest.mark.parametrize(
    ("factor", "status"),
    [(1.0, "cannot tell"), (0.8, "kept"), (1.12, "cannot tell"), (1.3, "broken")],
)
def test_an_earlier_report(tmp_path: Path, factor: float, status: str) -> None:
    limits = Limits.read(baseline=earlier(tmp_path, ROW))
    assert limits.most == REGRESSION
    slower = replace(
        ROW, p50_ms=factor * 10, p50_low=factor * 9.5, p50_high=factor * 10.5, target="other"
    )
    result = limits.judged(TargetResult((slower,), (), {}))
    (found,) = result.budgets
    assert (found.status, found.value) == (status, factor)
    if status == "broken":
        with pytest.raises(
            CheckError,
            match="batch 1 with 2 threads: p50_ms over the baseline's",
        ):
            require_kept(result)
    else:
        require_kept(result)


def test_an_earlier_report_of_several_targets_is_matched_by_name(tmp_path: Path) -> None:
    other = replace(ROW, target="other", p50_ms=1.0, p50_low=1.0, p50_high=1.0)
    limits = Limits.read(baseline=earlier(tmp_path, other, ROW), most=0.2)
    assert limits.before is not None
    (found,) = judge_baseline([ROW], limits.before, 0.2)
    assert found.value == 1
    with pytest.raises(UsageError, match="no row of third in ONNX Runtime on cpu at batch 1"):
        judge_baseline([replace(ROW, target="third")], limits.before, 0.2)
    with pytest.raises(UsageError, match=f"no row of {ROW.target} in ONNX Runtime .* batch 3"):
        judge_baseline([replace(ROW, batch=3)], limits.before, 0.2)
    with pytest.raises(UsageError, match="2 rows for other at batch 1"):
        judge_baseline([other], [*limits.before, *limits.before], 0.2)


def test_the_rows_of_an_exports_report_have_no_target(tmp_path: Path) -> None:
    eager = replace(ROW, target="resnet18", engine="PyTorch eager")
    rows = [{k: v for k, v in row.to_dict().items() if k != "target"} for row in (ROW, eager)]
    limits = Limits.read(baseline=earlier(tmp_path, speed=rows), most=0.2)
    assert limits.before is not None
    first, second = judge_baseline([ROW, eager], limits.before, 0.2)
    assert (first.value, second.value) == (1, 1)
    with pytest.raises(UsageError, match="no row of net"):
        judge_baseline([ROW, replace(ROW, target="other")], limits.before, 0.2)


def test_another_target_beside_the_one_of_an_earlier_report_is_not_judged_by_its_times(
    tmp_path: Path,
) -> None:
    limits = Limits.read(baseline=earlier(tmp_path, ROW), most=0.2)
    assert limits.before is not None
    with pytest.raises(UsageError, match="no row of other"):
        judge_baseline([ROW, replace(ROW, target="other")], limits.before, 0.2)


def test_what_is_no_earlier_report(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"speed": [1], "environment": {"cpu": ""}}', "[" * 100_000):
        path = tmp_path / "bad.json"
        path.write_text(text)
        with pytest.raises(InputError, match="holds no rows of speed"):
            Limits.read(baseline=path)
    with pytest.raises(InputError, match=r"there is no file .*absent\.json"):
        Limits.read(baseline=tmp_path / "absent.json")
    with pytest.raises(InputError, match="an interval that is none"):
        Limits.read(baseline=earlier(tmp_path, replace(ROW, p50_low=0)))
    for change in ({"p50_ms": "x"}, {"p50_ms": 0}, {"batch": float("inf")}, {"p50_high": None}):
        row = {**ROW.to_dict(), **change}
        with pytest.raises(InputError, match="holds no rows of speed"):
            Limits.read(baseline=earlier(tmp_path, ROW, speed=[row]))
    with pytest.raises(InputError, match="holds no rows of speed"):
        Limits.read(baseline="/dev/zero")
    with pytest.raises(InputError, match="was measured on Abacus"):
        Limits.read(baseline=earlier(tmp_path, ROW, environment={"cpu": "Abacus"}))


@pytest.mark.parametrize(
    ("sessions", "before", "status"),
    [(1, 1, "cannot tell"), (16, 1, "cannot tell"), (1, 16, "cannot tell"), (16, 16, "broken")],
)
def test_a_short_run_of_one_session_may_lie_elsewhere(
    tmp_path: Path, sessions: int, before: int, status: str
) -> None:
    """4 % more: of sixteen sessions that is told, of one it may be where it lies in memory."""
    old = replace(ROW, p50_ms=0.1, p50_low=0.1, p50_high=0.1, sessions=before)
    now = replace(ROW, p50_ms=0.104, p50_low=0.104, p50_high=0.104, sessions=sessions)
    before_it = Limits.read(baseline=earlier(tmp_path, old)).before
    assert before_it is not None
    (found,) = judge_baseline([now], before_it, 0.02)
    assert found.status == status


def test_the_first_target_as_the_baseline() -> None:
    worse = replace(
        ROW, target="b", ratio_to_first=1.2, ratio_low=1.1, ratio_high=1.3, verdict="slower"
    )
    (found,) = judge_first([ROW, worse], 0.05)
    assert (found.target, found.status) == ("b", "broken")
    (found,) = judge_first([ROW, worse], 0.2)
    assert found.status == "cannot tell"
    with pytest.raises(UsageError, match="nothing to compare"):
        judge_first([ROW], 0.05)


def test_every_number_of_threads_is_held_to_the_first_target_and_the_first_engine_alone() -> None:
    same = replace(ROW, target="b", verdict="cannot tell")
    worse = replace(
        same, threads=4, ratio_to_first=1.2, ratio_low=1.1, ratio_high=1.3, verdict="slower"
    )
    other = replace(worse, engine="OpenVINO, f32")
    rows = [ROW, same, other, replace(ROW, threads=4), worse]
    found = judge_first(rows, 0.05)
    assert [(one.engine, one.threads, one.status) for one in found] == [
        ("ONNX Runtime", 2, "kept"), ("ONNX Runtime", 4, "broken")
    ]  # fmt: skip
    assert "b in ONNX Runtime on cpu at batch 1 with 4 threads" in str(found[1])
