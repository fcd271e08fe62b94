"""Exports in other precisions, whole: the bundle, its verification, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import netloft
from netloft.cli import main
from netloft.errors import IntegrityError, ParityError, UsageError
from netloft.parity.task_level import Criteria
from netloft.runtime.manifest import sealed
from netloft.speed.sources import FileSource, source_of

CONTRACT = {
    "provider", "batch", "input", "output", "max_abs", "max_rel", "noise_floor", "ratio",
    "tolerance", "status", "agreement", "sqnr_db",
}  # fmt: skip


class Head(nn.Module):
    """Scores of clear and less clear winners behind a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU())
        self.fc = nn.Linear(32 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(8 * self.fc(self.body(x).flatten(1)), 1)


class Unbalanced(nn.Module):
    """A layer whose one channel is thousands of times larger, which the next one makes up for.

    One range of 256 steps for all channels leaves nothing of the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(4, 8, 3)
        self.loud = nn.Conv2d(8, 8, 3)
        self.after = nn.Conv2d(8, 8, 3)
        self.more = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(6))
        self.fc = nn.Linear(8, 4)
        with torch.no_grad():
            self.loud.weight[0] *= 3000
            self.after.weight[:, 0] /= 30000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.after(torch.relu(self.loud(torch.relu(self.before(x)))))
        for layer in self.more:
            x = torch.relu(layer(x)) + x
        return self.fc(x.mean((2, 3)))


def export(module: nn.Module, out: Path, precision: str = "int8", **options: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    bundle = netloft.export(
        module.eval(), (torch.randn(8, 4, 8, 8),), out, precision=precision, providers=["cpu"],
        quick=True, threads=1, **options,
    )  # fmt: skip
    return bundle.report.to_dict()


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind()


def tamper(folder: Path, change: float) -> None:
    """Change the file's weights, and the manifest so that it fits."""
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "fc.weight_scale":
            values = onnx.numpy_helper.to_array(tensor) * np.float32(change)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"]["model.onnx"] = facts
    (folder / "manifest.json").write_bytes(sealed(manifest))


@pytest.mark.slow
def test_int8(tmp_path: Path) -> None:
    report = export(made(Head), tmp_path / "a")
    assert report["status"] == "pass"
    assert all(row.keys() >= CONTRACT and row["status"] == "pass" for row in report["parity"])
    assert {row["output"] for row in report["parity"]} == {"output", "output before softmax"}
    assert {row["batch"] for row in report["parity"]} == {1, 2, 7, 8}
    assert sum(r["inputs"] for r in report["parity"] if r["output"] == "output") >= 256
    facts = report["precision"]
    assert facts["layers"] == facts["layers_in_integers"] == 3
    assert facts["kept"] == facts["layers_in_float32"] == []
    assert facts["size_ratio"] < 0.6
    assert [(row["target"], row["batch"]) for row in facts["speed"]] == [("fp32", 1), ("int8", 1)]
    assert str(tmp_path) not in json.dumps(report)
    assert facts["fp32_comparisons"] > 10
    assert report["export"]["precision"] == "int8"
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["precision"] == "int8"
    assert 0 < manifest["tolerances"]["output"] <= 0.1
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith("tmp")]

    verified = netloft.verify(tmp_path / "a", providers=["cpu"])
    assert verified.status == "pass"
    assert all(row.keys() >= CONTRACT for row in verified.parity)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "SQNR dB" in page
    assert "Beside float32" in page

    export(made(Head), tmp_path / "b")
    files = [(tmp_path / name / "model.onnx").read_bytes() for name in "ab"]
    assert files[0] == files[1]

    tamper(tmp_path / "b", 1.3)
    assert netloft.verify(tmp_path / "b", providers=["cpu"]).status == "fail"
    (tmp_path / "a" / "model.onnx").write_bytes(files[0] + b"\0")
    with pytest.raises(IntegrityError, match=r"model\.onnx was changed"):
        netloft.verify(tmp_path / "a")


def test_fp16(tmp_path: Path) -> None:
    report = export(made(Head), tmp_path / "net", "fp16")
    assert all(row.keys() >= CONTRACT and row["status"] == "pass" for row in report["parity"])
    floors = [row["noise_floor"] for row in report["parity"] if row["sqnr_db"] is None]
    assert min(floors) >= 2**-11
    assert max(floors) < 0.01
    assert min(float(r["sqnr_db"]) for r in report["parity"] if r["sqnr_db"] is not None) > 40
    assert 0.5 < report["precision"]["size_ratio"] < 0.6
    assert netloft.verify(tmp_path / "net", providers=["cpu"]).status == "pass"
    manifest = json.loads((tmp_path / "net" / "manifest.json").read_text())
    with pytest.raises(UsageError, match="the bundle is fp16"):
        netloft.verify(tmp_path / "net", against=made(Head).eval(), providers=["cpu"])
    assert (manifest["precision"], manifest["outputs"][0]["dtype"]) == ("fp16", "float32")


