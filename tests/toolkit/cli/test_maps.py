"""`--with gradcam`, `--layer` and `--class`, from the command line to the bundle and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from tests.toolkit.explain.eager import judged

import netloft
from netloft.cli import main
from netloft.models.photographs import IMAGENET_MEAN, IMAGENET_STD
from netloft.runtime import load

NET = """
import torch
from torch import nn


class Net(nn.Module):
    netloft_inputs = ("1x3x32x40",)

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 5), nn.ReLU(inplace=True)
        self.more, self.pool = nn.Conv2d(6, 8, 3, padding=1), nn.MaxPool2d(2)
        self.fc = nn.Linear(8 * 14 * 18, 7)

    def forward(self, x):
        return self.fc(self.pool(self.relu(self.more(self.relu(self.conv(x))))).flatten(1))


class Features(Net):
    def forward(self, x):
        return self.relu(self.more(self.conv(x)))


class Two(Net):
    netloft_inputs = ("1x3x32x40", "1x3x32x40")

    def forward(self, x, y):
        return super().forward(x + y)
"""
EXPORT = ["export", "net.py:Net", "--quick", "--threads=1", "--provider", "cpu"]


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exported(*args: str) -> dict[str, Any]:
    result = run(*EXPORT, "--with", *args, "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def told_in(path: Path) -> dict[str, Any]:
    metadata = onnx.load(path, load_external_data=False).metadata_props
    return json.loads(next(p.value for p in metadata if p.key == "netloft.map"))


def test_a_bundle_gives_a_map_and_tells_what_of(folder: Path) -> None:
    report = exported("gradcam")
    told = {"output": "map", "method": "gradcam", "layer": "relu@1"}
    told |= {"form": "gradient", "class": "best"}
    assert report["model"]["map"] == told_in(folder / "out" / "model.onnx") == told
    assert json.loads((folder / "out" / "report.json").read_text())["model"]["map"] == told
    rows = [row for row in report["parity"] if row["output"] == "map"]
    assert {row["status"] for row in rows} == {"pass"}
    assert {"1 photograph", "2 photographs", "noise"} <= {row["input"] for row in rows}
    bundle = load(folder / "out")
    x = torch.randn(4, 3, 32, 40, generator=torch.Generator().manual_seed(3))
    found = bundle.run({"input": x.numpy()})
    assert found["map"].shape == (4, 32, 40)
    net = netloft.load("net.py:Net")
    classes = torch.from_numpy(found["output"].argmax(1))
    assert judged(found["map"], net, "relu", x, "gradcam", classes).status == "pass"
    around = ["--with", "gradcam"]
    assert run("verify", "out", "--provider", "cpu").exit_code == 0
    same = run("verify", "out/model.onnx", "--against", "net.py:Net", *around)
    assert same.exit_code == 0, same.output
    other = run("verify", "out/model.onnx", "--against", "net.py:Net", *around, "--layer", "conv")
    assert other.exit_code == 1, other.output


def test_what_is_asked_for_is_what_is_told(folder: Path) -> None:
    report = exported("gradcam++", "--layer", "conv", "--class", "0")
    told: dict[str, Any] = {"output": "map", "method": "gradcam++", "layer": "conv"}
    told |= {"form": "gradient", "class": 0}
    assert report["model"]["map"] == told_in(folder / "out" / "model.onnx") == told
    x = torch.randn(3, 3, 32, 40, generator=torch.Generator().manual_seed(3))
    map = load(folder / "out").run({"input": x.numpy()})["map"]
    net, classes = netloft.load("net.py:Net"), torch.zeros(3, dtype=torch.int64)
    assert judged(map, net, "conv", x, "gradcam++", classes).status == "pass"


def test_a_map_of_pictures_as_bytes(folder: Path) -> None:
    exported("gradcam", "--preprocess", "imagenet", "--layer", "relu")
    found = load(folder / "out")
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 40, 3), dtype=np.uint8)
    answer = found.run({"input": images})
    exact = (images / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    x = torch.from_numpy(exact.transpose(0, 3, 1, 2).astype(np.float32))
    classes = torch.from_numpy(answer["output"].argmax(1))
    verdict = judged(answer["map"], netloft.load("net.py:Net"), "relu", x, "gradcam", classes)
    assert verdict.status == "pass", verdict


@pytest.mark.parametrize(
    "verb", [["trace", "--text"], ["draw", "-o", "n.txt"], ["bench", "--quick"]]
)
def test_other_verbs_take_a_map(verb: list[str], folder: Path) -> None:
    result = run(verb[0], "net.py:Net", *verb[1:], "--with", "gradcam")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("args", "problem", "remedy"),
    [
        (
            ["net.py:Features", "--with", "gradcam"],
            "none of that is scores",
            "explain a classifier",
        ),
        (["net.py:Two", "--with", "gradcam"], "takes 2 inputs", "the picture alone"),
        (["acoustic", "--with", "gradcam"], "picture", ""),
        (["net.py:Net", "--with", "gradcam", "--layer", "mere"], "no module 'mere'", "more"),
        (["net.py:Net", "--with", "gradcam", "--class", "7"], "no class 7", "from 0 to 6"),
        (["net.py:Net", "--with", "gradcam", "--head", "softmax"], "--head takes", "leave one"),
        (["net.py:Net", "--with", "gradcam", "--layer", "fc"], "fc gives", "--layer"),
        (["net.py:Net", "--layer", "more"], "are of a map", "--with gradcam"),
        (["net.py:Net", "--class", "0"], "are of a map", "--with gradcam"),
    ],
)
def test_what_does_not_fit_is_exit_code_2(
    args: list[str], problem: str, remedy: str, folder: Path
) -> None:
    result = run("export", *args, "--json", "-o", "out")
    assert result.exit_code == 2, result.output
    facts = json.loads(result.stdout)
    assert problem in facts["problem"]
    assert remedy in facts["remedy"]
    assert "Traceback" not in result.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize("wrong", [["--with", "cam"], ["--with", "gradcam", "--class", "-1"]])
def test_what_is_written_wrongly_is_exit_code_2(wrong: list[str], folder: Path) -> None:
    assert run(*EXPORT, *wrong).exit_code == 2
