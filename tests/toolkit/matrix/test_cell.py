"""One cell: what it writes, and how it tells what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netloft.matrix.cell import Cell, _finite, after_death, run_cell
from netloft.matrix.result import ATTEMPTS, CellResult, count_start, read_result, starts
from netloft.runtime.providers import probe

Plan = Callable[[str], tuple[Cell, ...]]


def one(plan: Plan, name: str = "Net", more: str = "") -> Cell:
    (cell,) = plan(f'[[model]]\nspec = "net.py:{name}"\nthreads = 1\n{more}')
    return cell


def test_a_cell_that_passes_leaves_a_bundle_and_is_not_done_again(
    plan: Plan, tmp_path: Path
) -> None:
    import netloft

    cell = one(plan, more="arguments = { width = 5 }")
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.settled, result.exit_code) == ("pass", True, 0), result.error
    bundle = tmp_path / "out" / result.bundle
    assert bundle == tmp_path / "out" / "cells" / cell.id / "bundle"
    assert netloft.verify(bundle).status == "pass"
    report = json.loads((bundle / "report.json").read_text())
    (row,) = [r for r in report["speed"] if r["engine"] == "ONNX Runtime"]
    assert (result.p50_ms, result.n, result.threads) == (row["p50_ms"], row["n"], 1)
    assert result.parity_rows == len(report["parity"])
    assert result.worst_ratio == pytest.approx(max(r["ratio"] for r in report["parity"]), rel=1e-5)
    written = (bundle / "manifest.json").stat().st_mtime_ns
    assert run_cell(cell, tmp_path / "out", at_once=3) == result
    assert (bundle / "manifest.json").stat().st_mtime_ns == written
    assert starts(tmp_path / "out", cell.id) == 0


@pytest.mark.parametrize(("value", "told"), [(1.23456789, 1.23457), (float("inf"), None)])
def test_numbers_are_told_to_six_digits_and_infinity_not_at_all(
    value: float, told: float | None
) -> None:
    assert _finite(value) == told


def test_a_result_without_its_bundle_is_none(plan: Plan, tmp_path: Path) -> None:
    cell = one(plan)
    facts = {**cell.row(), "status": "pass", "settled": True, "bundle": f"cells/{cell.id}/bundle"}
    place = tmp_path / "cells" / cell.id
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(facts))
    assert read_result(tmp_path, cell.id) is None
    (place / "bundle").mkdir()
    (place / "bundle" / "manifest.json").touch()
    assert read_result(tmp_path, cell.id) == CellResult(**facts)
    (place / "result.json").write_text(json.dumps(facts)[:-9])
    assert read_result(tmp_path, cell.id) is None


@pytest.mark.parametrize(
    ("name", "more", "status", "settled", "said"),
    [
        ("Branching", "", "error", True, "net.py"),
        ("None", "", "error", True, "has no 'None'"),
        ("Net", 'inputs = ["1x4x8x8"]', "error", True, "channels"),
        ("Net", "arguments = { depth = 1 }", "error", True, "depth"),
    ],
)
def test_a_wrong_input_is_told_with_its_remedy(
    plan: Plan, tmp_path: Path, name: str, more: str, status: str, settled: bool, said: str
) -> None:
    cell = one(plan, name, more)
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.settled, result.exit_code) == (status, settled, 2)
    assert said in result.error
    assert not result.bundle
    assert not (tmp_path / "out" / "cells" / cell.id / "bundle").exists()
    assert read_result(tmp_path / "out", cell.id) == result


def test_a_provider_that_is_not_here_is_looked_for_again(plan: Plan, tmp_path: Path) -> None:
    if probe("tensorrt").starts:
        pytest.skip("TensorRT starts on this machine")
    cell = one(plan, more='providers = ["tensorrt"]')
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.exit_code) == ("missing", 3)
    assert "provider 'tensorrt' does not start" in result.error
    assert read_result(tmp_path / "out", cell.id) is None


def test_a_file_that_computes_something_else_fails(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netloft_exporters.onnx import direct_route

    lower = direct_route.lower_directly

    def wrong(*args: object) -> object:
        lowered = lower(*args)  # type: ignore[arg-type]
        (node,) = (n for n in lowered.model.graph if n.op_type == "Relu")
        node.op_type = "Sigmoid"
        return lowered

    monkeypatch.setattr("netloft_exporters.onnx.lower_directly", wrong)
    cell = one(plan)
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.settled, result.exit_code) == ("fail", True, 1)
    assert "computes another function" in result.error
    assert not (tmp_path / "out" / "cells" / cell.id / "bundle").exists()


def test_a_bundle_that_does_not_verify_fails(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netloft.verification import Verification

    failed = Verification("fail", (), (), ())
    monkeypatch.setattr("netloft.verification.verify", lambda *_, **__: failed)
    result = run_cell(one(plan), tmp_path / "out", at_once=1)
    assert (result.status, result.exit_code, result.bundle) == ("fail", 1, "")
    assert "fails on its own test vectors" in result.error


def test_a_mistake_of_ours_is_a_row_with_its_traceback(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one over none")

    monkeypatch.setattr("netloft.exporting.export_model", broken)
    cell = one(plan)
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.error) == ("fail", "ZeroDivisionError: one over none")
    assert "in broken" in result.traceback
    assert read_result(tmp_path / "out", cell.id) is None


def test_a_network_that_leaves_python_is_a_row(plan: Plan, tmp_path: Path) -> None:
    result = run_cell(one(plan, "Leaving"), tmp_path / "out", at_once=1)
    assert result.status in ("fail", "error")
    assert "goodbye" in result.error


def test_a_file_that_was_changed_while_the_cell_waited_is_not_taken_for_the_first(
    plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    for name in ("net.py", "w.safetensors"):
        cell = one(plan, more='weights = "w.safetensors"')
        with (tmp_path / name).open("a") as file:
            file.write("\n# another network\n")
        result = run_cell(cell, tmp_path / "out", at_once=1)
        assert (result.status, result.settled, result.exit_code) == ("error", False, 2)
        assert result.error.startswith(f"{name} was changed while the matrix ran\n  remedy: run")
        assert read_result(tmp_path / "out", cell.id) is None
    (tmp_path / "net.py").unlink()
    result = run_cell(cell, tmp_path / "out", at_once=1)
    assert (result.status, result.settled) == ("missing", False)
    assert "net.py cannot be read: No such file" in result.error


@pytest.mark.parametrize("code", ["", "def broken(:"])
def test_a_file_that_is_changed_during_the_export_is_not_taken_for_the_first(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    from netloft import models

    load = models.load_model

    def edited(*args: Any, **how: Any) -> Any:
        with (tmp_path / "net.py").open("a") as file:
            file.write(f"\n{code}\n")
        return load(*args, **how)

    monkeypatch.setattr(models, "load_model", edited)
    result = run_cell(one(plan), tmp_path / "out", at_once=1)
    assert (result.status, result.settled, result.bundle) == ("error", False, "")
    assert result.error.startswith("net.py was changed while the matrix ran")


def test_a_worker_that_imported_a_module_before_it_was_changed_says_so(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "module_of_old.py"
    module.write_text("Net = 3\n")
    try:
        results = []
        for text in ("Net = 3\n", "from net import Net\n"):
            module.write_text(text)
            (cell,) = plan('[[model]]\nspec = "module_of_old:Net"')
            results.append(run_cell(cell, tmp_path / "out", at_once=1))
    finally:
        del sys.modules["module_of_old"]
    assert [result.settled for result in results] == [True, False]
    assert results[1].status == "missing"
    assert "has imported module_of_old as it was before" in results[1].error


def test_a_cell_that_was_begun_too_often_is_not_begun_again(plan: Plan, tmp_path: Path) -> None:
    cell = one(plan, "Poison")
    for _ in range(ATTEMPTS - 1):
        count_start(tmp_path, cell.id)
    assert after_death(cell, tmp_path, at_once=2) is None
    count_start(tmp_path, cell.id)
    told = after_death(cell, tmp_path, at_once=2)
    assert told is not None
    assert told == run_cell(cell, tmp_path, at_once=2)  # or this process would be gone
    assert (told.status, told.settled) == ("fail", False)
    assert told.error.startswith("its process was killed, 3 times")