@pytest.mark.slow
def test_layers_that_hurt_stay_in_float32(tmp_path: Path) -> None:
    report = export(made(Unbalanced), tmp_path / "net")
    facts = report["precision"]
    kept = {layer["module"]: layer for layer in facts["kept"]}
    assert facts["sqnr_db_with_all_quantised"] < 20
    assert "loud" in kept
    assert len(kept) < facts["layers"] / 2
    assert facts["rounds"] <= 4
    assert "alone leaves" in kept["loud"]["why"]
    assert min(float(row["sqnr_db"]) for row in report["parity"]) >= 20
    assert "loud/Conv" in facts["layers_in_float32"]


def test_what_cannot_be_reached_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParityError) as raised:
        export(made(Head), tmp_path / "net", criteria=Criteria(min_sqnr_db=70))
    assert raised.value.exit_code == 1
    assert "dB of signal to noise" in raised.value.problem
    assert "of 3 layers kept in float32" in raised.value.problem
    assert not (tmp_path / "net").exists()
    assert not list(tmp_path.iterdir())


def test_a_fixed_batch(tmp_path: Path) -> None:
    report = export(made(Head), tmp_path / "net", batch=8)
    assert {row["batch"] for row in report["parity"]} == {8}
    assert netloft.verify(tmp_path / "net", providers=["cpu"]).status == "pass"


def test_indices_are_judged_by_their_scores(tmp_path: Path) -> None:
    report = export(made(Head), tmp_path / "net", head="top3")
    assert "classes" not in {row["output"] for row in report["parity"]}
    assert any("'classes' holds whole numbers" in note for note in report["notes"])
    assert netloft.verify(tmp_path / "net", providers=["cpu"]).status == "pass"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_nothing_to_convert(precision: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nNet = nn.ReLU\n")
    result = run("export", f"{tmp_path}/net.py:Net", "--input", "1x4", "--precision", precision,
                 "-o", tmp_path / "out", "--quick", "--provider", "cpu")  # fmt: skip
    assert result.exit_code == 2
    assert "there is nothing to" in result.stderr
    assert "remedy: export it with --precision fp32" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
"""


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_open_axis_is_measured_as_long_as_the_example(precision: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    out, quick = tmp_path / "out", ("--quick", "--provider", "cpu", "--threads", "1")
    result = run("export", f"{tmp_path}/net.py:Net", "--input", "1x3x12x9", "--dynamic",
                 "2=height", "--precision", precision, "-o", out, *quick)  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert [row["target"] for row in report["precision"]["speed"]] == ["fp32", precision]

    source = source_of(out, ["cpu"], 1)
    assert isinstance(source, FileSource)
    assert [array.shape for array in source.feeds("cpu", 5).values()] == [(5, 3, 12, 9)]
    budget = ("--batches", "3", "--budget", "p50_ms=10000")
    measured = run("bench", out, *budget, "--json", *quick)
    assert measured.exit_code == 0, measured.output
    assert [row["batch"] for row in json.loads(measured.stdout)["speed"]] == [3]
    tuned = run("bench", out, "--tune", "--batches", "1", *quick[:-2])
    assert tuned.exit_code == 0, tuned.output


def test_what_an_int8_file_has_to_reach(tmp_path: Path) -> None:
    result = run("export", "mnist", "--precision", "int8", "--min-sqnr", "21.5", "--min-agreement",
                 "0.9", "-o", tmp_path / "net", "--quick", "--provider", "cpu")  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "net" / "report.json").read_text())
    criteria = report["precision"]["criteria"]
    assert (criteria["min_sqnr_db"], criteria["min_agreement"]) == (21.5, 0.9)
    judged = [row for row in report["parity"] if row["sqnr_db"] is not None]
    assert all(row["sqnr_db"] >= 21.5 for row in judged)


def test_functions_are_not_converted() -> None:
    result = run("export", "mnist", "--precision", "int8", "--functions")
    assert result.exit_code == 2
    assert "int8 does not go with ONNX functions" in result.stderr
    with pytest.raises(UsageError, match="there is no precision 'int4'"):
        netloft.export(nn.ReLU().eval(), (torch.ones(1, 2),), precision="int4")
