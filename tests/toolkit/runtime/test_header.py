"""A file's header: the whole model but for its weights, and a model that runs all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from netloft.runtime.header import header_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    weight = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    small = np.arange(64, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
        "net",
        [helper.make_tensor_value_info("x", 1, ["batch", 32])],
        [helper.make_tensor_value_info("y", 1, ["batch", 64])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(small, "b")],
        doc_string="text behind the weights",
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_only_large_weights_are_left_out(path: Path) -> None:
    header = onnx.load_from_string(header_of(path))
    whole = onnx.load(path)
    large, small = header.graph.initializer
    assert not large.raw_data
    assert small == whole.graph.initializer[1]
    place = {entry.key: entry.value for entry in large.external_data}
    assert place["location"] == "net.onnx"
    start, length = int(place["offset"]), int(place["length"])
    assert path.read_bytes()[start : start + length] == whole.graph.initializer[0].raw_data
    del header.graph.initializer[0], whole.graph.initializer[0]
    assert header == whole


def test_the_header_is_a_model_that_reads_the_same_weights(path: Path) -> None:
    beside = path.with_name("header.onnx")
    beside.write_bytes(header_of(path))
    assert beside.stat().st_size < 1000
    onnx.checker.check_model(beside, full_check=True)
    x = np.ones((3, 32), np.float32)
    results = [
        ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for file in (path, beside)
    ]
    assert np.array_equal(*results)


def test_a_writer_may_say_that_a_weight_lies_in_the_usual_place(path: Path) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.data_location = onnx.TensorProto.DEFAULT  # ONNX Runtime's quantizer does
    onnx.save(model, path)
    header = onnx.load_from_string(header_of(path))
    places = [tensor.data_location for tensor in header.graph.initializer if tensor.external_data]
    assert places
    assert set(places) == {onnx.TensorProto.EXTERNAL}


def test_a_file_without_large_weights_is_its_own_header(path: Path) -> None:
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.onnx.data")
    assert header_of(path) == path.read_bytes()


@pytest.mark.parametrize("cut", [1, 20, 300, 5000])
def test_a_file_that_is_cut_off_is_told(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="the file is cut off"):
        header_of(path)


def test_what_is_no_protobuf_is_told(path: Path) -> None:
    path.write_bytes(b"\x0f" * 100)
    with pytest.raises(ValueError, match="no protobuf"):
        header_of(path)
