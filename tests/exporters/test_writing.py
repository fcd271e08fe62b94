"""What is written: protobuf's own bytes, weights from their own memory, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from netloft.errors import CheckError, OutputError
from netloft.tracing import trace
from netloft_exporters import to_onnx
from netloft_exporters.onnx import write_onnx, writing
from netloft_exporters.onnx.check import check_model


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 40), nn.Linear(40, 2)]
    return nn.Sequential(*layers).eval()


EXAMPLE = (torch.randn(2, 3, 8, 8),)


def test_the_bytes_are_what_protobuf_writes(tmp_path: Path) -> None:
    path = to_onnx(net(), EXAMPLE, tmp_path / "net.onnx", labels=["cat", "chat noir, assis"])
    assert onnx.load(path).SerializeToString(deterministic=True) == path.read_bytes()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int8", "bool", "bfloat16"])
def test_every_element_type_and_layout_is_written(tmp_path: Path, dtype: str) -> None:
    kind = ir.DataType[
        dtype.upper() if "64" not in dtype else {"float64": "DOUBLE"}.get(dtype, "INT64")
    ]
    values = np.arange(60).reshape(3, 4, 5).astype(kind.numpy())
    arrays = [values, values.T, values[:, 1:3], values[:0], np.asarray(values[0, 0, 0])]
    initializers = [
        ir.Value(name=f"w{i}", const_value=ir.tensor(array, dtype=kind))
        for i, array in enumerate(arrays)
    ]
    graph = ir.Graph([], [], nodes=[], initializers=initializers, opset_imports={"": 20}, name="g")
    writing.write_parts(writing.parts_of(ir.Model(graph, ir_version=10)), tmp_path / "net.onnx")
    found = onnx.load(tmp_path / "net.onnx").graph.initializer
    for proto, array in zip(found, arrays, strict=True):
        assert tuple(proto.dims) == array.shape
        assert np.array_equal(onnx.numpy_helper.to_array(proto), array)


def beside(monkeypatch: pytest.MonkeyPatch, limit: int = 1000) -> None:
    """Let a weight lie beside the file from `limit` bytes in all, instead of 1.9 GB."""
    monkeypatch.setattr(writing, "INLINE_LIMIT", limit)


def test_past_the_limit_the_weights_lie_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = to_onnx(net(), EXAMPLE, tmp_path / "whole.onnx")
    beside(monkeypatch)
    path = to_onnx(net(), EXAMPLE, tmp_path / "net.onnx")
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {"whole.onnx", "net.onnx", "net.onnx.data"}
    header = onnx.load(path, load_external_data=False)
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in header.graph.initializer
        if tensor.external_data
    ]
    assert [int(place["offset"]) % 4096 for place in places] == [0] * len(places)
    inside = {tensor.name for tensor in header.graph.initializer if tensor.raw_data}
    assert {"0.weight", "3.bias"} < inside
    assert "3.weight" not in inside
    results = [
        ort.InferenceSession(p, providers=["CPUExecutionProvider"]).run(
            None, {"input": EXAMPLE[0].numpy()}
        )[0]
        for p in (whole, path)
    ]
    assert np.array_equal(*results)
    again = to_onnx(net(), EXAMPLE, tmp_path / "net.onnx", prove=False)
    assert again.read_bytes() == path.read_bytes()


def test_weights_that_are_cut_off_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside(monkeypatch)
    path = to_onnx(net(), EXAMPLE, tmp_path / "net.onnx")
    data = path.with_name("net.onnx.data")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CheckError, match=r"lacks the weight '3.weight'"):
        check_model(path, trace(net(), EXAMPLE), 20)


@pytest.mark.parametrize("limit", [1000, 10**9])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = to_onnx(net(), EXAMPLE, tmp_path / "net.onnx")
    before = path.read_bytes()
    beside(monkeypatch, limit)

    def full(*_: object) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_tensor", full)
    with pytest.raises(OutputError, match="No space left on device"):
        to_onnx(net(), EXAMPLE, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_bytes() == before


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    module = net()
    with torch.no_grad():
        module.get_parameter("3.weight")[1, 2] = float("nan")
        module.get_parameter("4.bias")[0] = float("inf")
    graph = trace(module, EXAMPLE)
    written = write_onnx(graph, module, {"input": EXAMPLE[0]}, tmp_path / "net.onnx")
    assert written.notes == ("NaN or infinity in the weights: 3.weight, 4.bias",)
    with pytest.warns(RuntimeWarning, match=r"NaN or infinity in the weights: 3\.weight, 4\.bias"):
        to_onnx(module, EXAMPLE, tmp_path / "net.onnx", prove=False)


def test_large_finite_weights_are_not_named(tmp_path: Path) -> None:
    module = net()
    with torch.no_grad():
        module.get_parameter("3.weight").fill_(3e38)
    assert to_onnx(module, EXAMPLE, tmp_path / "net.onnx", prove=False).is_file()


def test_without_proof_the_file_is_the_same(tmp_path: Path) -> None:
    proven = to_onnx(net(), EXAMPLE, tmp_path / "proven.onnx")
    quick = to_onnx(net(), EXAMPLE, tmp_path / "quick.onnx", prove=False)
    assert quick.read_bytes() == proven.read_bytes()
