"""What a session computes in is read back, and not taken from the file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netloft.speed.engines import ENGINES, engines_for
from netloft.speed.precision import precision_of
from netloft.speed.setup import Setup
from netloft.speed.sources import source_of


def network(kind: type[np.generic], *, second: type[np.generic] | None = None) -> onnx.ModelProto:
    """Return a file with one product with weights, and perhaps another one of another type."""
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal((64, 64)).astype(k) for k in (kind, second) if k]
    of = {
        "float16": TensorProto.FLOAT16,
        "float32": TensorProto.FLOAT,
        "float64": TensorProto.DOUBLE,
    }
    nodes, value = [], "x"
    for number, array in enumerate(arrays):
        wanted = of[array.dtype.name]
        nodes += [
            helper.make_node("Cast", [value], [f"c{number}"], to=wanted),
            helper.make_node("MatMul", [f"c{number}", f"w{number}"], [f"m{number}"]),
        ]
        value = f"m{number}"
    nodes.append(helper.make_node("Cast", [value], ["y"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(array, f"w{number}") for number, array in enumerate(arrays)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(("kind", "said"), [(np.float32, "f32"), (np.float64, "f64")])
def test_the_type_of_the_weights(kind: type[np.generic], said: str) -> None:
    assert precision_of(network(kind).SerializeToString(), "cpu") == said


def test_float16_on_the_cpu_is_float32() -> None:
    assert precision_of(network(np.float16).SerializeToString(), "cpu") == "f32"


def test_several_types_are_told_the_most_first() -> None:
    model = network(np.float64, second=np.float32)
    assert set(precision_of(model.SerializeToString(), "cpu").split(", ")) == {"f32", "f64"}


def test_int8_depends_on_the_optimisations(tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    path.write_bytes(quantised().SerializeToString())
    assert precision_of(path, "cpu") == "int8"
    assert precision_of(path, "cpu", "none") == "f32"


def quantised() -> onnx.ModelProto:
    """Return a convolution in QDQ form."""
    generator = np.random.default_rng(0)
    weights = generator.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8)
    held = {
        "w8": weights, "sw": np.float32(0.01), "zw": np.int8(0),
        "sx": np.float32(0.02), "zx": np.uint8(128), "sy": np.float32(0.1), "zy": np.uint8(128),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w8", "sw", "zw"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "sy", "zy"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "sy", "zy"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 7, 7])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_nothing_is_said_where_nothing_is_multiplied() -> None:
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert precision_of(model.SerializeToString(), "cpu") == ""


def test_without_onnx_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller distribution comes without it, and measures all the same."""
    file = tmp_path / "net.onnx"
    onnx.save(network(np.float32), file)
    source = source_of(file, ["cpu"], 1)
    (engine,) = engines_for(source, [ENGINES["onnxruntime"]])
    made = engine.make(source, Setup("cpu", 2, 1))
    assert made.read_precision() == "f32"
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "netloft.speed.precision")
    assert made.read_precision() == ""
