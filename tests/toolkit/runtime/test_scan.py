"""Files are read within bounds, and only what is their own."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.toolkit.runtime import hostile

from netloft.errors import IntegrityError
from netloft.runtime import wire
from netloft.runtime.scan import Budget, scan
from netloft.runtime.tensor import whole_tensor


def test_what_a_file_says(tmp_path: Path) -> None:
    found = scan(hostile.plain(tmp_path))
    assert (found.ir_version, found.opsets, found.nodes) == (10, {"": 20}, 1)
    assert (found.weights, found.weight_bytes, found.nan, found.infinite) == (1, 16, [], [])


def test_nodes_within_nodes_are_counted(tmp_path: Path) -> None:
    assert scan(hostile.nested(4)(tmp_path)).nodes == 2**5 - 1
    assert scan(hostile.endless(tmp_path)).nodes == 3


def test_weights_beside_the_file_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.array([0, np.nan, 1, 2], np.float32).tobytes())
    found = scan(hostile.outside("w.bin", offset="0", length="16")(tmp_path))
    assert (found.outside, found.nan) == (["w.bin"], ["w"])


def test_nodes_that_the_checker_does_not_know(tmp_path: Path) -> None:
    """Its own functions it does; what is of no one's it passes over in silence."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Own", ["a"], ["b"], domain="mine"),
        helper.make_node("Gelu", ["b"], ["y"], domain="com.microsoft"),
    ]
    inner = [helper.make_node("QuickGelu", ["p"], ["q"], domain="com.microsoft")]
    own = helper.make_function("mine", "Own", ["p"], ["q"], inner, [])
    graph = helper.make_graph(nodes, "g", value[:1], value[1:])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, functions=[own]).SerializeToString())
    found = scan(tmp_path / "m.onnx")
    assert (found.nodes, found.foreign) == (4, {"com.microsoft": 2})
    assert scan(hostile.plain(tmp_path)).foreign == {}


@pytest.mark.parametrize("case", hostile.OUTSIDE)
def test_a_weight_reaches_for_nothing_else(tmp_path: Path, case: str) -> None:
    make, said = hostile.OUTSIDE[case]
    with pytest.raises(IntegrityError, match="is not an ONNX file") as caught:
        scan(make(tmp_path))
    assert said in caught.value.problem


@pytest.mark.parametrize("case", hostile.REFUSED)
def test_what_is_beyond_the_budget(tmp_path: Path, case: str) -> None:
    make, said = hostile.REFUSED[case]
    with pytest.raises(IntegrityError) as caught:
        scan(make(tmp_path), Budget(nodes=100))
    assert said in caught.value.problem


def test_graphs_in_graphs_end_somewhere(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="nested 4 deep"):
        scan(hostile.nested(4)(tmp_path), Budget(depth=3))


def test_a_chain_without_end_is_left_at_the_budget(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="more than 1000 nodes"):
        scan(hostile.many_nodes(tmp_path), Budget(nodes=1000))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("typed", [False, True])
def test_nan_and_infinity_are_found(tmp_path: Path, dtype: str, typed: bool) -> None:
    for number in (np.nan, np.inf, -np.inf):
        array = np.array([1, number, 2, 3], dtype)
        w = numpy_helper.from_array(array, "w")
        if typed:
            w = helper.make_tensor("w", w.data_type, [4], array.tolist())
        found = scan(hostile.plain(tmp_path, w))
        assert (found.nan, found.infinite) == ((["w"], []) if number != number else ([], ["w"]))
        assert not scan(hostile.plain(tmp_path, w), values=False).nan


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"\x08", b"\x08\x0a\x3a\x7f", b"{}"])
def test_what_is_no_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"x\.onnx is not an ONNX file"):
        scan(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = hostile.endless(folder)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(IntegrityError):
        assert scan(path).nodes <= len(content)


NUMBERS: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16", TensorProto.INT16: "int16", TensorProto.INT32: "int32",
    TensorProto.INT64: "int64", TensorProto.BOOL: "bool", TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64", TensorProto.UINT32: "uint32", TensorProto.UINT64: "uint64",
    TensorProto.COMPLEX64: "complex64", TensorProto.COMPLEX128: "complex128",
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS, ids=NUMBERS.get)
@pytest.mark.parametrize("shape", [(2, 3), (), (0,), (3, 0)])
def test_tensors_are_read_as_onnx_reads_them(kind: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    array = np.asarray(random.standard_normal(shape) * 50).astype(NUMBERS[kind])
    raw = numpy_helper.from_array(array, "t")
    typed = helper.make_tensor("t", kind, array.shape, array.reshape(-1).tolist())
    for tensor in (raw, typed):
        name, found = whole_tensor(tensor.SerializeToString())
        wanted = numpy_helper.to_array(tensor)
        assert (name, found.dtype, found.shape) == ("t", array.dtype, wanted.shape)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "tensor",
    [
        onnx.TensorProto(name="t", data_type=onnx.TensorProto.BFLOAT16, dims=[1], raw_data=b"\0\0"),
        onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[2], raw_data=b"\0" * 4),
        onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[2], float_data=[1]),
        onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[1] * 65, float_data=[1]),
        onnx.TensorProto(name="t", data_type=onnx.TensorProto.STRING, dims=[1], string_data=[b""]),
        onnx.TensorProto(name="t", data_type=99, dims=[0]),
    ],
    ids=["bfloat16", "short", "few", "deep", "text", "unknown"],
)
def test_what_is_no_tensor_for_numpy(tensor: onnx.TensorProto) -> None:
    with pytest.raises(ValueError, match="t"):
        whole_tensor(tensor.SerializeToString())


