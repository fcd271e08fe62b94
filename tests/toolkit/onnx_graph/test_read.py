"""Any ONNX file as a graph: structure, hierarchy, shapes, weights, and what is hidden."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
import torchvision
from onnx import helper
from tests.toolkit.onnx_graph.files import (
    BOOL,
    FLOAT,
    INT64,
    PICTURE,
    exported,
    ints,
    net,
    saved,
    tensor,
    weight,
    written,
)
from torch import Tensor, nn

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft.onnx_graph import read_onnx
from netloft.tracing import trace
from netloft_diagrams.build import build
from netloft_diagrams.scene import boxes_of, frames_of
from netloft_exporters.onnx import write_onnx

ROUTES: dict[str, Callable[[Path], Path]] = {
    "netloft": written,
    "functions": lambda folder: written(folder, functions=True),
    "dynamo": lambda folder: exported(folder, dynamo=True),
    "torchscript": lambda folder: exported(folder, dynamo=False),
}


@pytest.fixture(scope="module", params=ROUTES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ROUTES[request.param](tmp_path_factory.mktemp(request.param))


def ops(graph: Graph) -> list[str]:
    return [record.op for _, record in graph if record.value is not None]


def test_every_exporters_file_has_the_hierarchy_of_the_network(file: Path) -> None:
    scene = build(read_onnx(file))
    (frame,) = [frame for frame in frames_of(scene.root) if frame.times == 2]
    assert (frame.path, frame.last_path) == ("blocks.0", "blocks.1")
    assert [box.title for box in boxes_of(frame)] == ["Conv 3×3 → 8", "Add"]
    titles = [box.title for box in boxes_of(scene.root)]
    assert titles[1] == "Conv 3×3 → 8"
    assert "Linear → 5" in titles


def test_costs_are_those_of_the_module(file: Path) -> None:
    traced = trace(net(), (PICTURE,))
    read = read_onnx(file)
    assert read.totals.macs == traced.totals.macs
    assert read.totals.depth == traced.totals.depth
    # each exporter folds the two norms, of 8 channels, into a bias each
    assert read.totals.n_params == traced.totals.n_params - 2 * 8


def test_every_node_is_in_one_box_or_counted_as_hidden(file: Path) -> None:
    graph = read_onnx(file)
    scene = build(graph)
    drawn = Counter(n for b in boxes_of(scene.root) for n in (*b.ops, *b.covers))
    drawn.update(scene.hidden)
    assert drawn == Counter(node.name for node, _ in graph)
    model = onnx.load(file, load_external_data=False)
    if not model.functions:
        own = {"input", "output", "parameter"}
        nodes = [record for _, record in graph if record.op not in own]
        assert len(nodes) == len(model.graph.node)


def test_parameters_are_the_weights_of_the_file(file: Path) -> None:
    model = onnx.load(file, load_external_data=False)
    sizes = {t.name: math.prod(t.dims) for t in model.graph.initializer if t.data_type == FLOAT}
    graph = read_onnx(file)
    assert graph.totals.n_params == sum(sizes.values())
    assert sorted(n for _, r in graph for n in r.parameters) == sorted(sizes)


def test_the_classes_are_those_that_the_exporter_tells(file: Path) -> None:
    classes = {call.path: call.class_name for call in read_onnx(file).modules}
    told = "module" if file.parent.name.startswith("torchscript") else "Block"
    assert classes["blocks.1"] == told


def test_a_graph_of_a_file_does_not_run(file: Path) -> None:
    graph = read_onnx(file)
    with pytest.raises(UsageError, match="cannot be run"):
        graph.module(PICTURE)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_the_file_of_a_network_is_drawn_as_the_network(name: str, tmp_path: Path) -> None:
    module = getattr(torchvision.models, name)().eval()
    traced = trace(module, (torch.zeros(2, 3, 64, 64),), name=name)
    write_onnx(traced, module, {"x": torch.zeros(2, 3, 64, 64)}, tmp_path / "net.onnx", prove=False)
    read = read_onnx(tmp_path / "net.onnx")
    assert read.totals.macs == traced.totals.macs
    assert (read.name, read.class_name) == (traced.name, traced.class_name)
    ours, theirs = build(read).root, build(traced).root
    told = [(f.path, f.class_name, f.times, f.last_path) for f in frames_of(ours)]
    assert told == [(f.path, f.class_name, f.times, f.last_path) for f in frames_of(theirs)]
    assert sum(frame.times == 2 for frame in frames_of(ours)) >= 1
    assert [box.title for box in boxes_of(ours)] == [box.title for box in boxes_of(theirs)]


def test_weights_beside_the_file_are_never_opened(tmp_path: Path) -> None:
    far = weight("w", 4, 4)
    far.ClearField("raw_data")
    far.data_location = onnx.TensorProto.EXTERNAL
    far.external_data.add(key="location", value="../../etc/nothing")
    path = saved(
        tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", ["n", 4])], [tensor("y", ["n", 4])], [far],
    )  # fmt: skip
    graph = read_onnx(path)
    assert graph.totals.n_params == 16
    assert graph.inputs[0].info.shape == ("batch", 4)


def test_a_bias_is_told_with_its_product_and_a_free_one_is_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("Add", ["s", "free"], ["y"]),
        helper.make_node("Mul", ["y", "half"], ["z"]),
    ]
    weights = [weight("w", 4, 3), weight("b", 3), weight("free", 3), weight("half")]
    path = saved(tmp_path, nodes, [tensor("x", ["n", 4])], [tensor("z", ["n", 3])], weights)
    boxes = list(boxes_of(build(read_onnx(path)).root))
    assert [box.title for box in boxes[1:-1]] == ["Linear → 3", "+ free[3]", "× 1"]
    assert boxes[1].lines == ("Bias",)


def test_integers_with_scales_are_drawn_as_the_layers_they_are(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w8", "s", "z"], ["w"]),
        helper.make_node("Conv", ["d", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
    ]
    weights = [
        helper.make_tensor("s", FLOAT, [], [0.1]),
        helper.make_tensor("z", onnx.TensorProto.INT8, [], [0]),
        helper.make_tensor("w8", onnx.TensorProto.INT8, [2, 3, 3, 3], [1] * 54),
    ]
    shapes = [tensor("x", ["n", 3, 8, 8])], [tensor("y", None)]
    graph = read_onnx(saved(tmp_path, nodes, *shapes, weights))
    assert graph.totals.n_params == 54
    boxes = list(boxes_of(build(graph).root))
    assert [box.title for box in boxes] == ["x", "Conv 3×3 → 2", "y"]
    before, behind = ("after Quantize", "after Dequantize"), ("Quantize", "Dequantize")
    assert boxes[1].lines == ("no pad", *before, *behind)


def _branches() -> dict[str, onnx.GraphProto]:
    yes = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["yes"])],
        "yes", [], [tensor("yes", None)],
    )  # fmt: skip
    no = helper.make_graph(
        [helper.make_node("Identity", ["outer"], ["no"])], "no", [], [tensor("no", None)]
    )
    return {"then_branch": yes, "else_branch": no}


def test_a_branch_is_one_box_that_says_what_it_holds(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Tanh", ["x"], ["outer"]),
        helper.make_node("If", ["when"], ["y"], **_branches()),
    ]
    inputs = [tensor("x", [1, 2]), tensor("when", [], BOOL)]
    graph = read_onnx(saved(tmp_path, nodes, inputs, [tensor("y", [1, 2])]))
    (box,) = [box for box in boxes_of(build(graph).root) if box.title == "If"]
    assert box.lines == ("then: Relu, Neg", "else: Identity")
    # what is read inside of the branches is read by the box
    assert set(box.reads) == {"input_0", "input_1", "Tanh"}


def test_loops_and_several_results(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["w"])],
        "body", [tensor("i", [], INT64), tensor("go", [], BOOL), tensor("v", [2])],
        [tensor("on", [], BOOL), tensor("w", [2])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], num_outputs=2),
        helper.make_node("Loop", ["times", "", "a"], ["l"], body=body),
        helper.make_node("Concat", ["l", "b"], ["y"], axis=0),
    ]
    path = saved(tmp_path, nodes, [tensor("x", [4])], [tensor("y", [4])], [ints("times", 3)])
    boxes = {box.title: box for box in boxes_of(build(read_onnx(path)).root)}
    assert boxes["Loop"].lines == ("body: Identity, Relu",)
    assert len(boxes["Split"].gives) == 2
    assert set(boxes["Cat"].reads) == {*boxes["Loop"].gives, boxes["Split"].gives[1]}


def test_unknown_operators_keep_their_name_and_say_whose_they_are(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("My_Op", ["x", ""], ["a"], domain="odd", level=3),
        helper.make_node("FusedConv", ["a", "w"], ["y"], domain="com.microsoft"),
    ]
    path = saved(
        tmp_path, nodes, [tensor("x", [1, 3, 8, 8])], [tensor("y", None)], [weight("w", 4, 3, 1, 1)]
    )
    boxes = list(boxes_of(build(read_onnx(path)).root))
    assert (boxes[1].title, boxes[1].lines) == ("My_Op", ("odd",))
    assert boxes[2].title == "Conv 1×1 → 4"


def test_sums_on_lengths_are_counted_and_not_drawn(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "minus"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    weights = [ints("zero", 0), ints("minus", -1)]
    graph = read_onnx(
        saved(tmp_path, nodes, [tensor("x", ["n", 2, 3])], [tensor("y", None)], weights)
    )
    assert ops(graph) == ["input", "reshape", "output"]
    assert len(build(graph).hidden) == 3


def test_a_reshape_tells_the_batch_that_shape_inference_loses(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "to"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("Add", ["g", "g"], ["y"]),
    ]
    graph = read_onnx(
        saved(tmp_path, nodes, [tensor("x", ["n", 2, 3])], [tensor("y", None)], [ints("to", -1, 6)])
    )
    assert {record.shape for _, record in graph if record.op in ("relu", "add")} == {("batch", 6)}


def test_names_with_slashes_are_frames_and_modules_in_turn_have_several_calls(
    tmp_path: Path,
) -> None:
    chain = ["a/one/Relu", "a/two/Tanh", "b/x/Relu", "b/y/Exp", "a/three/Relu", "a/four/Exp"]
    nodes = [
        helper.make_node(name.rpartition("/")[2], [f"v{i}"], [f"v{i + 1}"], name=name)
        for i, name in enumerate(chain)
    ]
    graph = read_onnx(saved(tmp_path, nodes, [tensor("v0", [1])], [tensor("v6", [1])]))
    calls = [str(r.calls[1]) for _, r in graph if len(r.calls) > 1]
    assert list(dict.fromkeys(calls)) == ["a", "b", "a@1"]


def test_a_weight_that_two_layers_share_counts_once(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", [f"v{i}", "w"], [f"v{i + 1}"]) for i in range(3)]
    spare = weight("spare", 7)
    path = saved(
        tmp_path, nodes, [tensor("v0", ["n", 4])], [tensor("v3", None)], [weight("w", 4, 4), spare]
    )
    graph = read_onnx(path)
    assert graph.totals.n_params == 16
    assert graph.unused_parameters == {"spare": 7}


def test_nodes_in_any_order_are_read(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Tanh", ["x"], ["a"])]
    graph = read_onnx(saved(tmp_path, nodes, [tensor("x", [1])], [tensor("y", [1])]))
    assert ops(graph) == ["input", "tanh", "relu", "output"]


def test_functions_take_their_attributes_from_the_call(tmp_path: Path) -> None:
    slope = helper.make_node("LeakyRelu", ["p"], ["q"])
    slope.attribute.add(name="alpha", ref_attr_name="steep", type=onnx.AttributeProto.FLOAT)
    function = helper.make_function(
        "own", "Steep", ["p"], ["q"], [slope], [helper.make_opsetid("", 20)], ["steep"]
    )
    nodes = [
        helper.make_node("Steep", ["x"], ["a"], domain="own", steep=0.5, name="first"),
        helper.make_node("Steep", ["a"], ["y"], domain="own", steep=0.25, name="second"),
    ]
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    path = saved(
        tmp_path, nodes, [tensor("x", [3])], [tensor("y", [3])],
        functions=[function], opset_imports=sets,
    )  # fmt: skip
    graph = read_onnx(path)
    told = [r.attributes["negative_slope"] for _, r in graph if r.op == "leaky_relu"]
    assert told == [0.5, 0.25]
    assert [r.module for _, r in graph if r.op == "leaky_relu"] == ["first", "second"]
    assert {r.shape for _, r in graph} == {(3,)}


class Heavy(nn.Module):
    """Layers whose costs and names follow from their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell = nn.Embedding(11, 6), nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(self.table(x))[0]


def test_embeddings_and_recurrent_layers(tmp_path: Path) -> None:
    module = Heavy().eval()
    example = torch.zeros(2, 4, dtype=torch.int64)
    graph = trace(module, (example,))
    write_onnx(graph, module, {"x": example}, tmp_path / "net.onnx", prove=False)
    read = read_onnx(tmp_path / "net.onnx")
    titles = [box.title for box in boxes_of(build(read).root)]
    assert "Embedding → 6" in titles
    assert "LSTM → 5" in titles
    assert read.totals.macs == graph.totals.macs
