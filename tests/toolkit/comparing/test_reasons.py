"""What is told as explained is so: the reasons are checked, and others are not told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from tests.toolkit.comparing.test_truth import X, graph_of
from tests.toolkit.onnx_graph.files import saved, tensor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it
from torch.nn.utils import fuse_conv_bn_eval

from netloft.comparing import Difference, diff
from netloft.comparing.entry import EXACT
from netloft.onnx_graph import read_onnx
from netloft_exporters.onnx import write_onnx


class Layers(nn.Module):
    """A net of one function over some layers."""

    def __init__(self, do: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.do = do
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.do(self, x)


def between(a: nn.Module, b: nn.Module) -> Difference:
    return diff(graph_of(a), graph_of(b))


def convs() -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, 3)
    padded = copy.deepcopy(plain)
    padded.padding = (1, 1)
    return plain, padded


def alone(s: Any, x: Tensor) -> Tensor:
    found: Tensor = s.c(x)
    return found


PADS: dict[str, dict[str, Any]] = {
    "value": {"pad": (1, 1, 1, 1), "value": 5.0},
    "mode": {"pad": (1, 1, 1, 1), "mode": "reflect"},
    "one axis": {"pad": (1, 1)},
    "one end": {"pad": (2, 0, 2, 0)},
}


@pytest.mark.parametrize("name", PADS)
def test_only_zeros_around_the_picture_are_folded_in(name: str) -> None:
    plain, padded = convs()
    before = Layers(lambda s, x: s.c(F.pad(x, **PADS[name])), c=plain)
    found = between(before, Layers(alone, c=padded))
    assert {c.entry.op for c in found.unexplained} >= {"pad", "conv2d"}


def test_a_padding_explains_no_weight() -> None:
    plain, padded = convs()
    before = Layers(lambda s, x: s.c(F.pad(x, (1, 1, 1, 1))), c=plain)
    assert not between(before, Layers(alone, c=padded)).unexplained
    other = nn.Conv2d(4, 4, 3, padding=1)
    (change,) = between(before, Layers(alone, c=other)).unexplained
    assert [row[0] for row in change.what] == ["padding", "weight differs in", "bias differs in"]


def test_a_norm_is_folded_only_where_nothing_else_reads_the_layer() -> None:
    plain, _ = convs()
    norm = nn.BatchNorm2d(4).eval()
    nn.init.uniform_(norm.get_buffer("running_var"), 0.5, 2)
    fused = fuse_conv_bn_eval(plain.eval(), norm)

    def twice(s: Any, x: Tensor) -> Tensor:
        y = s.c(x)
        found: Tensor = s.n(y) + y
        return found

    def both(s: Any, x: Tensor) -> Tensor:
        y = s.c(x)
        found: Tensor = y + y
        return found

    once = Layers(lambda s, x: s.n(s.c(x)), c=plain, n=norm)
    assert not between(once, Layers(alone, c=fused)).unexplained
    assert between(Layers(twice, c=plain, n=norm), Layers(both, c=fused)).unexplained


def test_a_layer_that_is_never_written_out_is_not_explained(tmp_path: Path) -> None:
    plain, _ = convs()
    parts = Layers(alone, c=nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid())).eval()
    assert len(between(Layers(alone, c=plain), parts).unexplained) >= 2
    path = tmp_path / "net.onnx"
    write_onnx(graph_of(parts), parts, {"x": X}, path, prove=False)
    assert diff(graph_of(Layers(alone, c=plain)), path).unexplained


@pytest.mark.parametrize("kind", [torch.int32, torch.float16])
def test_a_cast_that_loses_something_is_not_explained(kind: torch.dtype) -> None:
    plain, _ = convs()
    before = Layers(lambda s, x: s.c(x.to(kind).float()), c=plain)
    found = between(before, Layers(alone, c=plain))
    assert "to" in {c.entry.op for c in found.unexplained}


def test_a_dropout_is_explained_and_one_that_trains_is_not(tmp_path: Path) -> None:
    plain, _ = convs()
    with_dropout = Layers(lambda s, x: s.c(s.d(x)), c=plain, d=nn.Dropout())
    found = between(with_dropout, Layers(alone, c=plain))
    assert (len(found.unexplained), found.equal) == (0, False)
    x, y = tensor("x", [2, 4]), tensor("y", [2, 4])
    rate = numpy_helper.from_array(np.asarray(0.5, np.float32), "rate")
    trains = numpy_helper.from_array(np.asarray(True), "trains")
    relu = helper.make_node("Relu", ["d"], ["y"])
    paths = []
    for i, operands in enumerate((["x"], ["x", "rate"], ["x", "rate", "trains"])):
        folder = tmp_path / str(i)
        folder.mkdir()
        drop = helper.make_node("Dropout", operands, ["d"])
        paths.append(saved(folder, [drop, relu], [x], [y], [rate, trains]))
    bare = saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [x], [y])
    assert [len(diff(path, bare).unexplained) for path in paths] == [0, 0, 1]


def test_a_quantisation_is_not_explained(tmp_path: Path) -> None:
    x, y = tensor("x", [2, 4]), tensor("y", [2, 4])
    scale = numpy_helper.from_array(np.asarray(0.1, np.float32), "s")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    (tmp_path / "one").mkdir()
    path = saved(tmp_path / "one", nodes, [x], [y], [scale])
    bare = saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [x], [y])
    assert len(diff(path, bare).unexplained) == 2


def gemm(folder: Path, weight: np.ndarray[Any, Any], **attributes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], **attributes)
    x, y = tensor("x", [2, 4]), tensor("y", [2, 4])
    return saved(folder, [node], [x], [y], [numpy_helper.from_array(weight, "w")])


def test_a_square_weight_is_not_its_transpose(tmp_path: Path) -> None:
    layer = nn.Linear(4, 4, bias=False)
    weight = layer.weight.detach().numpy()
    graph = graph_of(Layers(alone, c=layer), torch.zeros(2, 4))
    right = [
        gemm(tmp_path / "a", weight, transB=1),
        gemm(tmp_path / "b", np.ascontiguousarray(weight.T)),
    ]
    wrong = [
        gemm(tmp_path / "c", weight),
        gemm(tmp_path / "d", np.ascontiguousarray(weight.T), transB=1),
    ]
    for path in right:
        assert not [r for c in diff(graph, path).changes for r in c.what if "weight" in r[0]]
        for other in wrong:
            assert not diff(path, other).equal
    for path in wrong:
        assert [r for c in diff(graph, path).changes for r in c.what if "weight" in r[0]]


def test_flat_data_in_another_shape_is_not_the_same() -> None:
    class Adds(nn.Module):
        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.arange(4.0).reshape(shape))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.p

    x = torch.zeros(2, 4, 4)
    found = diff(graph_of(Adds(1, 4, 1), x), graph_of(Adds(1, 1, 4), x))
    assert [row[0] for c in found.changes for row in c.what] == ["weight shape"]


def test_constants_of_one_name_in_two_functions(tmp_path: Path) -> None:
    def function(name: str, value: float) -> onnx.FunctionProto:
        held = numpy_helper.from_array(np.full((1, 4), value, np.float32))
        nodes = [
            helper.make_node("Constant", [], ["c"], value=held),
            helper.make_node("Mul", ["a", "c"], ["b"]),
        ]
        return helper.make_function("my", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 20)])

    def file(folder: str, first: float, second: float) -> Path:
        (tmp_path / folder).mkdir()
        calls = [
            helper.make_node("F", ["x"], ["t"], domain="my"),
            helper.make_node("G", ["t"], ["y"], domain="my"),
        ]
        return saved(
            tmp_path / folder, calls, [tensor("x", [2, 4])], [tensor("y", [2, 4])],
            functions=[function("F", first), function("G", second)],
            opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("my", 1)],
        )  # fmt: skip

    assert diff(file("a", 1, 2), file("b", 1, 2)).equal
    assert not diff(file("c", 1, 2), file("d", 1, 3)).equal
    assert not diff(file("e", 1, 2), file("f", 2, 2)).equal


def test_what_a_file_says_of_a_node_is_compared(tmp_path: Path) -> None:
    path = gemm(tmp_path / "a", np.ones((4, 4), np.float32))
    graphs = [read_onnx(path), read_onnx(path)]
    assert diff(*graphs).proven
    for graph, told in zip(graphs, ("alpha 1", "alpha 2"), strict=True):
        for node, record in graph:
            if record.op == "linear":
                node.meta[EXACT] = ("Gemm", told)
    (change,) = diff(*graphs).unexplained
    assert change.words == "attributes differ"
    for node, _ in graphs[1]:
        node.meta.pop(EXACT, None)
    assert diff(*graphs).equal
