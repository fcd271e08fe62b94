"""Whose fault it is that a file fails: the export's, ONNX Runtime's optimiser's, or nobody's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from tests.toolkit.parity.overflows import Scaled, right_as_written, right_optimised
from torch import Tensor, nn

import netloft
from netloft.cli import main
from netloft.errors import MissingError, UsageError
from netloft.parity.rerun.runtimes import RuntimeRow, verdicts_of
from netloft.parity.rerun.second_opinion import verdict_of
from netloft.parity.rerun.settings import settings_of
from netloft.runtime.manifest import sealed
from netloft.runtime.providers import probe
from netloft.verification import Verification, verify

CUDA = probe("cuda")
OPENVINO = importlib.util.find_spec("openvino") is not None
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def held(path: Path, module: nn.Module, **how: Any) -> Verification:
    return verify(path, against=module, example_inputs=(X,), providers=["cpu"], **how)


def by_setting(found: Verification) -> dict[tuple[str, str], str]:
    return {(row["varied"], row["setting"]): row["status"] for row in found.runtimes}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.fc = nn.Linear(16, 5)

    def forward(self, input: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(input)).mean((2, 3))).softmax(1)


class Mixing(nn.Module):
    """The mean over the batch is in every item."""

    def forward(self, input: Tensor) -> Tensor:
        return input.mean((1, 2)) - input.mean((0, 1, 2))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    module = Small().eval()
    path = tmp_path_factory.mktemp("runtimes") / "small.onnx"
    netloft.to_onnx(module, (X,), path)
    return path, module


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runtimes") / "small"
    netloft.export(Small().eval(), (X,), out, providers=["cpu"], quick=True)
    return out


def test_a_right_file_passes_under_every_setting(small: tuple[Path, nn.Module]) -> None:
    found = held(*small, runtimes=True, threads=2)
    assert found.status == "pass", found
    assert set(by_setting(found)) == {
        *(("optimisation", level) for level in ("none", "basic", "extended", "all")),
        ("threads", "1 for 2"), ("repeat", "same session"), ("repeat", "new session"),
        ("batch", "each item alone"),
    }  # fmt: skip
    assert {row["output"] for row in found.runtimes} == {"output", "output before softmax"}
    assert all(0 < row["ratio"] <= 8 for row in found.runtimes)
    usual, *others = [row for row in found.runtimes if row["output"] == "output"]
    assert (usual["setting"], usual["bitwise"]) == ("all", None)
    assert all((row["bitwise"], row["max_diff"] == 0) in ((True, True), (False, False))
               for row in others)  # fmt: skip
    again = [row for row in others if row["varied"] == "repeat"]
    assert all(row["bitwise"] for row in again)
    assert found.verdicts == ()


def test_a_fault_of_the_optimiser_is_not_the_exports(tmp_path: Path) -> None:
    found = held(tmp_path / "net.onnx", right_as_written(tmp_path / "net.onnx"), runtimes=True)
    assert found.status == "fail"
    assert by_setting(found)["optimisation", "none"] == "pass"
    assert by_setting(found)["optimisation", "all"] == "fail"
    (told,) = found.verdicts
    assert told.startswith("cpu: the optimiser of ONNX Runtime is at fault, and not the export")
    assert "(level all, extended, basic)" in told


def test_a_fault_that_the_optimiser_hides_is_found(tmp_path: Path) -> None:
    """The certificate passes: it judges what runs."""
    module = right_optimised(tmp_path / "net.onnx")
    assert held(tmp_path / "net.onnx", module).status == "pass"
    found = held(tmp_path / "net.onnx", module, runtimes=True)
    assert found.status == "fail"
    assert {row["status"] for row in found.parity} == {"pass"}
    (told,) = found.verdicts
    assert told.startswith("cpu: as it is written (level none) the file fails, and optimised it")


def one_weight_off(path: Path, to: Path) -> Path:
    model = onnx.load(str(path))
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    array = numpy_helper.to_array(tensor).copy()
    array[3, 1] *= -1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, str(to))
    return to


def test_a_fault_of_the_file_fails_everywhere(
    small: tuple[Path, nn.Module], tmp_path: Path
) -> None:
    wrong = one_weight_off(small[0], tmp_path / "net.onnx")
    found = held(wrong, small[1], runtimes=True, second_opinion=["reference"])
    assert set(by_setting(found).values()) == {"fail"}
    settings, other = found.verdicts
    assert "fails at every level of optimisation" in settings
    assert other == "ONNX Runtime and reference both fail, so that the file is at fault"


def test_a_network_that_reads_across_its_batch_is_told_and_does_not_fail(tmp_path: Path) -> None:
    netloft.to_onnx(Mixing().eval(), (X,), tmp_path / "net.onnx")
    found = held(tmp_path / "net.onnx", Mixing().eval(), runtimes=True)
    assert found.status == "pass", found.verdicts
    (alone,) = [row for row in found.runtimes if row["varied"] == "batch"]
    assert (alone["status"], alone["bitwise"]) == ("note", False)
    assert alone["ratio"] > 1000
    assert "reads across its batch" in alone["reason"]


def test_a_fixed_batch_has_no_items_to_run_alone(tmp_path: Path) -> None:
    module = Small().eval()
    netloft.to_onnx(module, (X,), tmp_path / "net.onnx", batch=2)
    found = held(tmp_path / "net.onnx", module, runtimes=True)
    assert found.status == "pass"
    assert not [row for row in found.runtimes if row["varied"] == "batch"]
    reason = "the file takes one batch size"
    assert {"what": "cpu: each item alone", "reason": reason} in found.not_run


def test_a_bundle_needs_no_torch_for_it(exported: Path) -> None:
    code = (
        "import sys; from netloft.verification import verify; "
        f"found = verify({str(exported)!r}, providers=['cpu'], runtimes=True, "
        "second_opinion=['reference']); "
        "assert 'torch' not in sys.modules; "
        "print(found.status, len(found.runtimes), [row['provider'] for row in found.parity])"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "pass 8 ['cpu', 'reference']\n"


def test_a_bundle_that_only_fails_optimised_says_so(tmp_path: Path) -> None:
    right_as_written(tmp_path / "net.onnx")
    bundle, same = tmp_path / "net", Scaled(1e-10, 1e30, 1.0).eval()
    netloft.export(same, (X,), bundle, providers=["cpu"], quick=True, passes=())
    shutil.move(tmp_path / "net.onnx", bundle / "model.onnx")
    seal(bundle)
    result = run("verify", bundle, "--provider", "cpu", "--runtimes")
    assert result.exit_code == 1, result.output
    assert "verdict: cpu: the optimiser of ONNX Runtime is at fault" in result.stdout
    assert "cpu       optimisation  none" in result.stdout


def seal(bundle: Path) -> None:
    """Write a manifest that agrees with the files."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (bundle / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    model = onnx.load(bundle / "model.onnx")
    manifest |= {"opset": model.opset_import[0].version, "ir_version": model.ir_version}
    (bundle / "manifest.json").write_bytes(sealed(manifest))


