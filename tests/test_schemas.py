"""What netloft writes as JSON is what `docs/schema` says."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner
from PIL import Image
from tests.toolkit.publishing.bundles import make_bundle, tuned_row
from tests.toolkit.serving import servers

from netloft.bundle import Manifest
from netloft.bundle.manifest import FileFacts
from netloft.cli import VERBS, main
from netloft.cli.doctor import Check
from netloft.comparing.difference import KINDS
from netloft.explain.seen import Ranked, Seen
from netloft.graph.annotation import Annotation, ModuleCall, Source, TensorInfo
from netloft.graph.graph import DeadModule, SideEffect, Totals
from netloft.matrix.result import CellResult
from netloft.matrix.summary import Summary
from netloft.maximising import Options as ClimbOptions
from netloft.models.catalog import Builtin
from netloft.parity.compare import Comparison
from netloft.parity.directions import Directions
from netloft.parity.rerun.runtimes import RuntimeRow
from netloft.parity.task_level import TaskComparison
from netloft.passes import Note, PassRow
from netloft.publishing import TARGETS, Options
from netloft.report.report import Report
from netloft.rewrites.site import Kind
from netloft.runtime.manifest import KEYS
from netloft.runtime.providers import NotRun
from netloft.runtime.tuning import PagesRatio, SavedFile, TunedRow
from netloft.serving.check import Served
from netloft.serving.load import LoadRow
from netloft.speed.budgets import Judgement
from netloft.speed.profile import ProfileRow
from netloft.speed.rows import SpeedRow, TargetRow
from netloft.speed.settings import Setting, TriedRow
from netloft.speed.tune import TuneResult
from netloft.speed.variants import KindRow
from netloft.verification import Verification

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    return found


def closed(part: Any) -> Any:
    """Return a schema that allows no key it does not name: a new one has to be described."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    own = {key: closed(value) for key, value in part.items()}
    is_object = isinstance(own.get("properties"), dict) and own.get("type") == "object"
    return {"additionalProperties": False, **own} if is_object else own


def hold(facts: object, name: str) -> None:
    jsonschema.Draft202012Validator(closed(schema(name))).validate(facts)


def run(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mnist"
    printed = run("export", "mnist", "-o", out, "--quick", "--quiet", "--provider", "cpu", "--json")
    report = json.loads((out / "report.json").read_bytes())
    assert printed == {"bundle": str(out), **report}
    return out


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas_and_are_listed(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert f"({name}.schema.json)" in (FOLDER / "README.md").read_text("utf-8")
    assert schema(name)["$id"].endswith(f"/docs/schema/{name}.schema.json")


def test_a_bundle(bundle: Path) -> None:
    hold(json.loads((bundle / "manifest.json").read_bytes()), "manifest-1")
    hold(json.loads((bundle / "report.json").read_bytes()), "report-1")


def test_verify(bundle: Path) -> None:
    how = ["--provider", "cpu", "--json"]
    hold(run("verify", bundle, *how), "verify-1")
    more = ["--runtimes", "--second-opinion", "reference", "--mutate"]
    hold(run("verify", bundle, *how, *more), "verify-1")
    model = bundle / "model.onnx"
    hold(run("verify", model, "--against", "mnist", "--layers", "--search", "32", *how), "verify-1")


def test_bench(bundle: Path, tmp_path: Path) -> None:
    history = str(tmp_path / "history.jsonl")
    how = ["--quick", "--batches", "1", "--provider", "cpu", "--threads", "1", "--json"]
    kept = ["--history", history, "--budget", "p50_ms=1000"]
    hold(run("bench", bundle, *how, *kept), "bench-1")
    hold(json.loads(Path(history).read_text("utf-8")), "bench-1")


def test_tune(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "mnist"))
    how = ["--quick", "--batches", "1", "--provider", "cpu", "--quiet"]
    found = run("bench", copy, "--tune", *how, "--json")
    assert found["tried"]
    hold(found, "tune-1")


def test_every_list_of_a_tuning() -> None:
    """What is kept and refused depends on the machine; here there is one of each."""
    setting, kind = Setting(None, True), Kind(3, 4, 9, 9, (3, 3), (1, 1, 1, 1))
    found = TuneResult(
        (TriedRow("cpu", 1, setting, 1.0, 1.0, 1.0, 1.0, False),),
        (TunedRow(**tuned_row()),),
        (KindRow(1, kind, 2, 0.5, 0.4, 0.6),),
        (NotRun("a rewritten file at batch 1", "its error is too large"),),
    )
    hold(json.loads(json.dumps(found.to_dict())), "tune-1")


def test_matrix(tmp_path: Path) -> None:
    plan, out = tmp_path / "models.toml", tmp_path / "out"
    wrong = '[[model]]\nspec = "mnist"\nname = "wrong"\narguments = { nonsense = 1 }\n'
    plan.write_text(f'[matrix]\nthreads = 1\n[[model]]\nspec = "mnist"\n{wrong}')
    printed = run("matrix", plan, "-o", out, "--jobs", "1", "--quiet", "--json")
    assert printed == json.loads((out / "summary.json").read_bytes())
    assert [cell["status"] for cell in printed["cells"]] == ["pass", "error"]
    hold(printed, "matrix-1")


@pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None, reason="tritonclient is not installed"
)
def test_served(tmp_path: Path) -> None:
    served = {
        "one": make_bundle(tmp_path / "one"),
        "int8": make_bundle(tmp_path / "int8", precision="int8", tolerances={"scores": 0.1}),
    }
    for bundle in served.values():
        for serve in (servers.rest_server, servers.grpc_server):
            with serve(bundle) as (url, _):
                found = run("verify", bundle, "--url", url, "--load", "0.2", "--quiet", "--json")
            assert (found["status"], len(found["load"])) == ("pass", 4)
            hold(found, "served-1")
    with servers.rest_server(served["one"], lie=servers.wrong_value) as (url, _):
        found = run("verify", served["one"], "--url", url, "--quiet", "--json")
    assert (found["status"], found["load"]) == ("fail", [])
    hold(found, "served-1")


