"""Two files that should compute the same, whoever wrote them."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import netloft
from netloft.cli import main
from netloft.declared import declared_example
from netloft.errors import IntegrityError, UsageError
from netloft.models.inputs import parse_input
from netloft.verification import Verification, verify


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


class Net(nn.Module):
    """A convolution, a pool, a norm and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 6)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(image))), 2)
        return self.fc(x.mean((2, 3))).softmax(1)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(23, 8)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.fc(self.norm(self.table(words)).mean(1))
        return scores, scores.argmax(1)


X = torch.randn(2, 3, 10, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same network by netloft and by torch.onnx."""
    folder = tmp_path_factory.mktemp("pairs")
    ours = netloft.to_onnx(Net().eval(), (X,), folder / "ours.onnx")
    theirs = folder / "theirs.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Net().eval(), (X,), str(theirs), dynamo=True, dynamic_shapes=({0: "batch"},),
            input_names=["picture"], output_names=["shares"], verbose=False,
        )  # fmt: skip
    return ours, theirs


def cpu(a: Path, b: Path, **how: Any) -> Verification:
    return verify(a, against=b, providers=["cpu"], **how)


def test_another_exporters_file_is_the_same(files: tuple[Path, Path]) -> None:
    for a, b in (files, files[::-1], (files[0], files[0])):
        found = cpu(a, b)
        assert found.status == "pass", found.parity
        assert {row["batch"] for row in found.parity} == {1, 2, 5}
        assert {row["input"] for row in found.parity} >= {"noise", "extreme", "zeros"}
        assert all(row["ratio"] > 0 for row in found.parity if row["input"] == "noise")
        assert f"{b.name} was run in float64 by onnx.reference" in found.notes
    found = cpu(*files)
    name = found.parity[0]["output"]
    assert {row["output"] for row in found.parity} == {name, f"{name} before softmax"}
    assert any("of theirs.onnx, by its place" in note for note in found.notes)


def test_the_truth_is_the_modules(files: tuple[Path, Path]) -> None:
    """Either reference gives the same errors, but for what folding the norm rounded."""
    by_file = {(r["batch"], r["input"]): r for r in cpu(*files, example_inputs=(X,)).parity}
    found = verify(files[0], against=Net().eval(), example_inputs=(X,), providers=["cpu"])
    for row in found.parity:
        if row["input"].startswith("stress"):  # which is for modules
            continue
        other = by_file[row["batch"], row["input"]]
        assert abs(row["scaled_error"] - other["scaled_error"]) < row["tolerance"]


def weight_off(path: Path, to: Path, by: float) -> Path:
    model = onnx.load(str(path))
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    array = numpy_helper.to_array(tensor).copy()
    array[1] *= 1 + by
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, str(to))
    return to


@pytest.mark.parametrize("is_first", [True, False], ids=["the first", "the second"])
def test_a_weight_that_is_off_in_either_fails(
    files: tuple[Path, Path], tmp_path: Path, is_first: bool
) -> None:
    wrong = weight_off(files[0], tmp_path / "wrong.onnx", 1e-3)
    pair = (wrong, files[1]) if is_first else (files[1], wrong)
    result = run("verify", pair[0], "--against", pair[1], "--provider", "cpu", "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert any(row["status"] == "fail" and row["input"] == "noise" for row in found["parity"])
    (told,) = [row["reason"] for row in found["not_run"] if row["what"] == "layers"]
    assert f"netloft diff {pair[0]} {pair[1]}" in told


def test_the_command_line_tells_what_the_errors_are_against(files: tuple[Path, Path]) -> None:
    result = run("verify", files[0], "--against", files[1], "--provider", "cpu")
    assert result.exit_code == 0, result.output
    assert "parity: errors against theirs.onnx in float64" in result.stdout
    assert "note: inputs: 'input' is 2x3x10x12 float32" in result.stdout


def test_settings_and_second_opinions_and_faults_go_with_it(files: tuple[Path, Path]) -> None:
    found = cpu(*files, runtimes=True, second_opinion=["reference"], mutate=1)
    assert found.status == "pass", found.verdicts
    assert {row["provider"] for row in found.parity} == {"cpu", "reference"}
    assert {row["varied"] for row in found.runtimes} >= {"optimisation", "repeat", "batch"}
    assert found.mutation is not None
    assert found.mutation["score"] > 0.5
    assert {fault["check"] for fault in found.mutation["faults"]} <= {"outputs", ""}


def test_whole_numbers_are_drawn_from_the_table(tmp_path: Path) -> None:
    words = torch.randint(0, 23, (2, 7), generator=torch.Generator().manual_seed(1))
    path = netloft.to_onnx(
        Words().eval(), (words,), tmp_path / "a.onnx", dynamic={"input": {1: "n"}}
    )
    other = netloft.to_onnx(Words().eval(), (words,), tmp_path / "b.onnx", passes=(),
                            dynamic={"input": {1: "n"}})  # fmt: skip
    found = cpu(path, other)
    assert found.status == "pass", found.parity
    assert any("2x16 int64, 0 to 22" in note for note in found.notes), found.notes
    assert "b.onnx was run in float64 by ONNX Runtime" in found.notes
    assert {row["input"] for row in found.parity} >= {"noise", "noise at n 17"}
    assert len({row["output"] for row in found.parity}) == 2
    result = run("verify", path, "--against", other, "--input", "1x5:int64", "--provider", "cpu")
    assert result.exit_code == 0, result.output
    assert "2x5 int64, 0 to 22" in result.stdout


def test_equal_values_may_be_ranked_in_any_order(tmp_path: Path) -> None:
    """The axis and the shape of a ranking come from the file."""
    for keep in (0, 1):
        paths = []
        for name, last in (("a", 0), ("b", 1)):
            nodes = [
                helper.make_node("Concat", ["x", "x"], ["twice"], axis=2),
                helper.make_node("ArgMax", ["twice"], ["i"], axis=2, keepdims=keep,
                                 select_last_index=last),
            ]  # fmt: skip
            given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4])
            made = helper.make_tensor_value_info("i", TensorProto.INT64, ["batch", 3, *[1] * keep])
            graph = helper.make_graph(nodes, "rank", [given], [made])
            opsets = [helper.make_opsetid("", 17)]
            paths.append(tmp_path / f"{name}{keep}.onnx")
            model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
            onnx.save(model, str(paths[-1]))
        found = cpu(*paths)
        assert found.status == "pass", found.parity
        assert any("of values as large to rounding" in note for note in found.notes)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0][:, -1]


def test_a_kernel_in_name_alone_is_not_relied_on(tmp_path: Path) -> None:
    """ONNX Runtime loads an LSTM in float64, and refuses to run it."""
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    a = netloft.to_onnx(Recurrent().eval(), (x,), tmp_path / "a.onnx")
    b = netloft.to_onnx(Recurrent().eval(), (x,), tmp_path / "b.onnx", functions=True)
    found = cpu(a, b)
    assert found.status == "pass", found.parity
    assert "b.onnx was run in float64 by onnx.reference" in found.notes


def gelu(path: Path) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "gelu", [given], [made])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def test_without_float64_its_float32_is_the_reference_and_that_is_said(tmp_path: Path) -> None:
    ours = netloft.to_onnx(nn.GELU().eval(), (torch.randn(2, 4),), tmp_path / "ours.onnx")
    found = cpu(ours, gelu(tmp_path / "gelu.onnx"))
    assert found.status == "pass", found.parity
    assert any(
        "gelu.onnx has no float64 run, so its float32 run is the reference: which types "
        "com.microsoft.Gelu takes is not known" in note
        for note in found.notes
    )
    assert cpu(gelu(tmp_path / "gelu.onnx"), ours).status == "pass"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layers"], "layers: that is compared with a module, and not with another file"),
        (["--stress", "--search"], "stress and search: that is compared with a module, and not"),
        (["--data", "."], "--data and what is around the network are for a module"),
        (["--arg", "k=3"], "are for a module, and"),
        (["--head", "softmax"], "are for a module, and"),
        (["--input", "1x4x10x12"], "given as 1x4x10x12, and the file takes ?x3x10x12"),
        (["--input", "sound=1x4"], "the file has no input 'sound'"),
    ],
)
def test_misuse_is_exit_code_2(files: tuple[Path, Path], options: list[str], said: str) -> None:
    result = run("verify", files[0], "--against", files[1], "--provider", "cpu", *options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_files_of_other_signatures_are_a_usage_error(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"ours\.onnx is .*, and gelu\.onnx is x\[batch, 4\]"):
        cpu(files[0], gelu(tmp_path / "gelu.onnx"))


def test_the_second_file_is_looked_at_too(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("verify", files[0], "--against", tmp_path / "none.onnx").exit_code == 2
    (tmp_path / "text.onnx").write_text("print()")
    with pytest.raises(IntegrityError, match=r"text\.onnx is not"):
        cpu(files[0], tmp_path / "text.onnx")
    model = onnx.load(str(files[1]))
    model.graph.node[0].op_type = "Unheard"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    with pytest.raises(IntegrityError, match=r"odd\.onnx is not valid ONNX"):
        cpu(files[0], tmp_path / "odd.onnx")


def test_weights_of_the_second_file_stay_inside_its_folder(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copy(files[0], tmp_path / "a.onnx")
    model = onnx.load(str(tmp_path / "a.onnx"))
    onnx.save(model, str(tmp_path / "b.onnx"), save_as_external_data=True, location="w.data",
              size_threshold=512)  # fmt: skip
    (tmp_path / "inside").mkdir()
    outside = onnx.load(str(tmp_path / "b.onnx"), load_external_data=False)
    assert cpu(tmp_path / "a.onnx", tmp_path / "b.onnx").status == "pass"
    for tensor in outside.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../w.data" if entry.key == "location" else entry.value
    (tmp_path / "inside" / "b.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(IntegrityError):
        cpu(tmp_path / "a.onnx", tmp_path / "inside" / "b.onnx")


def one_input(path: Path, element: int, *lengths: int | str) -> Path:
    given = helper.make_tensor_value_info("x", element, list(lengths))
    made = helper.make_tensor_value_info("y", element, list(lengths))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [made])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def test_inputs_that_nobody_gave(tmp_path: Path) -> None:
    picture = one_input(tmp_path / "p.onnx", TensorProto.UINT8, "n", "h", "w", 3)
    made = declared_example(picture, picture)["x"]
    assert (made.shape, made.dtype, int(made.max())) == ((2, 16, 64, 3), torch.uint8, 255)
    opened = one_input(tmp_path / "o.onnx", TensorProto.FLOAT, "n", 3, "h", "w")
    fixed = one_input(tmp_path / "f.onnx", TensorProto.FLOAT, "n", 3, 20, "w")
    assert declared_example(opened, fixed)["x"].shape == (2, 3, 20, 64)
    given = [parse_input("1x3x20x30")]
    assert declared_example(opened, fixed, given)["x"].shape == (2, 3, 20, 30)
    flags = one_input(tmp_path / "b.onnx", TensorProto.BOOL, "n", 9)
    assert declared_example(flags, flags)["x"].dtype is torch.bool
    words = one_input(tmp_path / "w.onnx", TensorProto.INT64, "n", 9)
    found = declared_example(words, words)["x"]
    assert (int(found.min()), int(found.max())) == (0, 1)
    complex_ = one_input(tmp_path / "c.onnx", TensorProto.COMPLEX64, "n", 9)
    with pytest.raises(UsageError, match="takes complex64, for which no values are known"):
        declared_example(complex_, complex_)
    assert np.isfinite(declared_example(opened, opened)["x"].numpy()).all()


def sums(path: Path, op: str, *inputs: tuple[str, list[int | str]]) -> Path:
    """A file that adds its inputs, or multiplies by two and adds the rest."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs]
    names = [name for name, _ in inputs]
    nodes = [helper.make_node(op, names, ["y"])]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, inputs[0][1])
    graph = helper.make_graph(nodes, "g", values, [made])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def test_first_lengths_that_differ_are_no_batch(tmp_path: Path) -> None:
    inputs: list[tuple[str, list[int | str]]] = [("x", ["n", 3]), ("shift", [1, 3])]
    added = sums(tmp_path / "add.onnx", "Add", *inputs)
    summed = sums(tmp_path / "sum.onnx", "Sum", *inputs)
    found = cpu(added, summed)
    assert found.status == "pass", found.parity
    assert {row["input"] for row in found.parity} == {"noise", "example", "extreme", "zeros"}
    assert {row["batch"] for row in found.parity} == {2}
    wrong = sums(tmp_path / "mul.onnx", "Mul", *inputs)
    assert cpu(added, wrong).status == "fail"


