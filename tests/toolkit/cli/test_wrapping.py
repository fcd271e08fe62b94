"""`--preprocess`, `--head` and `--labels`, from the command line to the bundle and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from netloft.bundle.vectors import read_vectors
from netloft.cli import main
from netloft.runtime import load

NET = """
import torch
from torch import nn


class Net(nn.Module):
    netloft_inputs = ("1x3x32x40",)
    netloft_preprocess = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "crop": 32, "resize": 40}

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, stride=4)

    def forward(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))


class Bytes(Net):
    def forward(self, x):
        return super().forward(x.permute(0, 3, 1, 2).float() / 255 - 0.5)


class Signed(Net):
    def forward(self, x):
        return super().forward(x * 0.125)
"""
LABELS = ["cat", "dog", "hen", "cow"]
AROUND = ["--preprocess", "model", "--head", "softmax", "--head", "top2", "--labels", "labels.txt"]


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bundle_takes_pictures_and_names_classes(folder: Path) -> None:
    result = run("export", "net.py:Net", *AROUND, "--quick", "--threads=1", "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    kinds = {row["input"] for row in report["parity"]}
    assert {"1 photograph", "2 photographs", "noise", "extreme", "zeros"} <= kinds
    assert report["model"]["labels"] == 4
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    told = {p.key: json.loads(p.value) for p in onnx.load(folder / "out/model.onnx").metadata_props}
    assert manifest["labels"] == told["netloft.labels"] == LABELS
    assert manifest["preprocess"] == told["netloft.preprocess"]
    assert told["netloft.preprocess"]["mean"] == [0.5, 0.4, 0.3]
    assert told["netloft.preprocess"]["crop"] == 32
    assert manifest["inputs"] == [
        {"name": "input", "dtype": "uint8", "shape": ["batch", 32, 40, 3]}
    ]
    assert [(o["name"], o["dtype"]) for o in manifest["outputs"]] == [
        ("probabilities", "float32"),
        ("scores", "float32"),
        ("classes", "int64"),
    ]
    (stored,) = read_vectors(folder / "out" / "test_data_set_0", "input").values()
    assert stored.dtype == np.uint8
    assert stored.std() > 20  # photographs
    net = load(folder / "out")
    assert net.labels == tuple(LABELS)
    found = net.run({"input": stored})
    assert np.array_equal(found["classes"][:, 0], found["probabilities"].argmax(1))
    assert run("verify", "out", "--provider", "cpu").exit_code == 0
    assert run("verify", "out/model.onnx", "--against", "net.py:Net", *AROUND).exit_code == 0
    wrong = run("verify", "out/model.onnx", "--against", "net.py:Net", "--preprocess", "imagenet")
    assert wrong.exit_code == 2


@pytest.mark.parametrize(
    "verb", [["trace", "--text"], ["draw", "-o", "n.txt"], ["bench", "--quick"]]
)
def test_other_verbs_take_the_whole(verb: list[str], folder: Path) -> None:
    result = run(verb[0], "net.py:Net", *verb[1:], *AROUND)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("spec", "shape", "kinds"),
    [
        ("net.py:Bytes", "1x32x40x3:uint8", {"2 photographs", "noise"}),
        ("net.py:Signed", "1x3x32x40:int8", {"noise", "example"}),
    ],
)
def test_a_network_may_take_bytes_itself(
    spec: str, shape: str, kinds: set[str], folder: Path
) -> None:
    args = [spec, "--input", shape, "--quick", "--threads=1", "-o", "out", "--json"]
    result = run("export", *args)
    assert result.exit_code == 0, result.output
    assert kinds <= {row["input"] for row in json.loads(result.stdout)["parity"]}
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["inputs"][0]["dtype"] == shape.partition(":")[2]
    assert (manifest["preprocess"], manifest["labels"]) == ({}, [])


@pytest.mark.parametrize(
    "args",
    [
        ["trace", "mnist", "--preprocess", "imagenet"],
        ["draw", "acoustic", "--preprocess", "imagenet"],
        ["export", "alphago", "--preprocess", "imagenet"],
        ["export", "alphago", "--head", "softmax"],
        ["export", "net.py:Net", "--head", "best"],
        ["export", "net.py:Net", "--labels", "net.py"],
        ["verify", "net.py", "--head", "softmax"],
    ],
)
def test_what_does_not_fit_is_exit_code_2(args: list[str], folder: Path) -> None:
    result = run(*args, "--json")
    assert result.exit_code == 2
    facts = json.loads(result.stdout)
    assert facts["remedy"]
    assert "Traceback" not in result.stderr
