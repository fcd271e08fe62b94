"""A rewritten file is made where it is surely faster, held to the bundle's vectors, and run."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper
from tests.toolkit.speed.stand_ins import taking
from torch import nn

import netloft
from netloft.against_file import why_unlike
from netloft.cli import main
from netloft.errors import IntegrityError
from netloft.rewrites import rewrite
from netloft.runtime import load
from netloft.runtime.manifest import sealed
from netloft.speed import measure as measure_module
from netloft.speed import settings as settings_module
from netloft.speed import variants as variants_module
from netloft.speed.measure import Plan, RunError, Samples
from netloft.speed.stats import Interval
from netloft.speed.tune import tune
from netloft.speed.variants import variant_of

pytestmark = pytest.mark.usefixtures("usual_pages")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(),
        nn.Conv2d(4, 5, 5, padding=2), nn.Flatten(), nn.Linear(5 * 16, 5),
    ).eval()  # fmt: skip
    netloft.export(net, (torch.randn(2, 3, 9, 9),), out=tmp_path / "net", quick=True)
    return tmp_path / "net"


def the_last_is_best(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
    """Stand in for measuring files: the last of the rewritten ones is twice as fast."""
    return taking(*[1.0] * (len(runs) - 2), 0.5)(runs, plan)


@pytest.fixture
def tuned(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    found = tune(bundle, batches=[1, 4], providers=["cpu"])
    assert [(row.pays, row.sites) for row in found.kinds] == [(True, 1)] * 4
    assert {str(row.kind) for row in found.kinds} == {
        "3x3, 3 to 4 at 9x9", "5x5, 4 to 5 at 4x4",
    }  # fmt: skip
    assert [row.setting.rewritten for row in found.rows if row.chosen] == [True, True]
    assert found.refused == ()
    return bundle


def rows(bundle: Path) -> list[dict[str, Any]]:
    """Return what was tuned."""
    found: list[dict[str, Any]] = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    return found


def test_it_is_kept_once_and_run(tuned: Path) -> None:
    (file,) = {row["file"] for row in rows(tuned)}
    assert [path.name for path in (tuned / "variants").iterdir()] == [Path(file).name]
    made = onnx.load(tuned / file)
    groups = [a.i for n in made.graph.node for a in n.attribute if a.name == "group"]
    assert 6 in groups
    net, plain = load(tuned), load(tuned, threads=1)
    assert net.tuned is not None
    assert net.tuned.file == file
    assert plain.tuned is None
    x = {net.inputs[0].name: np.random.default_rng(0).standard_normal((3, 3, 9, 9), np.float32)}
    empty = {name: array[:0] for name, array in x.items()}
    assert [array.shape for array in net.run(empty).values()] == [(0, 5)]
    (given,), (expected,) = net.run(x).values(), plain.run(x).values()
    assert (given != expected).any()  # another order of sums
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_it_is_verified_like_the_model(tuned: Path) -> None:
    found = netloft.verify(tuned)
    assert found.status == "pass"
    inputs = [row["input"] for row in found.parity if row["provider"] == "cpu"]
    name = rows(tuned)[0]["file"]
    assert inputs == ["test vectors", f"{name}, test vectors"]
    assert [note.partition(": ")[0] for note in found.notes] == [name]


def test_a_variant_that_was_changed_is_refused(tuned: Path) -> None:
    path = tuned / rows(tuned)[0]["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"variants/\w+\.onnx was changed"):
        load(tuned)


def test_a_wrong_one_in_the_manifest_fails(tuned: Path) -> None:
    """Its bytes are what the manifest says, and what it computes is not."""
    from netloft.runtime.integrity import sha256_of

    name = rows(tuned)[0]["file"]
    model = onnx.load(tuned / name)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("winograd/weights"):
            array = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(model, tuned / name)
    manifest = json.loads((tuned / "manifest.json").read_bytes())
    facts = {"sha256": sha256_of(tuned / name), "bytes": (tuned / name).stat().st_size}
    manifest["files"][name] = facts
    (tuned / "manifest.json").write_bytes(sealed(manifest))
    found = netloft.verify(tuned)
    assert found.status == "fail"
    assert [row["status"] for row in found.parity] == ["pass", "fail"]


def test_one_that_is_outside_of_the_certificate_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: ir.Model, kinds: Any = None) -> int:
        number = rewrite(model, kinds)
        for value in model.graph.initializers.values():
            if str(value.name).endswith("winograd/weights"):
                assert value.const_value is not None
                value.const_value = ir.tensor(value.const_value.numpy() * 1.01, name=value.name)
        return number

    monkeypatch.setattr(variants_module, "rewrite", wrong)
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [what for what, _ in found.refused] == ["a rewritten file at batch 1"]
    assert not any(row.setting.rewritten for row in found.rows)
    assert not (bundle / "variants").exists()


def test_it_is_proven_once_against_the_model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Path] = []

    def prove(file: Path, model: Path) -> str:
        given.append(model)
        assert onnx.load(file).graph.name == onnx.load(model).graph.name
        return why_unlike(file, model)

    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    found = tune(bundle, batches=[1, 4], providers=["cpu"], prove=prove)
    assert (given, found.refused) == ([bundle / "model.onnx"], ())
    assert all(row["file"] != "model.onnx" for row in rows(bundle))


def test_one_that_is_another_function_in_float64_is_not_kept(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = onnx.load(bundle / "model.onnx")
    bias = next(tensor for tensor in off.graph.initializer if list(tensor.dims) == [5])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1e-4, bias.name))
    onnx.save(off, tmp_path / "off.onnx")
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)

    def prove(_: Path, model: Path) -> str:
        return why_unlike(tmp_path / "off.onnx", model)

    found = tune(bundle, batches=[1], providers=["cpu"], prove=prove)
    ((what, reason),) = found.refused
    assert what == "a rewritten file at batch 1"
    assert "times the noise floor off in float64, on " in reason
    assert not any(row.setting.rewritten for row in found.rows)


def test_it_goes_when_something_else_is_better(
    tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_module, "measure", taking(1.2))
    monkeypatch.setattr(settings_module, "measure", taking(0.5))
    tune(tuned, batches=[1], providers=["cpu"])
    assert [row["file"] for row in rows(tuned)] == [rows(tuned)[0]["file"], "model.onnx"]
    assert (tuned / "variants").exists()  # batch 4 has it still
    tune(tuned, batches=[4], providers=["cpu"])
    assert not (tuned / "variants").exists()
    assert netloft.verify(tuned).status == "pass"


def test_a_bundle_that_was_replaced_meanwhile_keeps_nothing(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 49, 5)).eval()

    def replaced(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        netloft.export(other, (torch.randn(2, 3, 9, 9),), out=bundle, quick=True)
        return the_last_is_best(runs, plan)

    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", replaced)
    with pytest.raises(IntegrityError, match="was replaced while it was measured"):
        tune(bundle, batches=[1], providers=["cpu"])
    assert "tuning" not in json.loads((bundle / "manifest.json").read_bytes())
    assert not (bundle / "variants").exists()
    assert netloft.verify(bundle).status == "pass"


def test_one_that_does_not_run_is_told_and_the_options_are_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants_module, "_bytes", broken(variants_module._bytes))
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", taking(0.5))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [what for what, _ in found.refused] == ["a rewritten file at batch 1"]
    assert [row["file"] for row in rows(bundle)] == ["model.onnx"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 1.6 GiB"), "Unable to allocate 1.6 GiB"),
        (RunError(1, RuntimeError("no")), "it failed while it was measured: RuntimeError: no"),
    ],
)
def test_a_convolution_that_fails_is_told_and_the_others_are_rewritten(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    ratios: list[Exception | Interval] = [error, Interval(0.5, 0.4, 0.6)]

    def measured(*_: Any, **__: Any) -> Interval:
        ratio = ratios.pop(0)
        if isinstance(ratio, Exception):
            raise ratio
        return ratio

    monkeypatch.setattr(variants_module, "ratio_of", measured)
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [str(row.kind) for row in found.kinds] == ["5x5, 4 to 5 at 4x4"]
    assert list(found.refused) == [
        ("3x3, 3 to 4 at 9x9 at batch 1, plain and rewritten", reason),
    ]
    assert [row.file == "model.onnx" for row in found.kept] == [False]


def test_no_memory_to_write_one_loses_no_options(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> bool:
        raise MemoryError

    monkeypatch.setattr(variants_module, "rewrite", full)
    monkeypatch.setattr(variants_module, "_ratio", lambda *_: Interval(0.5, 0.4, 0.6))
    monkeypatch.setattr(settings_module, "measure", taking(0.5))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert list(found.refused) == [("a rewritten file at batch 1", "MemoryError")]
    assert [row.file for row in found.kept] == ["model.onnx"]


def test_inputs_are_made_in_float32(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants_module, "ratio_of", lambda *_, **__: Interval(1.0, 0.9, 1.1))
    batch = 20_000
    tracemalloc.start()
    variant_of(bundle / "model.onnx", batch, lambda _: None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    largest = batch * 3 * 9 * 9 * np.dtype(np.float32).itemsize
    assert largest <= most < 1.5 * largest


def broken(write: Callable[[ir.Model], bytes]) -> Callable[[ir.Model], bytes]:
    """Write whole networks so that nothing can load them."""
    return lambda model: write(model)[:-100] if model.graph.name != "alone" else write(model)


def test_a_file_that_is_no_better_than_the_model_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alike(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        return taking(*[0.5] * (len(runs) - 2), 0.499)(runs, plan)

    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", alike)
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert any(row.setting.rewritten for row in found.rows)
    assert [row.file for row in found.kept] == ["model.onnx"]


def test_all_engines_with_a_budget_need_no_tuned_row(bundle: Path) -> None:
    arguments = [str(bundle / "model.onnx"), "--quick", "--provider", "cpu", "--batches", "1"]
    asked = ["--engine", "all", "--budget", "p50_ms=10000"]
    result = CliRunner().invoke(main, ["bench", *arguments, *asked])
    assert result.exit_code == 0, result.output
    assert "only a bundle is tuned" in result.stdout


def test_nothing_is_rewritten_that_does_not_pay(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_module, "measure", taking(0.995))
    variant = variant_of(bundle / "model.onnx", 1, lambda _: None)
    assert variant.model == b""
    assert [row.pays for row in variant.rows] == [False, False]


def test_functions_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    net, x = nn.Sequential(block, nn.Conv2d(4, 2, 1)).eval(), torch.randn(2, 4, 9, 9)
    netloft.to_onnx(net, (x,), tmp_path / "net.onnx", functions=True)
    assert onnx.load(tmp_path / "net.onnx").functions
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    variant = variant_of(tmp_path / "net.onnx", 1, lambda _: None)
    assert [str(row.kind) for row in variant.rows] == ["3x3, 4 to 4 at 9x9"]
    session = onnxruntime.InferenceSession(variant.model)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(y, net(x).detach().numpy(), atol=1e-5)


def test_a_file_with_weights_outside_has_none(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    model = onnx.load(bundle / "model.onnx")
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    found = variant_of(path, 1, lambda _: None)
    assert (found.model, found.refused) == (b"", "its weights are in a file beside it")


def test_the_bench_runs_it_as_an_engine(tuned: Path) -> None:
    arguments = [str(tuned), "--quick", "--provider", "cpu", "--batches", "1,2", "--json"]
    engines = ["--engine", "onnxruntime", "--engine", "onnxruntime-tuned"]
    result = CliRunner().invoke(main, ["bench", *arguments, *engines])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(row["engine"], row["batch"]) for row in found["speed"]] == [
        ("ONNX Runtime", 1), ("ONNX Runtime, tuned", 1), ("ONNX Runtime", 2),
    ]  # fmt: skip
    (missing,) = found["not_run"]
    assert "nothing is known to be better here" in missing["reason"]


def test_tables_tell_of_convolutions(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    arguments = ["bench", str(bundle), "--tune", "--provider", "cpu", "--batches", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("  faster\n") == 2
    assert "rewritten  " in result.stdout
    found = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert [row["kind"]["kernel"] for row in found["convolutions"]] == [[3, 3], [5, 5]]
    assert found["refused"] == []


def test_groups_are_put_together_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a block of RegNet, whose number of groups is odd."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 72, 1), nn.ReLU(), nn.Conv2d(72, 72, 3, stride=2, padding=1, groups=9),
        nn.BatchNorm2d(72), nn.ReLU(), nn.Conv2d(72, 4, 1), nn.Flatten(), nn.Linear(4 * 25, 5),
    ).eval()  # fmt: skip
    netloft.export(net, (torch.randn(2, 3, 9, 9),), out=tmp_path / "net", quick=True)
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    monkeypatch.setattr(settings_module, "measure", the_last_is_best)
    found = tune(tmp_path / "net", batches=[1], providers=["cpu"], prove=why_unlike)
    assert [str(row.kind) for row in found.kinds] == ["3x3, 72 to 72 at 9x9, step 2, 9 groups"]
    assert found.refused == ()
    (file,) = {row["file"] for row in rows(tmp_path / "net")}
    made = onnx.load(tmp_path / "net" / file)
    groups = [a.i for n in made.graph.node for a in n.attribute if a.name == "group"]
    assert groups == [1, 5, 1]
    assert netloft.verify(tmp_path / "net").status == "pass"


def test_a_file_that_would_be_too_large(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_module, "measure", taking(0.6))
    fits = variant_of(bundle / "model.onnx", 1, lambda _: None)
    held = onnx.load_from_string(fits.model).graph.initializer
    size = sum(numpy_helper.to_array(tensor).nbytes for tensor in held)
    monkeypatch.setattr(variants_module, "_LARGEST", size)
    assert variant_of(bundle / "model.onnx", 1, lambda _: None).model == fits.model
    monkeypatch.setattr(variants_module, "_LARGEST", size - 1)
    found = variant_of(bundle / "model.onnx", 1, lambda _: None)
    assert (found.model, found.refused) == (b"", "the file would be larger than 1.9 GB")
    assert len(found.rows) == 2