def test_a_batch_that_one_of_them_fixes_is_the_batch(tmp_path: Path) -> None:
    opened = sums(tmp_path / "open.onnx", "Add", ("x", ["n", 3]), ("y0", ["n", 3]))
    fixed = sums(tmp_path / "fixed.onnx", "Sum", ("a", [4, 3]), ("b", [4, 3]))
    for pair in ((opened, fixed), (fixed, opened)):
        found = cpu(*pair)
        assert found.status == "pass", found.parity
        assert {row["batch"] for row in found.parity} == {4}


def test_inputs_that_cannot_be_made_are_an_error_without_a_traceback(tmp_path: Path) -> None:
    """What the second file declares is anybody's word."""
    float32, node = TensorProto.FLOAT, helper.make_node("Identity", ["x"], ["y"])
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(float32, [2]))
    wrong = {
        "sequence": helper.make_value_info("x", sequence),
        "bfloat16": helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [2]),
        "1,048,576": helper.make_tensor_value_info("x", float32, [2**20, 2**20]),
    }
    for index, (said, value) in enumerate(wrong.items()):
        out = onnx.ValueInfoProto()
        out.CopyFrom(value)
        out.name = "y"
        file = tmp_path / f"{index}.ONNX"
        model = helper.make_model(helper.make_graph([node], "net", [value], [out]), ir_version=8,
                                  opset_imports=[helper.make_opsetid("", 18)])  # fmt: skip
        onnx.save(model, str(file))
        result = run("verify", file, "--against", file, "--provider", "cpu")
        assert result.exit_code == 2, result.output
        assert said.replace(",", "") in result.stderr
        assert "Traceback" not in result.stderr
