"""What a matrix file asks for, and how its mistakes are told."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from netloft.errors import UsageError
from netloft.matrix.cell import Cell
from netloft.matrix.plan import read_plan

Plan = Callable[[str], tuple[Cell, ...]]

BROKEN = {
    "no model": ("seed = 1", "there is no key 'seed' here", ":1", "it takes matrix, model"),
    "nothing": ("", "it names no models", "models.toml", "[[model]]"),
    "one table": ('[model]\nspec = "mnist"', "it names no models", "models.toml", "[[model]]"),
    "matrix is a number": ("matrix = 3", "matrix is no table", ":1", "[matrix]"),
    "not TOML": ("[matrix\n", "is not TOML", "", "mend that place"),
    "no spec": ("[[model]]\nseed = 1", "model 1: it has no spec", ":1", "spec ="),
    "empty spec": ('[[model]]\nspec = " "', "model 1: spec is no text", ":2", "quotes"),
    "a slip of the key": (
        '[matrix]\n\nprecision = ["fp32"]\n[[model]]\nspec = "mnist"',
        "there is no key 'precision' here", ":3  precision =", "did you mean precisions?",
    ),
    "second model": (
        '[[model]]\nspec = "mnist"\n\n[[model]]\nspec = "resnet18"\nthreads = 0',
        "model 2: threads 0 is out of range", ":6  threads = 0", "1 to 256",
    ),
    "precision": (
        '[matrix]\nprecisions = ["fp8"]\n[[model]]\nspec = "mnist"',
        "precisions has no 'fp8'", ":2", "fp32, fp16, int8",
    ),
    "provider": (
        '[[model]]\nspec = "mnist"\nproviders = ["gpu"]', "providers has no 'gpu'", ":3", "cuda",
    ),
    "no list": (
        '[[model]]\nspec = "mnist"\nprecisions = "fp32"', "precisions is no list", ":3", "brackets",
    ),
    "empty list": ('[[model]]\nspec = "mnist"\nopsets = []', "opsets is no list", ":3", "brackets"),
    "twice": ('[[model]]\nspec = "mnist"\nopsets = [20, 20]', "names 20 twice", ":3", "once"),
    "opset": ('[[model]]\nspec = "mnist"\nopsets = [17]', "opsets 17 is out", ":3", "18 to 26"),
    "true is no number": (
        '[[model]]\nspec = "mnist"\nopsets = [true]', "opsets True is out", ":3", "18 to 26",
    ),
    "batch": ('[[model]]\nspec = "mnist"\nbatches = [0]', "batches 0 is out", ":3", "1 to 65,536"),
    "batch word": (
        '[[model]]\nspec = "mnist"\nbatches = ["any"]', "batches 'any' is out", ":3", "65,536",
    ),
    "seed": ('[matrix]\nseed = -1\n[[model]]\nspec = "mnist"', "seed -1 is out", ":2", "0 to"),
    "memory": (
        '[[model]]\nspec = "mnist"\nmemory_gb = "4"', "memory_gb '4' is no amount", ":3", "= 4",
    ),
    "name": ('[[model]]\nspec = "mnist"\nname = "a/b"', "is not fit for a folder", ":3", "letters"),
    "no file": ('[[model]]\nspec = "nets/x.py:Net"', "no file nets/x.py", ":2", "relative to"),
    "no weights": (
        '[[model]]\nspec = "mnist"\nweights = "w.safetensors"', "no file w.safetensors", ":3",
        "relative to",
    ),
    "shape": ('[[model]]\nspec = "mnist"\ninputs = ["1xx3"]', "'1xx3' is not a shape", ":3", "1x3"),
    "arguments": (
        '[[model]]\nspec = "mnist"\narguments = 3', "arguments is no table", ":3", "{ k = 384 }",
    ),
    "a date": (
        '[[model]]\nspec = "mnist"\n[model.arguments]\nday = 2020-01-01', "no constructor argument",
        ":3  [model.arguments]", "numbers, texts and lists",
    ),
    "the same cell twice": (
        '[[model]]\nspec = "mnist"\n[[model]]\nspec = "mnist"', "model 2: it asks for mnist",
        ":3", "leave one of the two out",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "line", "remedy"), BROKEN.values(), ids=BROKEN)
def test_a_mistake_names_its_line_and_the_remedy(
    plan: Plan, text: str, problem: str, line: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        plan(text)
    assert caught.value.exit_code == 2
    assert problem in caught.value.problem
    assert line in caught.value.source
    assert remedy in caught.value.remedy


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.toml")


def test_every_axis_is_crossed_in_the_order_of_the_file(plan: Plan) -> None:
    cells = plan(
        '[matrix]\nprecisions = ["fp32", "int8"]\nopsets = [18, 20]\nproviders = ["cpu", "cuda"]\n'
        'batches = ["dynamic", 4]\n[[model]]\nspec = "mnist"'
    )
    told = [(cell.precision, cell.opset, cell.provider, cell.batch) for cell in cells]
    axes = ["fp32", "int8"], [18, 20], ["cpu", "cuda"], ["dynamic", 4]
    assert told == list(itertools.product(*axes))
    assert len({cell.id for cell in cells}) == 16


def test_a_model_says_for_itself_what_is_different(plan: Plan) -> None:
    first, second = plan(
        '[matrix]\nprecisions = ["int8"]\nthreads = 2\nseed = 7\n[[model]]\nspec = "mnist"\n'
        '[[model]]\nspec = "alphago"\nname = "go"\narguments = { k = 48 }\nprecisions = ["fp32"]\n'
        "seed = 0\nmemory_gb = 2"
    )
    assert (first.label, first.precision, first.threads, first.seed) == ("mnist", "int8", 2, 7)
    assert (second.label, second.precision, second.threads) == ("go", "fp32", 2)
    assert (second.seed, second.arguments, second.memory_gb) == (0, {"k": 48}, 2.0)
    assert first.id.startswith("mnist-int8-opset20-cpu-dynamic-")


def test_paths_are_relative_to_the_file(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    (cell,) = plan('[[model]]\nspec = "net.py:Net"\nweights = "w.safetensors"')
    assert cell.spec == "net.py:Net"
    assert cell.target == f"{tmp_path / 'net.py'}:Net"
    assert cell.weights == str(tmp_path / "w.safetensors")


def test_the_id_changes_with_what_the_cell_is_and_with_nothing_else(
    plan: Plan, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    text = '[[model]]\nspec = "net.py:Net"\nweights = "w.safetensors"\n'
    (cell,) = plan(text)
    assert plan(text)[0].id == cell.id
    changed = {
        "precision": "int8", "opset": 18, "provider": "cuda", "batch": 1, "seed": 1, "threads": 1,
        "arguments": {"width": 5}, "inputs": ("1x3x9x9",), "spec": "net.py:Other",
    }  # fmt: skip
    for name, value in changed.items():
        other = dataclasses.replace(cell, **{name: value})  # type: ignore[arg-type]
        assert other.id != cell.id, name
    elsewhere = {"target": "/another/net.py:Net", "weights": "/another/w", "memory_gb": 8.0}
    assert dataclasses.replace(cell, **elsewhere).id == cell.id  # type: ignore[arg-type]
    weights.write_bytes(b"two")
    assert plan(text)[0].id != cell.id
    weights.write_bytes(b"one")
    with (tmp_path / "net.py").open("a") as file:
        file.write("\n")
    assert plan(text)[0].id != cell.id


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the working folder whose code tells when it is run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ownnets"
    (folder / "small").mkdir(parents=True)
    for name in ("__init__.py", "small/__init__.py", "small/net.py"):
        (folder / name).write_text("raise RuntimeError('it was imported')\n")
    return folder


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("ownnets:Net", "__init__.py"),
        ("ownnets.small:Net", "small/__init__.py"),
        ("ownnets.small.net:Net.make", "small/net.py"),
    ],
)
def test_a_local_modules_file_is_part_of_the_id_and_is_not_imported(
    plan: Plan, package: Path, spec: str, file: str
) -> None:
    text = f'[[model]]\nspec = "{spec}"'
    (cell,) = plan(text)
    assert cell.target == spec
    assert plan(text) == (cell,)
    (package / file).write_text("raise RuntimeError('it was changed')\n")
    (other,) = plan(text)
    assert other.id != cell.id
    assert not [name for name in sys.modules if name.startswith("ownnets")]


@pytest.mark.parametrize(
    "spec",
    ["mnist", "torchvision:resnet18", "timm:vit", "torch.nn:Linear", "no.such:Net", "time:x"],
)
def test_what_is_installed_or_has_no_file_has_no_hash(plan: Plan, package: Path, spec: str) -> None:
    (cell,) = plan(f'[[model]]\nspec = "{spec}"')
    assert cell.code_sha256 == ""


def test_a_module_in_a_zip_file_has_no_hash(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "nets.zip", "w") as archive:
        archive.writestr("zippednets.py", "")
    monkeypatch.syspath_prepend(tmp_path / "nets.zip")
    (cell,) = plan('[[model]]\nspec = "zippednets:Net"')
    assert cell.code_sha256 == ""


def test_a_cell_asks_for_what_it_needs(plan: Plan) -> None:
    on_cpu, on_gpu = plan('[[model]]\nspec = "mnist"\nproviders = ["cpu", "cuda"]\nmemory_gb = 1.5')
    assert on_cpu.resources == {"MEMORY": 1.5e9}
    assert on_gpu.resources == {"GPU": 1, "MEMORY": 1.5e9}
