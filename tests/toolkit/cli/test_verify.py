"""What `netloft verify` says of bundles and files that are not what they should be."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from netloft.cli import main

VECTORS = "test_data_set_0"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mnist"
    assert run("export", "mnist", "-o", out, "--quick", "--quiet").exit_code == 0
    return out


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "mnist"))


def seal(bundle: Path, **changes: Any) -> None:
    """Write a manifest that agrees with the files."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    paths = [p for p in bundle.rglob("*") if p.is_file() and p.name != "manifest.json"]
    manifest["files"] = {
        p.relative_to(bundle).as_posix(): {
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            "bytes": p.stat().st_size,
        }
        for p in paths
    }
    manifest |= changes
    kept = {key: value for key, value in manifest.items() if value is not None}
    (bundle / "manifest.json").write_text(json.dumps(kept))


def write_tensor(path: Path, name: str, *shape: int) -> None:
    tensor = numpy_helper.from_array(np.zeros(shape, np.float32), name)
    path.write_bytes(tensor.SerializeToString())


def _no_tolerances(bundle: Path) -> None:
    seal(bundle, tolerances=None)


def _absurd_tolerance(bundle: Path) -> None:
    seal(bundle, tolerances={"output": 1e9})


def _tolerance_of_another(bundle: Path) -> None:
    seal(bundle, tolerances={"result": 1e-6})


def _unnumbered(bundle: Path) -> None:
    shutil.copy(bundle / VECTORS / "input_0.pb", bundle / VECTORS / "input_x.pb")
    seal(bundle)


def _unknown_input(bundle: Path) -> None:
    write_tensor(bundle / VECTORS / "input_1.pb", "other", 2, 2)
    seal(bundle)


def _unknown_output(bundle: Path) -> None:
    write_tensor(bundle / VECTORS / "output_0.pb", "other", 2, 10)
    seal(bundle)


def _wrong_shape(bundle: Path) -> None:
    write_tensor(bundle / VECTORS / "input_0.pb", "input", 2, 3)
    seal(bundle)


def _wrong_result_shape(bundle: Path) -> None:
    write_tensor(bundle / VECTORS / "output_0.pb", "output", 2, 9)
    seal(bundle)


def _not_a_tensor(bundle: Path) -> None:
    (bundle / VECTORS / "input_0.pb").write_bytes(b"\xff\xff")
    seal(bundle)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_no_tolerances, "manifest.json has no 'tolerances'"),
        (_absurd_tolerance, "has the tolerance 1000000000.0 for 'output', which is none"),
        (_tolerance_of_another, "the tolerance for 'output' is missing"),
        (_unnumbered, "input_x.pb is no test vector"),
        (_unknown_input, "the input test vector for 'other' is of nothing in the manifest"),
        (_unknown_output, "the output test vector for 'other' is of nothing in the manifest"),
        (_wrong_shape, "the model does not run on its test vectors on cpu"),
        (_wrong_result_shape, "output 'output' has shape [2, 10], and its test vector [2, 9]"),
        (_not_a_tensor, "input_0.pb is not a tensor"),
    ],
)
def test_a_damaged_bundle_is_one_message_and_exit_code_1(
    bundle: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(bundle)
    result = run("verify", bundle, "--provider", "cpu", "--json")
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    facts = json.loads(result.stdout)
    assert (facts["status"], facts["error"]) == ("fail", "IntegrityError")


def test_the_noise_floor_is_that_of_the_policy(bundle: Path) -> None:
    from netloft.parity.policy import DEFAULT_POLICY

    result = run("verify", bundle, "--provider", "cpu", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["parity"]
    assert row["tolerance"] == pytest.approx(
        row["noise_floor"] * (DEFAULT_POLICY.factor + 1), rel=1e-4
    )


def test_the_policy_needs_no_torch() -> None:
    code = "import sys, netloft.parity.policy; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["net.py", "n" * 300, "absent.onnx"])
def test_what_is_neither_is_exit_code_2(tmp_path: Path, name: str) -> None:
    if name == "net.py":
        (tmp_path / name).write_text("print()")
    result = run("verify", tmp_path / name, "--provider", "cpu")
    assert result.exit_code == 2
    assert "is neither a bundle nor an .onnx file" in result.stderr


def test_a_file_that_only_says_onnx_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("print()")
    result = run("verify", tmp_path / "net.onnx", "--provider", "cpu")
    assert result.exit_code == 1
    assert "is not" in result.stderr


def file_of(path: Path, *inputs: list[int | str]) -> Path:
    """A file that adds up its inputs."""
    names = [f"i{index}" if index else "input" for index in range(len(inputs))]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, inputs, strict=True)
    ]
    result = helper.make_tensor_value_info("total", TensorProto.FLOAT, inputs[0])
    graph = helper.make_graph([helper.make_node("Sum", names, ["total"])], "g", values, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "shapes",
    [[["batch", 1, 28, 28]], [["batch", 7]], [[]], [["batch", 1, 28, 28], ["batch", 1, 28, 28]]],
    ids=["other output", "other rank", "a scalar", "one more input"],
)
def test_a_module_of_another_signature_is_a_usage_error(
    tmp_path: Path, shapes: list[list[int | str]]
) -> None:
    file = file_of(tmp_path / "net.onnx", *shapes)
    result = run("verify", file, "--against", "mnist", "--provider", "cpu")
    assert result.exit_code == 2, result.output
    assert "net.onnx is input[" in result.stderr
    assert "MnistNet is input[batch, 1, 28, 28] -> output[batch, 10]" in result.stderr