def varint(number: int) -> bytes:
    return wire.varint(number)


def field(number: int, content: bytes) -> bytes:
    return wire.tag(number, len(content)) + content


def test_a_field_that_other_readers_read_otherwise_is_refused(tmp_path: Path) -> None:
    """Protobuf cuts a key to 32 bits, and passes over a field of another wire type."""
    path = hostile.plain(tmp_path)
    content = path.read_bytes()
    graph = content.index(wire.tag(7, 1)[:1])
    longer = varint((7 << 3 | 2) | 1 << 32)
    path.write_bytes(content[:graph] + longer + content[graph + 1 :])
    with pytest.raises(IntegrityError, match="is no protobuf"):
        scan(path)
    path.write_bytes(content + b"\x02\x00")  # field 0
    with pytest.raises(IntegrityError, match="is no protobuf"):
        scan(path)


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (field(14, b"\x00"), "wire type 2"),  # data_location is a number
        (varint(9 << 3), "wire type 0"),  # raw_data is bytes
        (varint(2 << 3 | 5) + b"\0\0\0\0", "wire type 5"),  # data_type
        (varint(1 << 3 | 1) + b"\0" * 8, "wire type 1"),  # dims
    ],
)
def test_wire_types_are_those_of_the_schema(tmp_path: Path, weight: bytes, said: str) -> None:
    w = numpy_helper.from_array(np.ones(4, np.float32), "w").SerializeToString()
    graph = field(5, w + weight + (b"\x00" if weight == varint(9 << 3) else b""))
    path = tmp_path / "x.onnx"
    path.write_bytes(varint(1 << 3) + varint(10) + field(7, graph))
    with pytest.raises(IntegrityError, match=said):
        scan(path)


def test_a_location_of_more_bits_is_that_of_the_lower_ones(tmp_path: Path) -> None:
    w = TensorProto(name="w", data_type=1, dims=[4])
    w.external_data.add(key="location", value="../secret")
    content = w.SerializeToString() + field(9, b"\0" * 16)
    content += varint(14 << 3) + varint((1 << 32) + 1)
    path = tmp_path / "x.onnx"
    path.write_bytes(varint(1 << 3) + varint(10) + field(7, field(5, content)))
    with pytest.raises(IntegrityError, match="which is not beside it"):
        scan(path)


def test_a_place_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 16)
    w = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    w.external_data.add(key="location", value="w.bin")
    w.external_data.add(key="location", value="../secret")
    with pytest.raises(IntegrityError, match="says twice where it lies"):
        scan(hostile.plain(tmp_path, w))


def test_nan_elsewhere_is_found_or_said_not_to_be_looked_for(tmp_path: Path) -> None:
    nan = np.array([0x7FC0, 0, 0, 0], np.uint16).tobytes()
    bfloat = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[4], raw_data=nan)
    assert scan(hostile.plain(tmp_path, bfloat)).nan == ["w"]
    small = TensorProto(
        name="w", data_type=TensorProto.FLOAT8E4M3FN, dims=[4], raw_data=b"\x7f" * 4
    )
    found = scan(hostile.plain(tmp_path, small))
    assert (found.nan, found.unread) == ([], 1)
    node = helper.make_node("Constant", [], ["y"], value_floats=[1.0, float("nan")])
    graph = helper.make_graph([node], "g", [], [hostile.value("y", 2)])
    assert scan(hostile.saved(graph, tmp_path / "c.onnx")).nan == ["an attribute"]
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([np.nan], np.float32), "w"),
        numpy_helper.from_array(np.array([1], np.int64), "i"), [4],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [hostile.value("x", 4)],
        [hostile.value("y", 4)], sparse_initializer=[sparse],
    )  # fmt: skip
    assert scan(hostile.saved(graph, tmp_path / "s.onnx")).nan == ["w"]


def test_engines_of_others_are_not_loaded(tmp_path: Path) -> None:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0,
                            ep_cache_context="../../engine.trt")  # fmt: skip
    graph = helper.make_graph([node], "g", [hostile.value("x", 4)], [hostile.value("y", 4)])
    with pytest.raises(IntegrityError, match="loads a compiled engine"):
        scan(hostile.saved(graph, tmp_path / "e.onnx"))


def test_a_million_lengths_cost_nothing(tmp_path: Path) -> None:
    shape = hostile.value("x", *[1 << 20] * 100_000)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [shape], [shape])
    start = time.monotonic()
    with pytest.raises(IntegrityError, match="beyond what is read"):
        scan(hostile.saved(graph, tmp_path / "x.onnx"))
    assert time.monotonic() - start < 5
