"""What loading takes, measured in a process of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netloft.errors import CheckError
from netloft.speed.contestants import Loads
from netloft.speed.footprint import Footprint, footprint


def product(path: Path, length: int) -> Path:
    """Write a file with a matrix of `length` x `length`."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", length]) for n in "xy"]
    matrix = numpy_helper.from_array(np.ones((length, length), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [matrix])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def loads(file: Path, length: int) -> Loads:
    return Loads(file, {"threads": 1}, {"x": np.ones((1, length), np.float32)})


def test_a_larger_file_takes_more(tmp_path: Path) -> None:
    small, large = (
        footprint(loads(product(tmp_path / f"{n}.onnx", n), n), "cpu") for n in (8, 4096)
    )
    assert small.first_ms > 0
    assert 0 < small.load_ms < large.load_ms
    assert small.load_low <= small.load_ms <= small.load_high
    assert small.memory_mb < 60
    assert large.memory_mb > 64, "the matrix alone has 67 MB"


def test_several_processes_give_an_interval(tmp_path: Path) -> None:
    asked = loads(product(tmp_path / "s.onnx", 8), 8)
    one = footprint(asked, "cpu")
    assert (one.memory_low, one.memory_high) == (None, None)
    found = footprint(asked, "cpu", processes=3)
    assert found.memory_low is not None
    assert found.memory_high is not None
    assert 0 < found.memory_low <= found.memory_mb <= found.memory_high
    assert 0 < found.load_low <= found.load_ms <= found.load_high


def test_the_median_of_the_processes_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = [Footprint(load, 0, 99, load * 2, load * 10) for load in (3.0, 9.0, 1.0, 4.0)]
    left = iter(each)
    monkeypatch.setattr("netloft.speed.footprint._answered", lambda _: next(left))
    found = footprint(loads(tmp_path / "s.onnx", 8), "cpu", processes=4)
    assert found == Footprint(3.5, 1.0, 9.0, 7.0, 35.0, 10.0, 90.0)


def test_what_does_not_run_is_told(tmp_path: Path) -> None:
    file = product(tmp_path / "s.onnx", 8)
    with pytest.raises(CheckError, match=r"process of its own: .*Got invalid"):
        footprint(loads(file, 9), "cpu")


def test_bytes_are_loaded_from_a_file(tmp_path: Path) -> None:
    file = product(tmp_path / "s.onnx", 8)
    given = dataclasses.replace(loads(file, 8), file=file.read_bytes())
    assert footprint(given, "cpu").load_ms > 0