def test_a_file_with_names_of_its_own_goes_by_the_places(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(str(bundle / "model.onnx"))
    model.graph.input[0].name = "digit"
    for node in model.graph.node:
        node.input[:] = ["digit" if name == "input" else name for name in node.input]
    onnx.save(model, str(tmp_path / "net.onnx"))
    result = run("verify", tmp_path / "net.onnx", "--against", "mnist", "--provider", "cpu")
    assert result.exit_code == 0, result.output
    told = "note: 'digit' of the file is taken for 'input' of the module, by its place"
    assert told in result.stdout


def test_a_file_against_its_module(bundle: Path) -> None:
    args = ["--against", "mnist", "--provider", "cpu", "--json", "--quiet"]
    result = run("verify", bundle / "model.onnx", *args)
    assert result.exit_code == 0, result.output
    assert {row["status"] for row in json.loads(result.stdout)["parity"]} == {"pass"}


def test_layers_are_told_one_by_one(exported: Path, tmp_path: Path) -> None:
    path = exported / "model.onnx"
    result = run("verify", path, "--against", "mnist", "--layers")
    assert result.exit_code == 0, result.output
    assert "layers: own = with true inputs" in result.output
    assert "first bad" not in result.output

    broken = one_weight_off(path, tmp_path / "net.onnx")
    result = run("verify", broken, "--against", "mnist", "--layers", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["first_bad"].startswith("conv2 (conv2d, netloft/models/mnist.py:")
    assert {"module", "node", "own_ratio", "status"} <= found["layers"][0].keys()
    assert found["unlike"][0]["is_weight"]


def test_layers_are_looked_at_where_an_output_fails(exported: Path, tmp_path: Path) -> None:
    broken = one_weight_off(exported / "model.onnx", tmp_path / "net.onnx", by=3.0)
    result = run("verify", broken, "--against", "mnist")
    assert result.exit_code == 1
    assert "first bad operation: conv2 (conv2d, netloft/models/mnist.py:" in result.output


def test_layers_need_a_module(exported: Path) -> None:
    result = run("verify", exported, "--layers")
    assert result.exit_code == 2
    assert "name it with --against MODEL" in result.output


def one_weight_off(path: Path, to: Path, by: float = 1e-3) -> Path:
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "conv2.weight")
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[np.abs(array).argmax()] *= 1 + by
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, to)
    return to


def test_planted_faults_are_counted_by_kind(bundle: Path) -> None:
    before = (bundle / "model.onnx").read_bytes()
    args = ["--against", "mnist", "--provider", "cpu", "--mutate", "2", "--json"]
    result = run("verify", bundle / "model.onnx", *args)
    assert result.exit_code == 0, result.output
    assert "weight scaled by 1e-3: " in result.stderr
    mutation = json.loads(result.stdout)["mutation"]
    assert mutation["planted"] == len(mutation["faults"]) > 30
    assert mutation["score"] == 1
    assert {row["planted"] for row in mutation["kinds"]} == {1, 2}
    assert {"conv1", "fc2"} <= {fault["module"] for fault in mutation["faults"]}
    assert {fault["check"] for fault in mutation["faults"]} == {"outputs"}
    assert "skip connection dropped" in mutation["without_place"]
    assert (bundle / "model.onnx").read_bytes() == before


