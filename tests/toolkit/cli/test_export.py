"""The main job from the command line: what it writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner, Result

import netloft
from netloft.bundle.vectors import read_vectors
from netloft.cli import main

FILES = {
    "manifest.json",
    "model.onnx",
    "diagram.svg",
    "diagram.html",
    "report.json",
    "report.html",
    "test_data_set_0",
}

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


class Branching(Net):
    def forward(self, x):
        if x.sum() > 0:
            return self.conv(x)
        return x


class Noisy(Net):
    def forward(self, x):
        return self.conv(x) + torch.rand(1)
"""


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def test_a_builtin_gives_every_file_and_the_same_function(tmp_path: Path) -> None:
    out = tmp_path / "mnist"
    result = run("export", "mnist", "-o", out, "--quick", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["status"] == "pass"
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "report.json").read_text())["parity"] == report["parity"]
    assert {"provider", "batch", "input", "output", "max_abs", "max_rel", "noise_floor", "ratio",
            "tolerance", "status"} <= report["parity"][0].keys()  # fmt: skip
    assert {"engine", "provider", "batch", "threads", "p50_ms", "p95_ms", "items_per_s",
            "ratio_to_eager"} <= report["speed"][0].keys()  # fmt: skip
    assert {"name", "nodes_before", "nodes_after", "proof"} <= report["passes"][0].keys()
    assert {row["batch"] for row in report["parity"]} == {1, 2, 5}
    _check_plain_onnxruntime(out)
    assert run("verify", out).exit_code == 0


def _check_plain_onnxruntime(out: Path) -> None:
    module = netloft.load("mnist")
    session = ort.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in range(1, 9):
        x = torch.randn(batch, 1, 28, 28)
        (y,) = session.run(None, {"input": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(y, module(x).numpy(), rtol=0, atol=1e-5)
    vectors = out / "test_data_set_0"
    (y,) = session.run(None, read_vectors(vectors, "input"))
    np.testing.assert_allclose(y, read_vectors(vectors, "output")["output"], rtol=0, atol=1e-5)


def test_two_exports_have_the_same_bytes(user_file: Path, tmp_path: Path) -> None:
    for name in ("a", "deep/er/b"):
        args = ["--input", "1x3x12x12", "-o", str(tmp_path / name), "--quick", "--quiet"]
        assert run("export", f"{user_file}:Net", *args).exit_code == 0
    first, second = tmp_path / "a", tmp_path / "deep/er/b"
    vectors = ["test_data_set_0/input_0.pb", "test_data_set_0/output_0.pb"]
    for name in ("model.onnx", "diagram.svg", *vectors):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    for path in first.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path


def test_a_users_weights_are_in_the_file(user_file: Path, tmp_path: Path) -> None:
    module = netloft.load(f"{user_file}:Net", width=6)
    torch.save({k: torch.ones_like(v) for k, v in module.state_dict().items()}, tmp_path / "w.pt")
    args = ["--arg", "width=6", "--weights", str(tmp_path / "w.pt"), "--input", "1x3x12x12"]
    result = run("export", f"{user_file}:Net", *args, "-o", tmp_path / "net", "--quick")
    assert result.exit_code == 0, result.output
    session = ort.InferenceSession(tmp_path / "net" / "model.onnx")
    (y,) = session.run(None, {"input": np.ones((1, 3, 12, 12), np.float32)})
    assert y.tolist() == [[pytest.approx(169.0, abs=0.1)] * 3]


WRONG: dict[str, tuple[list[str], str]] = {
    "no such file": (["nowhere.py:Net"], "nowhere.py"),
    "no such class": (["{net}:Nest"], "Nest"),
    "no such name": (["resnet81"], "resnet18"),
    "no input": (["{net}:Net"], "--input"),
    "unreadable input": (["{net}:Net", "--input", "3by4"], "is not a shape"),
    "wrong input": (["{net}:Net", "--input", "1x4x12x12"], "Net fails on x [1, 4, 12, 12]"),
    "wrong argument": (["{net}:Net", "--arg", "depth=3", "--input", "1x3x12x12"], "depth"),
    "no weights": (["{net}:Net", "--weights", "none.pt", "--input", "1x3x12x12"], "none.pt"),
    "corrupt weights": (["{net}:Net", "--weights", "{bad}", "--input", "1x3x12x12"], "bad.pt"),
    "a branch on data": (["{net}:Branching", "--input", "1x3x12x12"], "if x.sum() > 0:"),
    "randomness": (["{net}:Noisy", "--input", "1x3x12x12"], "torch.rand(1)"),
    "an old opset": (["mnist", "--opset", "9"], "opset 9"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    case: str, user_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 not really")
    args, said = WRONG[case]
    names = {"{net}": str(user_file), "{bad}": str(tmp_path / "bad.pt")}
    for key, value in names.items():
        args = [arg.replace(key, value) for arg in args]
    before = sorted(tmp_path.rglob("*"))
    result = run("export", *args, "-o", tmp_path / "out", "--quick", "--quiet")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    assert [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in p.parts] == before


def test_a_folder_of_the_users_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = run("export", "mnist", "-o", tmp_path, "--quick", "--quiet")
    assert result.exit_code == 2
    assert "is not a netloft bundle" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_provider_that_does_not_start_is_exit_code_3(tmp_path: Path) -> None:
    from netloft.runtime.providers import probe

    if probe("cuda").starts:
        pytest.skip("CUDA starts on this machine")
    result = run("export", "mnist", "-o", tmp_path / "net", "--provider", "cuda", "--quiet")
    assert result.exit_code == 3
    assert "provider 'cuda' does not start" in result.stderr
    assert "remedy:" in result.stderr
    assert not (tmp_path / "net").exists()


@pytest.mark.cuda
def test_export_on_cuda(tmp_path: Path) -> None:
    from netloft.runtime.providers import probe

    found = probe("cuda")
    if not found.starts:
        pytest.skip(f"not run: {found.reason}")
    result = run("export", "mnist", "-o", tmp_path / "net", "--provider", "cuda", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {row["provider"] for row in report["parity"]} == {"cuda"}


def test_a_failed_parity_writes_nothing(
    user_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netloft_exporters.onnx import direct_route

    lower = direct_route.lower_directly

    def wrong(*args: object) -> object:
        lowered = lower(*args)  # type: ignore[arg-type]
        (node,) = (n for n in lowered.model.graph if n.op_type == "Relu")
        node.op_type = "Sigmoid"
        return lowered

    monkeypatch.setattr("netloft_exporters.onnx.lower_directly", wrong)
    out = tmp_path / "net"
    result = run("export", f"{user_file}:Net", "--input", "1x3x12x12", "-o", out, "--quiet")
    assert result.exit_code == 1
    assert "computes another function" in result.stderr
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir() if p.name != "__pycache__"] == ["net.py"]


def test_verify_needs_no_torch(tmp_path: Path) -> None:
    out = tmp_path / "mnist"
    assert run("export", "mnist", "-o", out, "--quick", "--quiet").exit_code == 0
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['torchvision'] = None\n"
        "from netloft.cli import main\n"
        f"main(['verify', {str(out)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pass:" in done.stdout


def test_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    out = tmp_path / "mnist"
    assert run("export", "mnist", "-o", out, "--quick", "--quiet").exit_code == 0
    data = bytearray((out / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "model.onnx").write_bytes(data)
    result = run("verify", out)
    assert result.exit_code == 1
    assert "model.onnx was changed after the export" in result.stderr
