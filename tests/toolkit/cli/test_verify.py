"""What `netloft verify` says of bundles and files that are not what they should be."""

from __future__ import annotations

import hashlib
import json
import re
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
from tests.toolkit.runtime import hostile

from netloft.cli import main
from netloft.runtime.manifest import sealed

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
    (bundle / "manifest.json").write_bytes(sealed(kept))


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


def put(bundle: Path, model: onnx.ModelProto, **changes: Any) -> None:
    """Let another model stand in a bundle, whose manifest agrees."""
    onnx.save(model, bundle / "model.onnx")
    seal(bundle, opset=model.opset_import[0].version, ir_version=model.ir_version, **changes)


def test_a_bundle_that_never_ends_is_stopped(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    looped = onnx.load(hostile.endless(bundle.parent)).graph
    for renamed in (*looped.node, *looped.input):  # what goes round is a sum of the input
        for names in (renamed.input, renamed.output) if hasattr(renamed, "input") else ():
            for index, name in enumerate(names):
                names[index] = {"x": "rounds_in", "y": "rounds_out"}.get(name, name)
    (output,) = model.graph.output
    last = model.graph.node[-1]
    last.output[0] = "before"
    model.graph.initializer.extend(looped.initializer)
    model.graph.node.extend([
        helper.make_node("ReduceMax", ["before"], ["rounds_in"], keepdims=0),
        *looped.node,
        helper.make_node("Add", ["before", "rounds_out"], [output.name]),
    ])  # fmt: skip
    put(bundle, model)
    result = run("verify", bundle, "--provider", "cpu", "--max-seconds", "3")
    assert result.exit_code == 1
    assert "model.onnx was stopped after 3 seconds" in result.stderr
    assert "allow more with --max-seconds" in result.stderr


def test_versions_that_differ_from_the_manifest(bundle: Path) -> None:
    seal(bundle, opset=19)
    result = run("verify", bundle, "--provider", "cpu")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "manifest.json says opset 19, and model.onnx has 20" in result.stderr


def test_nan_in_a_weight_is_named(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight.flat[3] = np.nan
    name = model.graph.initializer[0].name
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, name))
    put(bundle, model)
    result = run("verify", bundle, "--provider", "cpu")
    assert result.exit_code == 1
    assert f"note: model.onnx: the weight '{name}' holds NaN" in result.stdout


def test_what_ran_where_is_told(bundle: Path) -> None:
    result = run("verify", bundle, "--provider", "cpu", "--json")
    (ran,) = [check for check in json.loads(result.stdout)["checks"] if " ran " in check]
    found = re.fullmatch(r"cpu ran (\d+) of the (\d+) nodes that .* made of model.onnx", ran)
    assert found is not None, ran
    assert 0 < int(found[1]) == int(found[2])


@pytest.mark.parametrize("case", hostile.OUTSIDE)
def test_a_file_that_reaches_out_is_one_sentence(tmp_path: Path, case: str) -> None:
    make, said = hostile.OUTSIDE[case]
    result = run("verify", make(tmp_path), "--provider", "cpu")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_without_the_onnx_package_the_checker_is_not_run(bundle: Path) -> None:
    bare = bundle.parent / "bare"
    bare.mkdir()
    for name in ("onnx", "torch", "rich"):
        (bare / f"{name}.py").write_text("raise ModuleNotFoundError")
    code = (
        f"import sys; sys.path.insert(0, {str(bare)!r})\n"
        "from netloft.cli import main\n"
        f"main(['verify', {str(bundle)!r}, '--provider', 'cpu'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "not run: onnx.checker: the onnx package is not installed" in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"pass: {bundle}"


@pytest.mark.parametrize("option", ["--max-seconds", "--max-memory", "--timeout", "--load"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e30", "-inf"])
def test_limits_are_numbers(option: str, number: str) -> None:
    result = run("verify", "absent", "--url", "http://127.0.0.1:1", option, number)
    assert result.exit_code == 2
    assert option in result.stderr
    assert "Traceback" not in result.output