def test_a_bundle_shows_the_power_of_its_vectors_without_torch(bundle: Path) -> None:
    code = (
        "import sys; from netloft.verification import verify; "
        f"found = verify({str(bundle)!r}, providers=['cpu'], mutate=1); "
        "assert 'torch' not in sys.modules; "
        "print({f['check'] for f in found.mutation['faults']}, found.mutation['missed'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "{'test vectors'} 0\n"


def test_what_vectors_miss_is_named(bundle: Path) -> None:
    """Vectors of zeros cannot tell one first layer's weights from another's."""
    given = onnx.load_tensor(str(bundle / VECTORS / "input_0.pb"))
    zeros = np.zeros(given.dims, np.float32)
    session = ort.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    for kind, array, name in (
        ("input", zeros, given.name),
        ("output", session.run(None, {given.name: zeros})[0], "output"),
    ):
        tensor = numpy_helper.from_array(array, name)
        (bundle / VECTORS / f"{kind}_0.pb").write_bytes(tensor.SerializeToString())
    seal(bundle)
    result = run("verify", bundle, "--provider", "cpu", "--mutate", "2")
    assert result.exit_code == 0, result.output
    assert "no effect: kernel mirrored in conv1: the kernels turned round\n" in result.stdout
    assert " faults that have an effect were caught (" in result.stdout


def test_there_has_to_be_something_to_find_faults_with(bundle: Path) -> None:
    result = run("verify", bundle / "model.onnx", "--provider", "cpu", "--mutate")
    assert result.exit_code == 2
    assert "a lone .onnx file has nothing to find a planted fault with" in result.stderr
    assert "--against" in result.stderr
    assert run("verify", bundle, "--mutate", "0").exit_code == 2


def test_a_file_that_fails_is_not_mutated(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(str(bundle / "model.onnx"))
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1 and tensor.data_type == TensorProto.FLOAT:
            zeros = np.zeros(tensor.dims, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, str(tmp_path / "net.onnx"))
    args = ["--against", "mnist", "--provider", "cpu", "--mutate", "--json"]
    result = run("verify", tmp_path / "net.onnx", *args)
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert facts["mutation"] is None
    reason = "the file fails as it is, so that every fault would be found"
    assert {"what": "mutation", "reason": reason} in facts["not_run"]


def test_stress_and_search_on_the_command_line(bundle: Path, tmp_path: Path) -> None:
    args = ["--against", "mnist", "--provider", "cpu", "--stress", "--search", "40"]
    result = run("verify", bundle, *args, "--keep", tmp_path / "worst", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    told = {row["input"] for row in found["parity"]}
    assert {"stress: one-hot", "stress: batch 0", "stress: batch 32"} <= told
    assert {"noise", "2 drawn digits", "zeros"} <= told
    assert found["search"]["evaluations"] == 40
    assert Path(found["search"]["kept"]) == tmp_path / "worst" / VECTORS
    result = run("verify", bundle, *args)
    assert "40 evaluations" in result.stdout
    assert "  box: x 0 to 1\n" in result.stdout
    data = run("verify", bundle, "--against", "mnist", "--data", tmp_path / "worst" / VECTORS)
    assert data.exit_code == 0
    assert f" {VECTORS} " in data.stdout


def test_every_certificate_has_the_quick_stress_set(exported: Path) -> None:
    report = json.loads((exported / "report.json").read_text())
    rows = [row for row in report["parity"] if row["input"].startswith("stress: ")]
    assert len(rows) == len({row["output"] for row in report["parity"]})
    assert {row["batch"] for row in rows} == {5}
    assert all(row["status"] == "pass" for row in rows)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--stress"], "--stress and --search compare with a MODEL"),
        (["--search"], "--stress and --search compare with a MODEL"),
        (["--against", "mnist", "--search", "31"], "31"),
        (["--against", "mnist", "--keep", "worst"], "only a search finds"),
    ],
)
def test_misuse_of_the_search_is_told(exported: Path, args: list[str], message: str) -> None:
    result = run("verify", exported, *args)
    assert result.exit_code == 2
    assert message in result.output


def test_the_search_keeps_nothing_in_a_bundle(bundle: Path) -> None:
    before = sorted(bundle.rglob("*"))
    args = ["--against", "mnist", "--search", "40", "--keep", str(bundle / "worst")]
    result = run("verify", bundle, *args)
    assert result.exit_code == 2
    assert "name a folder outside the bundle" in result.output
    assert sorted(bundle.rglob("*")) == before