def test_what_does_not_start_is_told(exported: Path) -> None:
    result = run("verify", exported, "--runtimes", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    ran = {row["provider"] for row in found["runtimes"]}
    for name in ("cuda", "tensorrt", "openvino"):
        told = [row for row in found["not_run"] if row["what"].startswith(f"settings of {name}")]
        assert (name in ran) != (len(told) == 1 and bool(told[0]["reason"]))


def test_what_has_no_fault_here_to_show_it_is_put_in_words() -> None:
    """Threads and repeats that differ need a machine, or a kernel, that does so."""
    usual = RuntimeRow("cpu", "optimisation", "all", "", status="pass", bitwise=None)
    threads = RuntimeRow("cpu", "threads", "1 for 2", "", status="fail", bitwise=False)
    again = RuntimeRow("cpu", "repeat", "new session", "", status="pass", bitwise=False,
                       max_diff=1e-7)  # fmt: skip
    assert list(verdicts_of("cpu", [usual])) == []
    assert list(verdicts_of("cpu", [usual, threads, again])) == [
        "cpu: the runtime is at fault, and not the export: only threads (1 for 2) fails",
        "cpu: results differ from run to run, by up to 1.0e-07",
    ]


def test_what_cannot_be_judged_is_nobodys_fault() -> None:
    undecided = RuntimeRow("cpu", "optimisation", "all", "", input="noise", status="undecided")
    plain = RuntimeRow("cpu", "optimisation", "none", "", input="noise", status="undecided")
    assert list(verdicts_of("cpu", [undecided, plain])) == [
        "cpu: nothing can be said: PyTorch's own error is too large to judge by"
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ("noise", "noise", "the file is at fault"),
        ("noise", "", "ONNX Runtime is at fault"),
        ("", "noise", "reference is at fault, or the file leaves open"),
        ("noise", "zeros", "ONNX Runtime is at fault"),  # each on other inputs
        ("", "", ""),
    ],
)
def test_whose_fault_it_is_by_the_inputs_that_both_ran(ours: str, theirs: str, said: str) -> None:
    def rows(failing: str, status: str = "fail") -> list[dict[str, Any]]:
        return [
            {
                "input": kind,
                "batch": 1,
                "output": "y",
                "status": status if kind == failing else "pass",
            }
            for kind in ("noise", "zeros")
        ]

    assert said in verdict_of("reference", rows(theirs), rows(ours))
    assert bool(verdict_of("reference", rows(theirs), rows(ours))) == bool(said)
    assert verdict_of("reference", rows(theirs, "undecided"), rows(ours, "undecided")) == ""


