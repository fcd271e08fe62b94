"""What netloft writes as JSON is what `docs/schema` says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from netloft.bundle import Manifest
from netloft.cli import main
from netloft.matrix.result import CellResult
from netloft.matrix.summary import Summary
from netloft.parity.compare import Comparison
from netloft.parity.rerun.runtimes import RuntimeRow
from netloft.parity.task_level import TaskComparison
from netloft.report.report import Report
from netloft.runtime.manifest import KEYS
from netloft.runtime.tuning import TunedRow
from netloft.speed.budgets import Judgement
from netloft.speed.profile import ProfileRow
from netloft.speed.rows import SpeedRow, TargetRow
from netloft.verification import Verification

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    return found


def hold(facts: object, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(facts)


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


def test_matrix(tmp_path: Path) -> None:
    plan, out = tmp_path / "models.toml", tmp_path / "out"
    wrong = '[[model]]\nspec = "mnist"\nname = "wrong"\narguments = { nonsense = 1 }\n'
    plan.write_text(f'[matrix]\nthreads = 1\n[[model]]\nspec = "mnist"\n{wrong}')
    printed = run("matrix", plan, "-o", out, "--jobs", "1", "--quiet", "--json")
    assert printed == json.loads((out / "summary.json").read_bytes())
    assert [cell["status"] for cell in printed["cells"]] == ["pass", "error"]
    hold(printed, "matrix-1")


@pytest.mark.parametrize(
    "arguments",
    [["export", "nonsense"], ["verify", "absent.onnx"], ["bench", "x", "--batches", "-"]],
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
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else "",
)
def test_no_key_is_left_out(place: tuple[str, ...], found: set[str]) -> None:
    at = schema(place[0])
    for key in place[1:]:
        at = at[key]
    assert set(at["properties"]) == set(found)
