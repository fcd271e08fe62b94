"""What a file says of each node beside its wiring, so that two files can be compared exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.toolkit.onnx_graph.files import BOOL, INT64, ints, saved, tensor, weight

from netloft.comparing import diff
from netloft.graph import Graph
from netloft.onnx_graph import WEIGHTS, read_onnx
from netloft.onnx_graph.exact import EXACT

node = helper.make_node
PICTURE = [tensor("x", [1, 4, 8, 8])]


def made(
    folder: Path, nodes: list[Any], weights: Sequence[Any] = (), inputs: Any = None, **more: Any
) -> Graph:
    sets = [helper.make_opsetid("", more.pop("opset", 20))]
    path = saved(
        folder, nodes, inputs or PICTURE, [tensor("y", None)], weights, opset_imports=sets, **more
    )
    return read_onnx(path)


def told(graph: Graph) -> list[Any]:
    return [n.meta[EXACT] for n, _ in graph]


def number(name: str, *values: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def _if(value: float) -> list[onnx.NodeProto]:
    inner = helper.make_graph(
        [node("Mul", ["x", "k"], ["o"])], "t", [], [tensor("o", None)], [number("k", value)]
    )
    return [node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]


def _one(op: str, *operands: str, **attributes: Any) -> list[onnx.NodeProto]:
    return [node(op, ["x", *operands], ["y"], **attributes)]


def _norm(**more: Any) -> list[onnx.NodeProto]:
    return [node("BatchNormalization", ["x", *"sbmv"], ["y"], **more)]


SBMV = [weight(name, 4) for name in "sbmv"]
BOUNDS = [ints("zero", 0), ints("one", 1), ints("two", 2)]
SCALAR = [numpy_helper.from_array(np.asarray(i), f"i{i}") for i in (0, 1)]
GRID = [weight("g", 1, 2, 2, 2)]
RNN = [weight("w", 1, 24, 8), weight("r", 1, 24, 8)]

PAIRS: dict[str, tuple[Any, Any, list[Any]]] = {
    "Slice bounds": (_one("Slice", "zero", "one"), _one("Slice", "zero", "two"), BOUNDS),
    "Slice of": (_one("Slice", "zero", "one"), _one("Slice", "zero", "one", "two"), BOUNDS),
    "Gather's index": (_one("Gather", "i0", axis=1), _one("Gather", "i1", axis=1), SCALAR),
    "CumSum": (_one("CumSum", "i0"), _one("CumSum", "i1"), SCALAR),
    "TopK": (_one("TopK", "one"), _one("TopK", "one", largest=0), BOUNDS),
    "Einsum": (
        _one("Einsum", "x", equation="abcd,abcd->abcd"),
        _one("Einsum", "x", equation="abcd,abdc->abcd"),
        [],
    ),
    "Sub": ([node("Sub", ["x", "w"], ["y"])], [node("Sub", ["w", "x"], ["y"])], [weight("w", 4)]),
    "training_mode": (_norm(), _norm(training_mode=1), SBMV),
    "auto_pad": (
        _one("Conv", "w", auto_pad="SAME_UPPER"),
        _one("Conv", "w", auto_pad="SAME_LOWER"),
        [weight("w", 4, 4, 3, 3)],
    ),
    "HardSigmoid": (_one("HardSigmoid"), _one("HardSigmoid", alpha=0.3), []),
    "in a branch": (_if(1), _if(2), []),
    "DepthToSpace": (
        _one("DepthToSpace", blocksize=2), _one("DepthToSpace", blocksize=2, mode="CRD"), [],
    ),
    "GridSample": (_one("GridSample", "g"), _one("GridSample", "g", mode="nearest"), GRID),
    "linear_before_reset": (
        _one("GRU", "w", "r", hidden_size=8), _one("GRU", "w", "r", linear_before_reset=1), RNN,
    ),
    "absent": (_one("Clip", "", "i1"), _one("Clip", "i1"), SCALAR),
}  # fmt: skip


@pytest.mark.parametrize("what", PAIRS)
def test_what_two_nodes_differ_in_is_told(what: str, tmp_path: Path) -> None:
    first, second, weights = PAIRS[what]
    inputs = [*PICTURE, tensor("c", [], BOOL)]
    a, b = (made(tmp_path, nodes, weights, inputs) for nodes in (first, second))
    assert told(a) != told(b)
    assert hash(tuple(told(a)))
    assert told(a) == told(made(tmp_path, first, weights, inputs))


def test_a_reshape_is_told_by_its_target_however_it_is_worked_out(tmp_path: Path) -> None:
    def reshaped(first: str, last: int) -> Graph:
        nodes = [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", first, "two"], ["n"]),
            node("Concat", ["n", "rest"], ["to"], axis=0),
            node("Reshape", ["x", "to"], ["y"]),
        ]
        return made(tmp_path, nodes, [*BOUNDS, ints("rest", last)], [tensor("x", ["n", 2, 2, 2])])

    def of(graph: Graph) -> Any:
        return next(n.meta[EXACT] for n, r in graph if r.op == "reshape")

    assert of(reshaped("zero", -1)) == of(reshaped("zero", -1))
    assert len({of(reshaped("zero", -1)), of(reshaped("one", -1)), of(reshaped("zero", 4))}) == 3


def test_the_set_counts_where_the_operator_differs(tmp_path: Path) -> None:
    def of(opset: int, op: str) -> list[Any]:
        return told(made(tmp_path, _one(op), opset=opset))

    assert of(11, "Softmax") != of(13, "Softmax")
    assert of(14, "Relu") == of(17, "Relu")


def test_defaults_and_names_of_values_make_no_difference(tmp_path: Path) -> None:
    assert told(made(tmp_path, _one("Elu"))) == told(made(tmp_path, _one("Elu", alpha=1.0)))
    renamed = [node("Relu", ["x"], ["a"]), node("Slice", ["a", "from", "to"], ["y"])]
    plain = [node("Relu", ["x"], ["b"]), node("Slice", ["b", "zero", "one"], ["y"])]
    assert told(made(tmp_path, renamed, [ints("from", 0), ints("to", 1)])) == told(
        made(tmp_path, plain, BOUNDS)
    )


@pytest.mark.parametrize("part", [0, 1])
def test_the_part_that_is_read_is_the_position_among_all_results(part: int, tmp_path: Path) -> None:
    nodes = [node("Split", ["x"], ["p", "q"], axis=1, num_outputs=2)]
    graph = made(tmp_path, [*nodes, node("Relu", ["pq"[part]], ["y"])])
    parts = [n.args[1] for n, record in graph if record.op == "getitem"]
    assert parts == [1] * part
    (operands,) = [dict(n.meta[EXACT])["operands"] for n, r in graph if r.op == "relu"]
    assert operands == (("value", part),)


def _scaled(op: str) -> list[onnx.NodeProto]:
    return [node(op, ["w", "s"], ["u"]), node("Conv", ["x", "u"], ["y"])]


def test_how_a_weight_is_worked_out_is_told(tmp_path: Path) -> None:
    weights = [weight("w", 4, 4, 3, 3), weight("s", 4, 1, 1, 1)]
    conv: Callable[[str], Any] = lambda op: next(  # noqa: E731
        n.meta[EXACT] for n, r in made(tmp_path, _scaled(op), weights) if r.op == "conv2d"
    )
    assert conv("Mul") != conv("Div")


def test_constants_of_functions_are_told_by_their_contents(tmp_path: Path) -> None:
    def graph(value: float) -> Graph:
        table = numpy_helper.from_array(np.full((50, 50), value, np.float32))
        body = [node("Constant", [], ["c"], value=table), node("MatMul", ["a", "c"], ["b"])]
        sets = [helper.make_opsetid("", 20)]
        functions = [helper.make_function("own", "F", ["a"], ["b"], body, sets)]
        calls = [node("F", ["x"], ["y"], domain="own")]
        path = saved(
            tmp_path, calls, [tensor("x", [1, 50])], [tensor("y", None)],
            functions=functions, opset_imports=[*sets, helper.make_opsetid("own", 1)],
        )  # fmt: skip
        return read_onnx(path)

    def product(graph: Graph) -> Any:
        return next(n.meta[EXACT] for n, record in graph if record.op == "linear")

    assert product(graph(1)) == product(graph(1))
    assert product(graph(1)) != product(graph(2))


def test_values_of_weights_are_left_to_the_weights(tmp_path: Path) -> None:
    def graph(value: float) -> Graph:
        slope = numpy_helper.from_array(np.full(4, value, np.float32), "w")
        nodes = [node("PRelu", ["x", "w"], ["a"]), node("Add", ["a", "w"], ["y"])]
        return made(tmp_path, nodes, [slope], [tensor("x", [1, 4])])

    a, b = graph(1), graph(2)
    assert told(a) == told(b)
    assert [n.meta[WEIGHTS] for n, r in a if r.op in ("prelu", "parameter")] == [("w",)] * 2


def test_integers_and_single_elements_are_listed(tmp_path: Path) -> None:
    index = numpy_helper.from_array(np.arange(2000) % 4, "index")
    nodes = [
        node("PRelu", ["x", "slope"], ["a"]),
        node("Conv", ["a", "w"], ["b"]),
        node("Gather", ["b", "index"], ["y"], axis=1),
    ]
    weights = [weight("slope", 1), weight("w", 1, 1, 1, 1), index]
    graph = made(tmp_path, nodes, weights, [tensor("x", [1, 1, 8, 8])])
    listed = {r.op: n.meta[WEIGHTS] for n, r in graph if n.meta[WEIGHTS]}
    assert listed == {"prelu": ("slope",), "conv2d": ("w",), "index_select": ("index",)}
    assert graph.totals.n_params == 2


def test_numbers_in_the_structure_are_told_and_not_looked_for(tmp_path: Path) -> None:
    def graph(value: float) -> Graph:
        constant = node("Constant", [], ["w"], value_floats=[value] * 4)
        return made(tmp_path, [constant, node("PRelu", ["x", "w"], ["y"])], [], [tensor("x", [4])])

    assert told(graph(1)) != told(graph(2))
    assert not any(n.meta[WEIGHTS] for n, _ in graph(1))
    assert diff(graph(1), graph(1)).equal


def test_sparse_weights_are_told_by_their_contents(tmp_path: Path) -> None:
    def graph(value: float) -> Graph:
        sparse = helper.make_sparse_tensor(
            helper.make_tensor("w", 1, [1], [value]), helper.make_tensor("i", INT64, [1], [2]), [4]
        )
        model = onnx.load(
            saved(tmp_path, _one("PRelu", "w"), [tensor("x", [4])], [tensor("y", None)])
        )
        model.graph.sparse_initializer.append(sparse)
        onnx.save(model, tmp_path / "sparse.onnx")
        return read_onnx(tmp_path / "sparse.onnx")

    assert told(graph(1)) != told(graph(2))
