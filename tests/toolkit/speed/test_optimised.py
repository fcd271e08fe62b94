"""What ONNX Runtime makes of a file is saved where that loads faster, held to the vectors, run."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import Measure, taking
from torch import nn

import netloft
from netloft.bundle.rewrite import seal
from netloft.cli import main
from netloft.errors import IntegrityError
from netloft.publishing.source import read_source
from netloft.runtime import load, tuning
from netloft.runtime.devices import cpu_instructions
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import start_session
from netloft.runtime.tuning import SavedFile, TunedRow, problem_of
from netloft.speed import measure as measure_module
from netloft.speed import optimised as optimised_module
from netloft.speed import settings as settings_module
from netloft.speed import tune as tune_module
from netloft.speed import variants as variants_module
from netloft.speed.measure import Plan, RunError, Samples
from netloft.speed.optimised import optimised, why_not
from netloft.speed.settings import OWN
from netloft.speed.stats import Interval
from netloft.speed.tune import TuneResult, tune
from netloft.speed.variants import Variant

pytestmark = [
    pytest.mark.skipif(not cpu_instructions(), reason="nothing is saved where it is unknown"),
    pytest.mark.usefixtures("usual_pages"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "net"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 5)).eval()
    netloft.export(net, (torch.randn(2, 3, 9, 9),), out=out, quick=True)
    return out


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "net"))


@pytest.fixture(autouse=True)
def _no_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants_module, "variant_of", lambda *_, **__: Variant(b""))
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(tuning, "process_cpus", lambda: 2)


def loading_and_running(load_takes: float, run_takes: float) -> Measure:
    """Stand in for measuring a saved file: loads are told from runs by what they call."""

    def measured(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        is_run = isinstance(runs[0], functools.partial)
        return taking(run_takes if is_run else load_takes)(runs, plan)

    return measured


@pytest.fixture
def saving(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TuneResult]:
    """Tune, with what times are said to be."""

    def tuned(
        options: float = 0.8, loads: float = 0.4, runs: float = 1.0, **how: Any
    ) -> TuneResult:
        monkeypatch.setattr(settings_module, "measure", taking(options))
        monkeypatch.setattr(measure_module, "measure", loading_and_running(loads, runs))
        given: dict[str, Any] = {"batches": [1, 4], "providers": ["cpu"], "save_optimised": True}
        return tune(bundle, **given | how)

    return tuned


def variants(bundle: Path) -> list[str]:
    return sorted(path.name for path in bundle.glob("variants/*"))


def the_saved(bundle: Path) -> Path:
    (name,) = {row["saved"]["file"] for row in read_manifest(bundle)["tuning"]}
    return bundle / str(name)


def x() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((3, 3, 9, 9)).astype(np.float32)


def ran(net: netloft.runtime.Net) -> np.ndarray[Any, Any]:
    (y,) = net.run({net.inputs[0].name: x()}).values()
    return y


@pytest.mark.parametrize(
    ("loads", "runs", "expected"),
    [
        ((0.3, 0.4), (0.98, 1.02), ""),
        ((0.3, 0.4), (0.90, 0.95), ""),
        ((0.9, 1.0), (0.98, 1.02), "it does not surely load faster: 0.950 of the time (0.900 to"),
        ((0.3, 0.4), (1.01, 1.05), "it runs more slowly: 1.030 of the time (1.010 to 1.050)"),
    ],
)
def test_what_is_kept(loads: tuple[float, float], runs: tuple[float, float], expected: str) -> None:
    load, run = (Interval(sum(ends) / 2, *ends) for ends in (loads, runs))
    assert why_not(load, run).startswith(expected)
    assert bool(why_not(load, run)) == bool(expected)


def test_it_is_kept_once_and_loaded(bundle: Path, saving: Callable[..., TuneResult]) -> None:
    found = saving()
    path = the_saved(bundle)
    assert variants(bundle) == [path.name, f"{path.name}.data"]
    assert [(row.batch, row.file) for row in found.kept] == [(1, "model.onnx"), (4, "model.onnx")]
    assert found.kept[0].saved is not None
    assert found.kept[0].saved.load_ratio == pytest.approx(0.4, rel=0.05)
    assert found.refused == ()
    published = read_source(bundle, None).tuned("cpu")  # which is of the model itself
    assert published == dataclasses.replace(found.kept[0], saved=None)

    net, plain = load(bundle), load(bundle, threads=1)
    assert net.tuned == found.kept[0]
    assert (net.file, plain.file) == (f"variants/{path.name}", "model.onnx")
    session: Any = net._session
    assert session._model_path == str(path)
    level = session.get_session_options().graph_optimization_level
    assert level.name == "ORT_DISABLE_ALL"
    np.testing.assert_allclose(ran(net), ran(plain), atol=1e-6)


def test_a_row_for_the_runtimes_own_choice(
    bundle: Path, saving: Callable[..., TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = saving(options=1.2, batches=[1]).kept
    assert (row.threads, row.spinning, row.ratio) == (None, True, 1.0)
    net = load(bundle)
    assert net.file == f"variants/{the_saved(bundle).name}"
    assert tuning.started_with(row)[1] == {
        "threads": None, "spinning": True, "resting": False, "optimisation": "none",
    }  # fmt: skip
    assert read_source(bundle, None).tuned("cpu") is None
    assert netloft.verify(bundle, providers=["cpu"]).status == "pass"
    monkeypatch.setattr(tuning, "cpu_instructions", lambda: "avx1024")
    assert (load(bundle).tuned, load(bundle).file) == (row, "model.onnx")


def test_nothing_is_saved_unasked(bundle: Path, saving: Callable[..., TuneResult]) -> None:
    assert [row.saved for row in saving(save_optimised=False).kept] == [None, None]
    assert variants(bundle) == []
    assert load(bundle).file == "model.onnx"


def test_it_is_verified_like_the_model(bundle: Path, saving: Callable[..., TuneResult]) -> None:
    saving()
    name = f"variants/{the_saved(bundle).name}"
    found = netloft.verify(bundle, providers=["cpu"])
    assert found.status == "pass"
    assert [row["input"] for row in found.parity] == ["test vectors", f"{name}, test vectors"]
    assert [note.partition(": ")[0] for note in found.notes] == [name]
    foreign = [row for row in found.not_run if row["what"].startswith("onnx.checker of ")]
    assert [row["what"].rpartition(" ")[2] for row in foreign] == [the_saved(bundle).name]
    assert "operators it does not know and passes over" in foreign[0]["reason"]


@pytest.mark.parametrize("end", ["", ".data"])
def test_one_that_was_changed_is_refused(
    bundle: Path, saving: Callable[..., TuneResult], end: str
) -> None:
    saving()
    path = the_saved(bundle).with_name(the_saved(bundle).name + end)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for read in (load, netloft.verify):
        with pytest.raises(IntegrityError, match=rf"variants/{path.name} was changed"):
            read(bundle)


def sealed_again(bundle: Path) -> None:
    """Let the manifest say what the files are now."""
    seal(bundle, json.loads((bundle / "manifest.json").read_bytes()))


def test_a_wrong_one_in_the_manifest_fails(bundle: Path, saving: Callable[..., TuneResult]) -> None:
    saving()
    path = the_saved(bundle)
    weights = path.with_name(f"{path.name}.data")
    weights.write_bytes((np.frombuffer(weights.read_bytes(), np.float32) * 2).tobytes())
    sealed_again(bundle)
    found = netloft.verify(bundle, providers=["cpu"])
    assert found.status == "fail"
    assert [row["status"] for row in found.parity] == ["pass", "fail"]


@pytest.mark.parametrize(
    ("what", "told"),
    [("cpu_model", "it is for .*, 2 CPUs, .*, and this is Abacus, 2 CPUs"),
     ("cpu_instructions", "it is for processors with .*, which these are not")],
)  # fmt: skip
def test_another_machine_reads_it_and_does_not_run_it(
    bundle: Path,
    saving: Callable[..., TuneResult],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    told: str,
) -> None:
    saving()
    path = the_saved(bundle)
    monkeypatch.setattr(tuning, what, lambda: "Abacus")
    net = load(bundle)
    assert net.file == "model.onnx"
    assert (net.tuned is None) == (what == "cpu_model")
    found = netloft.verify(bundle, providers=["cpu"])
    assert found.status == "pass"
    assert [row["input"] for row in found.parity] == ["test vectors"]
    reasons = {row["what"]: row["reason"] for row in found.not_run}
    assert re.search(told, reasons[f"variants/{path.name}"])
    assert any(check.startswith(f"{path.name}: ") for check in found.checks)  # it was read

    model = onnx.load(path, load_external_data=False)
    outside = next(t for t in model.graph.initializer if t.external_data)
    outside.external_data[0].value = "../model.onnx"
    path.write_bytes(model.SerializeToString())
    sealed_again(bundle)
    with pytest.raises(IntegrityError, match="which is not beside it"):
        netloft.verify(bundle, providers=["cpu"])


def test_one_that_is_outside_of_the_certificate_is_not_kept(
    bundle: Path, saving: Callable[..., TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*given: Any, save_to: Path, **how: Any) -> Any:
        session = start_session(*given, save_to=save_to, **how)
        weights = save_to.with_name(f"{save_to.name}.data")
        weights.write_bytes((np.frombuffer(weights.read_bytes(), np.float32) * 2).tobytes())
        return session

    monkeypatch.setattr(optimised_module, "start_session", wrong)
    found = saving()
    assert [reason for _, reason in found.refused] == [
        f"output '{read_manifest(bundle)['outputs'][0]['name']}' is not what the test vectors say"
    ] * 2
    assert [row.saved for row in found.kept] == [None, None]
    assert variants(bundle) == []


@pytest.mark.parametrize(
    ("loads", "runs", "reason"),
    [(0.999, 1.0, "it does not surely load faster"), (0.4, 1.1, "it runs more slowly")],
)
def test_one_that_does_not_pay_is_not_kept(
    bundle: Path, saving: Callable[..., TuneResult], loads: float, runs: float, reason: str
) -> None:
    found = saving(loads=loads, runs=runs)
    assert [what for what, _ in found.refused] == [
        f"a saved file of model.onnx at batch {batch} on cpu" for batch in (1, 4)
    ]
    assert all(told.startswith(reason) for _, told in found.refused)
    assert [row.saved for row in found.kept] == [None, None]
    assert variants(bundle) == []


def test_one_whose_run_fails_while_it_is_measured_loses_no_options(
    bundle: Path, saving: Callable[..., TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Interval:
        raise RunError(1, RuntimeError("bad allocation"))

    monkeypatch.setattr(optimised_module.Optimised, "run_ratio", fails)
    found = saving(batches=[1])
    assert [row.saved for row in found.kept] == [None]
    assert found.refused[-1] == (
        "a saved file of model.onnx at batch 1 on cpu",
        "it failed while it was measured: RuntimeError: bad allocation",
    )
    assert variants(bundle) == []


def test_tuning_again_replaces_it(
    bundle: Path, saving: Callable[..., TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    saving()
    first = variants(bundle)
    saving()
    assert variants(bundle) == first
    monkeypatch.setattr(tuning, "cpu_model", lambda: "Abacus")
    saving(batches=[1])
    assert len(variants(bundle)) == 4  # of two machines
    saving(batches=[1], save_optimised=False)
    assert variants(bundle) == first
    monkeypatch.undo()
    monkeypatch.setattr(tuning, "process_cpus", lambda: 2)
    assert netloft.verify(bundle, providers=["cpu"]).status == "pass"


def test_it_goes_where_it_does_not_pay_any_more(
    bundle: Path, saving: Callable[..., TuneResult]
) -> None:
    saving()
    saving(batches=[1], loads=1.2)
    assert len(variants(bundle)) == 2  # batch 4 has it still
    saving(batches=[4], loads=1.2, options=1.2)
    assert not (bundle / "variants").exists()
    rows = [(row["batch"], row["threads"] is None) for row in read_manifest(bundle)["tuning"]]
    assert rows == [(1, False), (4, True)]


def test_of_a_rewritten_file(
    bundle: Path, saving: Callable[..., TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.doc_string = "rewritten"
    content = model.SerializeToString()
    monkeypatch.setattr(variants_module, "variant_of", lambda *_, **__: Variant(content))
    monkeypatch.setattr(tune_module, "try_all", only_rewritten(settings_module.try_all))
    (row,) = saving(batches=[1]).kept
    assert row.saved is not None
    assert row.file.startswith("variants/")
    assert len(variants(bundle)) == 3
    assert load(bundle).file == row.saved.file
    assert netloft.verify(bundle, providers=["cpu"]).status == "pass"


def only_rewritten(try_all: Callable[..., Any]) -> Callable[..., Any]:
    """Let the rewritten file win."""

    def tried(*given: Any) -> Any:
        rows = try_all(*given)
        last = rows[-1]
        return [dataclasses.replace(row, chosen=row is last) for row in rows]

    return tried


def test_what_is_not_saved(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outside.onnx"
    onnx.save(onnx.load(bundle / "model.onnx"), path, save_as_external_data=True, size_threshold=0)
    assert optimised(path, tmp_path, "cpu", OWN) == "its weights are in a file beside it"
    model = bundle / "model.onnx"
    assert "another provider than the CPU" in str(optimised(model, tmp_path, "cuda", OWN))
    (tmp_path / "broken.onnx").write_bytes(model.read_bytes().replace(b"Conv", b"Cosh"))
    assert "cannot load broken.onnx" in str(
        optimised(tmp_path / "broken.onnx", tmp_path, "cpu", OWN)
    )
    monkeypatch.setattr(optimised_module, "cpu_instructions", lambda: "")
    assert "does not say which instructions" in str(optimised(model, tmp_path, "cpu", OWN))


SAVED = SavedFile("variants/0123456789ab.onnx", "avx", 0.4, 0.3, 0.5)
ROW = TunedRow("A", 2, "1.0", "cpu", 1, None, True, "model.onnx", 1.0, 1.0, 0.99, 1.01, SAVED)


@pytest.mark.parametrize(
    "change",
    [{"saved": None}, {"saved": {}}, {"saved": "variants/0123456789ab.onnx"}, {"threads": 3},
     *({"saved": {**ROW.to_dict()["saved"], **wrong}} for wrong in (  # type: ignore[dict-item]
         {"file": "model.onnx"}, {"file": "../a.onnx"}, {"file": "variants/ba9876543210.onnx"},
         {"file": 1}, {"instructions": None}, {"load_ratio": "fast"}, {"load_low": True},
         {"more": 1},
     ))],
)  # fmt: skip
def test_rows_that_are_none(change: dict[str, object]) -> None:
    files = ["model.onnx", SAVED.file]
    assert problem_of([ROW.to_dict()], files) == ""
    assert problem_of([{**ROW.to_dict(), **change}], files) != ""
    unsaved = {key: value for key, value in ROW.to_dict().items() if key != "saved"}
    assert problem_of([unsaved], files) == ""  # it keeps a neighbour's from being taken
    assert tuning.rows_of({"tuning": [ROW.to_dict()]}) == [ROW]


def test_on_the_command_line(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "measure", taking(0.8))
    monkeypatch.setattr(measure_module, "measure", loading_and_running(0.4, 1.0))
    args = ["bench", str(bundle), "--tune", "--provider", "cpu", "--batches", "1"]
    result = CliRunner().invoke(main, [*args, "--save-optimised"])
    assert result.exit_code == 0, result.output
    assert "kept as ONNX Runtime optimised it" in result.stdout
    assert f"variants/{the_saved(bundle).name}  0.4" in result.stdout
    found = json.loads(CliRunner().invoke(main, [*args, "--save-optimised", "--json"]).stdout)
    assert found["kept"][0]["saved"]["load_ratio"] == pytest.approx(0.4, rel=0.05)
    assert CliRunner().invoke(main, ["bench", str(bundle), "--save-optimised"]).exit_code == 2
    engines = ["--engine", "onnxruntime", "--engine", "onnxruntime-tuned", "--batches", "1"]
    quick = ["--quick", "--provider", "cpu", "--threads", "2", "--json"]
    monkeypatch.setattr("netloft.speed.engines.tuned.process_cpus", lambda: 2)
    measured = json.loads(CliRunner().invoke(main, ["bench", str(bundle), *engines, *quick]).stdout)
    assert [row["engine"] for row in measured["speed"]] == ["ONNX Runtime", "ONNX Runtime, tuned"]