@pytest.mark.parametrize("target", TARGETS)
def test_publish(target: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", tuning=[tuned_row()])
    found = run("publish", bundle, "--to", target, tmp_path / "out", "--json")
    hold(found, "publish-1")
    assert (found["tuned"] is None) == (not TARGETS[target].is_tuned)
    hold(json.loads((Path(found["path"]) / "netloft.json").read_bytes()), "publish-1")


def test_sign(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "mnist"))
    found = run("sign", copy, "--bom", "--json")
    hold(found, "sign-1")
    assert found["files"] == [str(copy / "bom.cdx.json")]


def test_draw(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.svg", "b.dot")]
    found = run("draw", "mnist", "-o", *files, "--json")
    hold(found, "draw-1")
    assert found["files"] == files


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)
        self.spare = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        print("here")
        first, second = self.used(x).split(2, 1)
        return first * x.shape[0], torch.max(second, 1)


def folds(*more):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *more)


def longer():
    return folds(nn.ReLU())
"""
PICTURE = ["--input", "1x3x8x8"]


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


def test_trace(bundle: Path, net: str) -> None:
    found = run("trace", f"{net}:Net", "--input", "1x4", "--json")
    hold(found, "trace-1")
    assert all(found[key] for key in ("dead_modules", "unused_parameters", "side_effects"))
    assert {type(node["value"]) for node in found["nodes"]} == {dict, list, type(None)}
    hold(run("trace", bundle / "model.onnx", "--json"), "trace-1")
    hold(run("trace", "mnist", "--batch", "2", "--json"), "trace-1")


def test_explain(net: str) -> None:
    found = run("trace", f"{net}:folds", *PICTURE, "--explain", "--json")
    assert {row["status"] for row in found["passes"]} == {"applied", "nothing to do"}
    assert found["notes"]
    hold(found, "explain-1")


def test_what_networks_see(tmp_path: Path) -> None:
    picture = tmp_path / "seven.png"
    drawn = Image.new("L", (28, 28))
    drawn.paste(200, (6, 5, 22, 9))
    drawn.paste(255, (16, 9, 20, 24))
    drawn.save(picture)
    found = run("explain", "mnist", "--image", picture, "-o", tmp_path / "out", "--json")
    assert len(found["pictures"][0]["top"]) == 5
    hold(found, "seen-1")


def test_what_units_look_for(tmp_path: Path) -> None:
    how: list[str | Path] = ["-o", tmp_path / "out", "--json"]
    few = ["--layer", "conv1", "--unit", "0-2", "--steps", "2"]
    found = run("explain", "mnist", "--method", "maximise", *few, *how)
    assert [unit["unit"] for unit in found["sheets"][0]["units"]] == [0, 1, 2]
    hold(found, "sheets-1")
    hold(run("explain", "mnist", "--method", "filters", *how), "sheets-1")


def test_diff(bundle: Path, net: str) -> None:
    short, longer = f"{net}:folds", f"{net}:longer"
    kinds = set()
    for sides in (
        ["mnist", bundle],
        [short, "--after", "fold_batch_norm", *PICTURE],
        [short, longer, *PICTURE],
        [longer, short, *PICTURE],
    ):
        found = run("diff", *sides, "--json")
        hold(found, "diff-1")
        kinds |= {change["kind"] for change in found["changes"]}
    assert {"changed", "added", "removed"} <= kinds


def test_models() -> None:
    hold(run("models", "--json"), "models-1")
    hold(run("models", "--builtin", "--json"), "models-1")


def test_doctor() -> None:
    hold(run("doctor", "--json"), "doctor-1")


def test_every_verb_that_prints_json_is_listed() -> None:
    listed = (FOLDER / "README.md").read_text("utf-8")
    for verb in VERBS:
        command = main.get_command(click.Context(main), verb)
        assert command is not None
        if any("--json" in option.opts for option in command.params):
            assert f"`netloft {verb} --json`" in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "nonsense"],
        ["verify", "absent.onnx"],
        ["bench", "x", "--batches", "-"],
        ["publish", "absent", "out", "--to", "triton"],
        ["sign", "absent"],
    ],
)
def test_errors(arguments: list[str]) -> None:
    hold(run(*arguments, "--json"), "error-1")


def names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (("manifest-1",), KEYS),
        (("manifest-1",), names(Manifest) - {"class_name"} | {"class", "tuning", "digest"}),
        (("manifest-1", "$defs", "tuned"), names(TunedRow)),
        (("manifest-1", "$defs", "saved"), names(SavedFile)),
        (("manifest-1", "$defs", "huge_pages"), names(PagesRatio)),
        (("report-1",), names(Report) | {"format"}),
        (("report-1", "$defs", "speed"), names(SpeedRow)),
        (("report-1", "$defs", "parity"), names(TaskComparison) | names(Comparison)),
        (("verify-1",), names(Verification) | {"format"}),
        (("verify-1", "$defs", "parity"), names(TaskComparison) | names(Comparison)),
        (("verify-1", "$defs", "runtime"), names(RuntimeRow)),
        (("bench-1", "$defs", "row"), names(TargetRow)),
        (("bench-1", "$defs", "node"), names(ProfileRow)),
        (("bench-1", "$defs", "judgement"), names(Judgement)),
        (("matrix-1",), set(Summary(()).to_dict())),
        (("matrix-1", "$defs", "cell"), names(CellResult)),
        (("served-1",), names(Served) | {"format"}),
        (("served-1", "$defs", "parity"), names(TaskComparison) | names(Comparison)),
        (("served-1", "$defs", "load"), names(LoadRow)),
        (("tune-1",), set(TuneResult((), ()).to_dict())),
        (("tune-1", "$defs", "tried"), names(TriedRow)),
        (("tune-1", "$defs", "setting"), names(Setting)),
        (("tune-1", "$defs", "tuned"), names(TunedRow)),
        (("tune-1", "$defs", "convolution"), names(KindRow)),
        (("tune-1", "$defs", "kind"), names(Kind)),
        (("tune-1", "$defs", "not_run"), set(NotRun._fields)),
        (("publish-1", "$defs", "options"), names(Options)),
        (("publish-1", "$defs", "tuned"), names(TunedRow)),
        (("publish-1", "$defs", "file"), names(FileFacts)),
        (("trace-1", "$defs", "node"), names(Annotation) | {"name"}),
        (("trace-1", "$defs", "tensor"), names(TensorInfo)),
        (("trace-1", "$defs", "call"), names(ModuleCall)),
        (("trace-1", "$defs", "source"), names(Source)),
        (("trace-1", "$defs", "totals"), names(Totals)),
        (("trace-1", "$defs", "dead_module"), names(DeadModule)),
        (("trace-1", "$defs", "side_effect"), names(SideEffect)),
        (("explain-1", "$defs", "pass"), names(PassRow)),
        (("explain-1", "$defs", "note"), names(Note)),
        (("seen-1", "$defs", "ranked"), names(Ranked)),
        (("seen-1", "$defs", "picture"), names(Seen) - {"pixels", "map"} | {"file"}),
        (("sheets-1", "$defs", "options"), names(ClimbOptions)),
        (("sheets-1", "$defs", "proof"), names(Directions) | {"gradient"}),
        (("diff-1", "$defs", "counts"), set(KINDS)),
        (("models-1", "$defs", "builtin"), names(Builtin)),
        (("doctor-1", "$defs", "check"), names(Check)),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else "",
)
def test_no_key_is_left_out(place: tuple[str, ...], found: set[str]) -> None:
    at = schema(place[0])
    for key in place[1:]:
        at = at[key]
    assert set(at["properties"]) == set(found)
