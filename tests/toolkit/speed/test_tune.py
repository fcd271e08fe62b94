"""Session options that are best here are found, kept in the bundle, and taken when it is loaded."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import netloft
from netloft.cli import main
from netloft.errors import InputError, IntegrityError
from netloft.runtime import load, tuning
from netloft.runtime.devices import cpu_model
from netloft.runtime.providers import process_cpus
from netloft.runtime.tuning import TunedRow, problem_of, row_for
from netloft.speed import settings as settings_module
from netloft.speed import tune as tune_module
from netloft.speed.measure import Plan, Samples
from netloft.speed.settings import Setting, settings_here
from netloft.speed.tune import tune
from netloft.speed.variants import Variant


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 49, 5)).eval()
    netloft.export(net, (torch.randn(2, 3, 9, 9),), out=tmp_path / "net", quick=True)
    return tmp_path / "net"


@pytest.fixture(autouse=True)
def _no_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_module, "variant_of", lambda *_, **__: Variant(b""))


def times(*factors: float) -> Callable[[Sequence[Any], Plan], list[Samples]]:
    """Stand in for measuring: each session takes the first one's time, times a factor.

    A session keeps its factor when those that are surely slower are left out later.
    """
    known: dict[int, float] = {}
    held = []  # or another session could come to have the identity of one that has gone

    def measured(runs: Sequence[Any], plan: Plan) -> list[Samples]:
        sessions = [run.func.__self__ for run in runs]
        held.extend(sessions)
        for session, factor in zip(sessions, (1.0, *factors, *[1.3] * len(runs)), strict=False):
            known.setdefault(id(session), factor)
        for run in runs:
            run()
        jitter = np.random.default_rng(0).normal(1, 0.005, (len(runs), 40))
        return [
            Samples(tuple(int(1e6 * known[id(session)] * j) for j in row), (1,) * 40)
            for session, row in zip(sessions, jitter, strict=True)
        ]

    return measured


def contents(bundle: Path) -> dict[Path, bytes]:
    """Return every file but the manifest."""
    files = (p for p in bundle.rglob("*") if p.is_file() and p.name != "manifest.json")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, [(None, True), (1, False)]),
        (2, [(None, True), (1, False), (2, True), (2, False)]),
        (3, [(None, True), (1, False), (2, True), (2, False), (3, True), (3, False)]),
    ],
)
def test_settings_to_try(cpus: int, expected: list[tuple[int | None, bool]]) -> None:
    assert [(s.threads, s.spinning) for s in settings_here(cpus)] == expected


def test_the_best_is_kept_and_taken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(tuning, "process_cpus", lambda: 2)
    monkeypatch.setattr(settings_module, "measure", times(0.8, 0.9))
    before = contents(bundle)
    found = tune(bundle, batches=[1, 8], providers=["cpu"])
    assert [row.chosen for row in found.rows] == [False, True, False, False] * 2
    assert found.rows[1].setting == Setting(1, False)
    assert [(row.batch, row.threads, row.spinning) for row in found.kept] == [
        (1, 1, False), (8, 1, False),
    ]  # fmt: skip
    assert contents(bundle) == before

    asked: list[dict[str, Any]] = []
    runtime = importlib.import_module("netloft.runtime.load")  # the function has its name
    start = runtime.start_session

    def watched(*args: Any, **options: Any) -> Any:
        asked.append(options)
        return start(*args, **options)

    monkeypatch.setattr(runtime, "start_session", watched)
    net = load(bundle)
    assert net.tuned == found.kept[0]
    assert asked[-1] == {"threads": 1, "spinning": False, "resting": True}
    assert load(bundle, batch=100).tuned == found.kept[1]
    assert load(bundle, threads=2).tuned is None
    assert asked[-1] == {"threads": 2, "spinning": True, "resting": False}
    y = net.run({net.inputs[0].name: np.zeros((1, 3, 9, 9), np.float32)})
    assert next(iter(y.values())).shape == (1, 5)


def test_what_is_not_surely_better_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(settings_module, "measure", times(0.9995, 1.2))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [row.chosen for row in found.rows] == [True, False, False, False]
    assert str(found.rows[0].setting) == "ONNX Runtime's own choice"
    assert found.kept == ()
    assert load(bundle).tuned is None


def test_tuning_again_keeps_what_others_found(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    tune(bundle, batches=[1], providers=["cpu"])
    monkeypatch.setattr(tuning, "cpu_model", lambda: "Abacus")
    tune(bundle, batches=[1, 2], providers=["cpu"])
    tune(bundle, batches=[2], providers=["cpu"])
    rows = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    assert [(row["cpu"], row["batch"]) for row in rows] == [
        (cpu_model(), 1), ("Abacus", 1), ("Abacus", 2),
    ]  # fmt: skip
    assert netloft.verify(bundle).status == "pass"


def test_what_turns_out_no_better_is_forgotten(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    tune(bundle, batches=[1, 2], providers=["cpu"])
    monkeypatch.setattr(settings_module, "measure", times(1.5))
    tune(bundle, batches=[2], providers=["cpu"])
    rows = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    assert [row["batch"] for row in rows] == [1]


def test_a_batch_that_does_not_run_is_told(bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="does not run at batch 1000000000000 on cpu"):
        tune(bundle, batches=[10**12], providers=["cpu"])
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_manifest_with_what_is_no_number_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "seed": float("nan")}))
    with pytest.raises(IntegrityError, match="NaN is no number"):
        tune(bundle, batches=[1], providers=["cpu"])


def test_a_bundle_that_was_changed_is_not_tuned(bundle: Path) -> None:
    file = bundle / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(IntegrityError, match=r"model\.onnx was changed"):
        tune(bundle)
    assert (bundle / "manifest.json").read_bytes() == before


ROW = TunedRow("A", 2, "1.0", "cpu", 1, 2, True, "model.onnx", 1.0, 0.9, 0.8, 1.0)


@pytest.mark.parametrize(
    "change",
    [{"threads": 0}, {"threads": 3}, {"threads": True}, {"threads": "2"}, {"batch": 0},
     {"spinning": 1}, {"cpu": None}, {"p50_ms": "fast"}, {"more": 1}, {"file": "other.onnx"},
     {"file": "../model.onnx"}, {"file": None}, {"file": "report.json"}],
)  # fmt: skip
def test_rows_that_are_none(change: dict[str, object]) -> None:
    files = ["model.onnx", "report.json"]
    assert problem_of([ROW.to_dict()], files) == ""
    assert problem_of([{**ROW.to_dict(), **change}], files) != ""
    assert problem_of({}, files) != ""


def test_a_bundle_with_such_rows_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "tuning": [{**ROW.to_dict(), "threads": -1}]}))
    with pytest.raises(IntegrityError, match="tuned options that are none"):
        load(bundle)


def test_the_row_of_the_nearest_batch_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Any] = {
        "cpu": cpu_model(), "cpus": process_cpus(), "onnxruntime": onnxruntime.__version__
    }  # fmt: skip
    rows = [dataclasses.replace(ROW, **here, batch=n) for n in (1, 8, 64)]
    foreign = dataclasses.replace(ROW, **{**here, "cpu": "Abacus"}, batch=30)
    for batch, nearest in ((1, 1), (4, 1), (5, 8), (30, 8), (1000, 64)):
        found = row_for([foreign, *rows], "cpu", batch)
        assert found is not None
        assert found.batch == nearest
    assert row_for(rows, "cuda", 1) is None
    assert row_for([foreign], "cpu", 1) is None


def test_on_the_command_line(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    args = ["bench", str(bundle), "--tune", "--provider", "cpu", "--batches", "1"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("kept\n") == 1
    found = json.loads(CliRunner().invoke(main, [*args, "--json"]).stdout)
    assert found["kept"][0]["ratio"] == pytest.approx(0.5, rel=0.1)
    for option in (["--rounds", "9"], ["--budget", "p50_ms=1"], ["--engine", "all"]):
        assert CliRunner().invoke(main, [*args, *option]).exit_code == 2
    for targets in (["mnist"], [str(bundle), str(bundle)], [str(bundle / "model.onnx")]):
        assert CliRunner().invoke(main, ["bench", *targets, "--tune"]).exit_code == 2