def test_tf32_is_on_in_one_setting_of_cuda_and_its_rows_are_notes() -> None:
    settings = list(settings_of("cuda", 4))
    on = [each for each in settings if each.session and each.session.get("use_tf32")]
    assert [(each.varied, each.name, bool(each.excuse)) for each in on] == [("TF32", "on", True)]
    assert settings[0].precision == "the file's, TF32 off"
    assert not [each for each in settings_of("cpu", 4) if each.varied == "TF32"]
    assert [each.name for each in settings_of("cpu", 1) if each.varied == "threads"] == ["2 for 1"]


@pytest.mark.cuda
@pytest.mark.skipif(not CUDA.starts, reason=f"not run: {CUDA.reason}")
def test_tf32_is_told_on_and_off(small: tuple[Path, nn.Module]) -> None:
    path, module = small
    found = verify(path, against=module, example_inputs=(X,), providers=["cuda"], runtimes=True)
    assert found.status == "pass", found.verdicts
    rows = [row for row in found.runtimes if row["varied"] == "TF32"]
    assert {row["status"] for row in rows} == {"note"}
    assert {row["precision"] for row in rows} == {"TensorFloat-32 factors"}
    off = [row for row in found.runtimes if row["varied"] == "optimisation"]
    assert all(row["precision"] == "the file's, TF32 off" for row in off)


def test_the_reference_evaluator_agrees(small: tuple[Path, nn.Module]) -> None:
    found = held(*small, second_opinion=["reference"])
    assert found.status == "pass"
    rows = [row for row in found.parity if row["provider"] == "reference"]
    assert {(row["batch"], row["output"]) for row in rows} == {
        (1, "output"), (1, "output before softmax"),
    }  # fmt: skip
    assert all(row["max_abs"] > 0 for row in rows), "it gives what the reference gives"
    assert f"onnx.reference {onnx.__version__}: NumPy" in " ".join(found.notes)
    assert found.verdicts == ()


def test_it_says_that_onnx_runtime_is_at_fault(tmp_path: Path) -> None:
    module = right_as_written(tmp_path / "net.onnx")
    found = held(tmp_path / "net.onnx", module, second_opinion=["reference"])
    assert found.status == "fail"
    told = "reference passes where ONNX Runtime fails, so that ONNX Runtime is at fault"
    assert found.verdicts == (told,)


def test_an_opinion_that_differs_is_a_failure(tmp_path: Path) -> None:
    module = right_optimised(tmp_path / "net.onnx")
    with np.errstate(over="ignore"):
        found = held(tmp_path / "net.onnx", module, second_opinion=["reference"])
    assert found.status == "fail"
    assert "reference fails where ONNX Runtime passes" in found.verdicts[0]


def test_what_the_evaluator_lacks_is_said(tmp_path: Path) -> None:
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])
    made = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3, 8, 8])
    node = helper.make_node("Gelu", ["input"], ["output"], domain="com.microsoft")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "gelu", [given], [made])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    assert held(tmp_path / "net.onnx", nn.GELU().eval()).status == "pass"
    with pytest.raises(MissingError, match="reference cannot load this file") as raised:
        held(tmp_path / "net.onnx", nn.GELU().eval(), second_opinion=["reference"])
    assert "Gelu" in raised.value.problem


@pytest.mark.skipif(OPENVINO, reason="openvino is installed here")
def test_an_opinion_that_is_not_installed_is_exit_code_3(exported: Path) -> None:
    result = run("verify", exported, "--second-opinion", "openvino")
    assert result.exit_code == 3
    assert "pip install 'netloft[openvino]'" in result.stderr


@pytest.mark.skipif(not OPENVINO, reason="not run: the package openvino is not installed")
def test_openvino_computes_in_float32(small: tuple[Path, nn.Module], tmp_path: Path) -> None:
    found = held(*small, second_opinion=["openvino"])
    assert found.status == "pass", found.verdicts
    rows = [row for row in found.parity if row["provider"] == "openvino"]
    assert {row["batch"] for row in rows} == {1, 2, 5}
    assert {row["output"] for row in rows} == {"output", "output before softmax"}
    assert "computes in f32, as asked; its default here is" in " ".join(found.notes)
    wrong = one_weight_off(small[0], tmp_path / "net.onnx")
    found = held(wrong, small[1], second_opinion=["openvino"])
    assert found.verdicts == ("ONNX Runtime and openvino both fail, so that the file is at fault",)


def test_there_has_to_be_something_to_hold_against(small: tuple[Path, nn.Module]) -> None:
    for option in (["--runtimes"], ["--second-opinion", "reference"]):
        result = run("verify", small[0], *option)
        assert result.exit_code == 2
        assert "nothing is known of what a lone .onnx file should give" in result.stderr
    with pytest.raises(UsageError, match="there is no second opinion 'tvm'"):
        held(*small, second_opinion=["tvm"])
