"""Files that are small and mean much: sizes, copies and names that grow when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.toolkit.onnx_graph.files import ints, saved, tensor, weight

from netloft.errors import InputError
from netloft.graph import Graph
from netloft.onnx_graph import read_onnx
from netloft_diagrams import render

node = helper.make_node


def made(folder: Path, nodes: list[Any], weights: Sequence[Any] = (), **more: Any) -> Graph:
    shape = more.pop("shape", [1, 4])
    return read_onnx(
        saved(folder, nodes, [tensor("x", shape)], [tensor("y", None)], weights, **more)
    )


@pytest.mark.parametrize("length", ["1//0", "k%(k-1)", "k//(k-k)", "k-5", "9" * 70 + "*k"])
def test_lengths_that_no_tensor_has_are_harmless(length: str, tmp_path: Path) -> None:
    graph = made(tmp_path, [node("Relu", ["x"], ["y"])], shape=["n", length, *["k"] * 3])
    assert len(str(graph.totals.peak_activation_bytes)) < 40
    assert graph.totals.peak_activation_bytes >= 0
    assert render(graph, "txt")


@pytest.mark.parametrize(
    "name", ["layer_1", "layer_2", "layer_3", "renamed_1", "renamed_1.a", "layer_2.a"]
)
def test_weights_may_be_called_as_the_stand_ins_are(name: str, tmp_path: Path) -> None:
    nodes = [
        node("Add", ["x", name], ["a"]),
        node("Add", ["a", "not allowed"], ["b"]),
        node("Conv", ["b", "c.weight"], ["y"], name="c"),
    ]
    weights = [weight(name, 4), weight("not allowed", 4), weight("c.weight", 4, 4, 1)]
    assert made(tmp_path, nodes, weights, shape=[1, 4, 4]).totals.n_params == 24


def test_odd_constants_are_read(tmp_path: Path) -> None:
    relu = node("Relu", ["x"], ["y"])
    made(tmp_path, [node("Constant", [], [], value_int=1), relu])
    made(tmp_path, [node("Constant", [], [""], value_int=1), relu])
    for kind in (999, 8, 16, 0, -1):
        cast = node("Cast", ["w"], ["q"], to=kind)
        made(tmp_path, [cast, node("Add", ["x", "q"], ["y"])], [weight("w", 4)])


def test_constants_that_broadcast_to_gigabytes_are_not_worked_out(tmp_path: Path) -> None:
    masks = [
        numpy_helper.from_array(np.ones(shape, bool), name)
        for name, shape in (("a", (1024, 1, 1)), ("b", (1, 1024, 1)), ("c", (1, 1, 1024)))
    ]
    nodes = [node("Where", ["a", "b", "c"], [f"w{i}"]) for i in range(50)]
    nodes += [node("Equal", ["a", "b"], ["e"]), node("Gather", ["b", "i"], ["g"])]
    made(tmp_path, [*nodes, node("Relu", ["x"], ["y"])], [*masks, ints("i", *[0] * 900)])


def _calls(body: list[onnx.NodeProto], times: int) -> dict[str, Any]:
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("odd", 1)]
    function = helper.make_function("odd", "F", ["a"], ["b"], body, sets)
    names = ["x", *(f"t{i}" for i in range(times - 1)), "y"]
    nodes = [node("F", [names[i]], [names[i + 1]], domain="odd") for i in range(times)]
    return {"nodes": nodes, "functions": [function]}


@pytest.mark.parametrize(
    "body",
    [
        [node("Custom", ["a"] * 1000, ["b"], domain="odd")],
        [node("Custom", ["a"], ["b"], domain="odd", text="t" * 100_000)],
        [node("Custom", ["a"], ["n" * 100_000]), node("Relu", ["n" * 100_000], ["b"])],
    ],
)
def test_functions_that_copy_much_are_refused_soon(body: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="operands, or"):
        made(tmp_path, **_calls(body, 2000))


def test_a_large_constant_is_shared_by_the_calls_of_its_function(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.ones(1 << 18, np.float32))
    body = [node("Constant", [], ["c"], value=value), node("Mul", ["a", "c"], ["b"])]
    graph = made(tmp_path, shape=[1 << 18], **_calls(body, 3000))
    assert {r.shape for _, r in graph if r.op == "mul"} == {(1 << 18,)}


@pytest.mark.parametrize("dims", [[2**62] * 300, [2**62, 2**62], [-1], [-2, -2]])
def test_weights_of_impossible_sizes_are_refused(dims: list[int], tmp_path: Path) -> None:
    odd = onnx.TensorProto(name="w", data_type=1, dims=dims)
    with pytest.raises(InputError, match="impossible size"):
        made(tmp_path, [node("Add", ["x", "w"], ["y"])], [odd])
    odd.name = ""
    constant = node("Constant", [], ["w"], value=odd)
    with pytest.raises(InputError, match="impossible size"):
        made(tmp_path, [constant, node("Add", ["x", "w"], ["y"])])


def test_values_of_impossible_sizes_have_no_shape(tmp_path: Path) -> None:
    graph = made(tmp_path, [node("Relu", ["x"], ["y"])], shape=[2**62] * 300)
    assert {r.shape for _, r in graph} == {("?",)}
    assert render(graph, "txt")


def test_constants_that_are_made_of_each_other_without_end_are_refused(tmp_path: Path) -> None:
    names = [f"w{i}" for i in range(1500)]
    nodes = [
        node("Add", [names[i] if not i else f"s{i - 1}", names[i + 1]], [f"s{i}"])
        for i in range(1499)
    ]
    last = node("Add", ["x", "s1498"], ["y"])
    with pytest.raises(InputError, match="made of too many"):
        made(tmp_path, [*nodes, last], [weight(name, 4) for name in names])


@pytest.mark.parametrize("operator", ["Shape", "Tanh"])
def test_long_vectors_take_no_memory(operator: str, tmp_path: Path) -> None:
    nodes = [node("Mul", ["x", "x"], ["y"]), node(operator, ["x"], ["s"])]
    graph = made(tmp_path, nodes, shape=[1 << 40])
    assert {r.shape for _, r in graph if r.op == "mul"} == {(1 << 40,)}
