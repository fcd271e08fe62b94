"""What a bundle tells of its making."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

import netloft
from netloft.bundle.vectors import read_vectors
from netloft.exporting import ExportOptions, export_model
from netloft.models import load_model

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, root, sizes=()):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x)
"""


def test_arguments_are_told_without_folders(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    arguments = {"root": "/home/alice/data", "sizes": {1: (float("inf"), r"C:\\alice\\x", "plain")}}
    from netloft.models.inputs import parse_input

    model = load_model(f"{tmp_path}/net.py:Net", arguments=arguments, inputs=(parse_input("1x3"),))
    options = ExportOptions(batch=2, providers=("cpu",), quick=True, threads=1)
    export_model(model, tmp_path / "out", options)
    told = {"root": "data", "sizes": {"1": ["inf", "x", "plain"]}}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["arguments"] == told
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["arguments"] == told
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"alice" not in path.read_bytes(), path


def test_examples_that_require_gradients_are_taken(tmp_path: Path) -> None:
    x = torch.randn(2, 3, requires_grad=True)
    module = nn.Sequential(nn.Linear(3, 2)).eval()
    bundle = netloft.export(
        module, (x,), tmp_path / "net", providers=["cpu"], quick=True, threads=1
    )
    (stored,) = read_vectors(bundle.path / "test_data_set_0", "input").values()
    np.testing.assert_array_equal(stored, x.detach().numpy())


class Odd(nn.Module):
    """A scalar output, and outputs named like the inputs."""

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": x * 2, "c": (c + x).mean()}


def test_a_scalar_and_names_like_the_inputs_survive_to_verify(tmp_path: Path) -> None:
    inputs = {"x": torch.randn(2, 3), "c": torch.randn(2, 3)}
    bundle = netloft.export(
        Odd().eval(), inputs, tmp_path / "odd", providers=["cpu"], quick=True, threads=1
    )
    found = netloft.verify(bundle.path, providers=["cpu"])
    assert found.status == "pass"
    assert {row["output"] for row in found.parity} == {"x_out", "c_out"}


def test_what_is_around_a_module_of_ones_own(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 3, padding=1, stride=4), nn.Flatten(), nn.Linear(256, 2)]
    bundle = netloft.export(
        nn.Sequential(*layers).eval(), (torch.randn(2, 3, 32, 32),), tmp_path / "net",
        preprocess={"mean": (0.5,), "std": (0.25,)}, head="top1", labels=["cat", "dog"],
        providers=["cpu"], quick=True, threads=1,
    )  # fmt: skip
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    assert (manifest["labels"], manifest["preprocess"]["mean"]) == (["cat", "dog"], [0.5] * 3)
    assert [output["name"] for output in manifest["outputs"]] == ["scores", "classes"]
    assert "2 photographs" in {row["input"] for row in bundle.report.parity}
    (stored,) = read_vectors(bundle.path / "test_data_set_0", "input").values()
    assert stored.dtype == np.dtype(np.uint8)
    assert stored.shape == (2, 32, 32, 3)
