"""Multiply-adds and parameters of files, and hyper-parameters that follow from operands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.toolkit.onnx_graph.files import saved, tensor, weight

from netloft.graph import Graph
from netloft.onnx_graph import read_onnx

node = helper.make_node
SETS = [helper.make_opsetid("com.microsoft", 1)]


def made(
    folder: Path, nodes: list[Any], inputs: list[Any], weights: Sequence[Any] = (), **more: Any
) -> Graph:
    kind, opset = more.pop("kind", TensorProto.FLOAT), more.pop("opset", 20)
    sets = [helper.make_opsetid("", opset), *SETS]
    output = tensor("y", more.pop("shape", None), kind)
    return read_onnx(saved(folder, nodes, inputs, [output], weights, opset_imports=sets, **more))


def integers(name: str, *shape: int, kind: Any = np.uint8) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, kind), name)


X, Z = tensor("x", [4, 5]), tensor("z", [16, 3])
PICTURE = tensor("x", [1, 4, 8, 8])

PRODUCTS: dict[str, tuple[onnx.NodeProto, list[Any], list[Any], int]] = {
    "weight left": (node("Gemm", ["w", "x"], ["y"]), [X], [weight("w", 7, 4)], 7 * 4 * 5),
    "and a bias": (
        node("Gemm", ["w", "x", "b"], ["y"]), [X], [weight("w", 7, 4), weight("b", 5)], 140,
    ),
    "matrix left": (
        node("MatMul", ["w", "x"], ["y"]), [tensor("x", ["n", 4, 5])], [weight("w", 3, 4)], 60,
    ),
    "turned": (
        node("Gemm", ["x", "z"], ["y"], transA=1), [tensor("x", [16, 5]), Z], [], 16 * 5 * 3,
    ),
    "einsum": (
        node("Einsum", ["x", "w"], ["y"], equation="bij, jk->bik"),
        [tensor("x", ["n", 5, 4])], [weight("w", 4, 3)], 60,
    ),
    "einsum with dots": (
        node("Einsum", ["x", "w"], ["y"], equation="...j,jk->...k"),
        [tensor("x", ["n", 5, 4])], [weight("w", 4, 3)], 60,
    ),
    "bent": (
        node("DeformConv", ["x", "w", "o"], ["y"]),
        [PICTURE], [weight("w", 4, 4, 1, 1), weight("o", 1, 2, 8, 8)], 1024,
    ),
    "time first": (
        node("LSTM", ["x", "w", "r"], ["y"], hidden_size=3),
        [tensor("x", [7, 1, 4])], [weight("w", 1, 12, 4), weight("r", 1, 12, 3)], 7 * 12 * 7,
    ),
    "kernel of the network": (
        node("Conv", ["x", "w"], ["y"]), [PICTURE, tensor("w", [4, 4, 1, 1])], [], 1024,
    ),
    "ONNX Runtime's attention": (
        node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=2),
        [tensor("x", ["n", 6, 4])], [weight("w", 4, 12), weight("b", 12)], 6 * 48 + 2 * 6 * 6 * 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PRODUCTS)
def test_products_are_counted_wherever_the_weight_stands(what: str, tmp_path: Path) -> None:
    product, inputs, weights, expected = PRODUCTS[what]
    assert made(tmp_path, [product], inputs, weights).totals.macs == expected


def test_behind_time_the_second_axis_is_the_batch(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("LSTM", ["a", "w", "r"], ["y"], hidden_size=3)]
    weights = [weight("w", 1, 12, 4), weight("r", 1, 12, 3)]
    graph = made(tmp_path, nodes, [tensor("x", ["t", "n", 4])], weights)
    assert graph.inputs[0].info.shape == ("t", "batch", 4)
    graph = made(tmp_path, nodes, [tensor("x", ["batch", "n", 4])], weights)
    assert graph.inputs[0].info.shape == ("batch", "n", 4)


def test_integers_are_counted_and_have_no_bias(tmp_path: Path) -> None:
    inputs = [tensor("x", [1, 4, 8, 8], TensorProto.UINT8)]
    weights = [integers("w", 4, 4, 1, 1), integers("z")]
    nodes = [node("ConvInteger", ["x", "w", "z"], ["y"])]
    graph = made(tmp_path, nodes, inputs, weights, kind=TensorProto.INT32)
    (record,) = [record for _, record in graph if record.op == "conv2d"]
    assert (record.macs, record.n_params, record.attributes["bias"]) == (1024, 16, False)


ODD = {
    "product of numbers": (node("MatMul", ["x", "x"], ["y"]), []),
    "attention": (node("Attention", ["x", "w"], ["y"], domain="com.microsoft"), [4, 12]),
    "layer": (node("Gemm", ["x", "w"], ["y"]), [4, 4]),
    "time": (node("LSTM", ["x", "w", "w"], ["y"], hidden_size=1), [1, 4, 1]),
    "einsum": (node("Einsum", ["x", "w"], ["y"], equation="abc,c->ab"), [4]),
    "three": (node("Attention", ["x", "x", "x"], ["y"]), []),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("rank", range(3))
def test_ranks_that_do_not_fit_cost_nothing(what: str, rank: int, tmp_path: Path) -> None:
    odd, shape = ODD[what]
    graph = made(tmp_path, [odd], [tensor("x", [4] * rank)], [weight("w", *shape)], shape=[])
    assert graph.totals.macs >= 0


JOINED: dict[str, tuple[list[str], str, str, dict[str, Any], int]] = {
    "scaled": (["w", "s"], "Mul", "Conv", {}, 148),
    "joined": (["w", "w2", "s2"], "Concat", "Conv", {"axis": 0}, 144 + 72 + 36),
    "twice": (["w", "w"], "Add", "Conv", {}, 144),
}


@pytest.mark.parametrize("what", JOINED)
def test_a_weight_that_is_worked_out_counts_all_its_parts_once(what: str, tmp_path: Path) -> None:
    sources, op, layer, attributes, expected = JOINED[what]
    shapes = {"w": (4, 4, 3, 3), "s": (4, 1, 1, 1), "w2": (2, 4, 3, 3), "s2": (1, 4, 3, 3)}
    nodes = [
        node(op, sources, ["u"], **attributes),
        node(layer, ["x", "u"], ["a"]),
        node(layer, ["x", "u"], ["b"]),
        node("Add", ["a", "b"], ["y"]),
    ]
    weights = [weight(name, *shapes[name]) for name in dict.fromkeys(sources)]
    graph = made(tmp_path, nodes, [PICTURE], weights)
    assert graph.totals.n_params == expected
    assert [r.parameters for _, r in graph if r.parameters] == [tuple(dict.fromkeys(sources))]
    listed = [n.meta["netloft_weights"] for n, r in graph if r.op == "conv2d"]
    assert listed == [tuple(dict.fromkeys(sources))] * 2


def test_two_weights_of_one_source_are_two(tmp_path: Path) -> None:
    nodes = [
        node("Mul", ["w", "a"], ["wa"]),
        node("Mul", ["w", "b"], ["wb"]),
        node("Add", ["x", "wa"], ["s"]),
        node("Add", ["s", "wb"], ["y"]),
    ]
    weights = [weight(name, 4) for name in ("w", "a", "b")]
    graph = made(tmp_path, nodes, [tensor("x", ["n", 4])], weights)
    found = [r.parameters for _, r in graph if r.family == "parameter"]
    assert found == [("w", "a"), ("b",)]


def test_constants_of_one_name_in_two_functions_are_two(tmp_path: Path) -> None:
    sets = [helper.make_opsetid("", 20)]
    functions = [
        helper.make_function(
            "own", name, ["a"], ["b"],
            [
                node("Constant", [], ["c"], value=weight("", 4, 4)),
                node("MatMul", ["a", "c"], ["b"]),
            ], sets,
        )
        for name in ("F", "G")
    ]  # fmt: skip
    nodes = [
        node("F", ["x"], ["t"], domain="own"),
        node("G", ["t"], ["y"], domain="own"),
    ]
    graph = made(tmp_path, nodes, [tensor("x", ["n", 4])], functions=functions)
    assert graph.totals.n_params == 32
    assert len({n for _, record in graph for n in record.parameters}) == 2


def test_the_overload_of_a_function_is_called(tmp_path: Path) -> None:
    sets = [helper.make_opsetid("", 20)]
    functions = []
    for name in ("Relu", "Tanh"):
        functions.append(
            helper.make_function("own", "F", ["a"], ["b"], [node(name, ["a"], ["b"])], sets)
        )
        functions[-1].overload = name
    call = node("F", ["x"], ["y"], domain="own")
    call.overload = "Tanh"
    graph = made(tmp_path, [call], [X], functions=functions)
    assert [r.op for _, r in graph] == ["input", "tanh", "output"]


def one(graph: Graph) -> tuple[str, dict[str, object]]:
    record = [record for _, record in graph if record.family not in ("input", "output")][-1]
    return record.op, dict(record.attributes)


LAYERS: dict[str, tuple[onnx.NodeProto, int, tuple[str, dict[str, object]]]] = {
    "resize": (
        node("Resize", ["x", "", "two"], ["y"], axes=[2, 3]), 18,
        ("interpolate", {"mode": "nearest", "scale_factor": (2.0, 2.0)}),
    ),
    "resize one": (
        node("Resize", ["x", "", "single"], ["y"], axes=[-1]), 18,
        ("interpolate", {"mode": "nearest", "scale_factor": (1.0, 2.0)}),
    ),
    "pad": (
        node("Pad", ["x", "pads", "", "axes"], ["y"]), 18,
        ("pad", {"mode": "constant", "pad": (0, 0, 0, 0, 1, 2)}),
    ),
    "softmax": (node("Softmax", ["x"], ["y"]), 11, ("softmax", {"dim": 1, "flattened": True})),
    "hardmax": (node("Hardmax", ["x"], ["y"], axis=3), 11, ("hardmax", {"dim": 3})),
    "softmax now": (node("Softmax", ["x"], ["y"]), 13, ("softmax", {"dim": -1})),
    "shrink": (node("Shrink", ["x"], ["y"]), 20, ("hardshrink", {"lambd": 0.5})),
    "soft": (node("Shrink", ["x"], ["y"], bias=0.5), 20, ("softshrink", {"lambd": 0.5})),
    "flatten": (node("Flatten", ["x"], ["y"], axis=2), 20, ("flatten", {"axis": 2})),
    "flatten as usual": (node("Flatten", ["x"], ["y"]), 20, ("flatten", {"start_dim": 1})),
    "skip": (
        node("SkipLayerNormalization", ["x", "x", "single"], ["y"], domain="com.microsoft"), 20,
        ("layer_norm", {"eps": 1e-12, "weight_shape": (1,), "skip": True}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LAYERS)
def test_hyper_parameters_follow_the_operator_set(what: str, tmp_path: Path) -> None:
    layer, opset, expected = LAYERS[what]
    weights = [
        numpy_helper.from_array(np.asarray([2, 2], np.float32), "two"),
        numpy_helper.from_array(np.asarray([2], np.float32), "single"),
        numpy_helper.from_array(np.asarray([1, 2]), "pads"),
        numpy_helper.from_array(np.asarray([1]), "axes"),
    ]
    op, attributes = one(made(tmp_path, [layer], [PICTURE], weights, opset=opset))
    assert (op, attributes) == expected


def test_a_bent_kernel_has_a_bias_where_it_is_given(tmp_path: Path) -> None:
    weights = [weight("w", 4, 4, 1, 1), weight("o", 1, 2, 8, 8), weight("b", 4)]
    for operands, expected in (("xwo", False), ("xwob", True)):
        graph = made(tmp_path, [node("DeformConv", [*operands], ["y"])], [PICTURE], weights)
        assert one(graph)[1]["bias"] is expected


def test_part_of_a_constants_shape_is_worked_out(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["w"], ["s"], start=1),
        node("Expand", ["x", "s"], ["y"]),
    ]
    graph = made(tmp_path, nodes, [tensor("x", [1])], [weight("w", 2, 3)])
    assert [r.shape for _, r in graph if r.op == "expand"] == [(3,)]
