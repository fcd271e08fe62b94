"""An edit is private until it is finished, and gives back the very graph where nothing changed."""

from __future__ import annotations

from typing import Any

import torch
from tests.toolkit.passes.nets import equals, net, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.graph import annotation
from netloft.graph.results import output_nodes
from netloft.passes.edit import Edit, called, info_of


def forward(m: Any, x: Tensor) -> Any:
    return {"y": m.fc(x).relu(), "z": m.fc(x * m.scale)}


PARTS: dict[str, Any] = {"fc": nn.Linear(6, 3), "scale": nn.Parameter(torch.randn(1))}


def test_without_a_change_it_gives_the_very_graph() -> None:
    graph = traced(net(forward, **PARTS))
    edit = Edit(graph)
    assert [node.name for node, _ in edit] == [node.name for node, _ in graph]
    assert edit.finish() is graph
    assert Edit.of(edit).finish() is graph


def test_a_change_stays_private_and_names_and_outputs_are_kept() -> None:
    module = net(forward, **PARTS)
    graph = traced(module)
    before = text(graph)
    edit = Edit(graph)
    (relu,) = (node for node in edit.fx.nodes if node.name == "relu")
    made = edit.insert(relu, "call_function", torch.relu, relu.args, annotation(relu))
    edit.note(relu, "is a function now")
    edit.replace(relu, made)
    fork = Edit.of(edit)
    finished = edit.finish()
    assert text(graph) == before
    assert [value.name for value in finished.outputs] == ["y", "z"]
    assert [value.node for value in finished.outputs] == ["relu_1", "fc_1"]
    assert [value.node for value in finished.inputs] == ["x"]
    assert equals(finished, module)
    assert fork.changes == 0
    assert fork.notes == edit.notes
    assert equals(fork.finish(), module)


def test_a_module_of_other_calls_too_gets_a_name_of_its_own() -> None:
    def shared(m: Any, x: Tensor) -> Any:
        return m.fc(x), m.fc(x + 1), F.linear(x, m.fc.weight), m.alone(x)

    module = net(shared, fc=nn.Linear(6, 6), alone=nn.Linear(6, 6))
    edit = Edit(traced(module))
    calls = [node for node in edit.fx.nodes if node.op == "call_module"]
    for node in calls:
        edit.put_module(node, nn.Identity())
    assert [node.target for node in calls] == ["fc_1", "fc_2", "alone"]
    graph = edit.finish()
    x = torch.randn(2, 4, 6, 6)
    first, second, third, last = graph.module(x)
    assert torch.equal(first, x)
    assert torch.equal(second, x + 1)
    assert torch.equal(third, F.linear(x, module.get_parameter("fc.weight")))
    assert torch.equal(last, x)


def test_a_module_that_a_function_reads_from_gets_one_too() -> None:
    module = net(lambda m, x: m.fc(x) + F.linear(x, m.fc.weight), fc=nn.Linear(6, 6))
    edit = Edit(traced(module))
    (call,) = (node for node in edit.fx.nodes if node.op == "call_module")
    edit.put_module(call, nn.Identity())
    assert call.target == "fc_1"
    edit.finish()


def test_a_constant_is_wide_until_the_end() -> None:
    graph = traced(net(forward, **PARTS))
    edit = Edit(graph)
    (scale,) = (node for node in edit.fx.nodes if node.op == "get_attr")
    third = torch.tensor([1 / 3], dtype=torch.float64)
    edit.replace(scale, edit.constant(scale, third, annotation(scale)))
    wide, short = edit.finish(wide=True), edit.finish()
    assert torch.equal(wide.module.get_buffer("folded"), third)
    assert torch.equal(short.module.get_buffer("folded"), third.float())
    assert torch.equal(Edit(wide).finish().module.get_buffer("folded"), third.float())
    assert annotation(short.node("folded")).op == "parameter"


def test_what_it_reads_of_weights_are_the_tensors_themselves() -> None:
    module = net(forward, **PARTS)
    edit = Edit(traced(module))
    tensors = [edit.tensor_of(node) for node in edit.fx.nodes]
    assert [t for t in tensors if t is not None] == [PARTS["scale"]]
    modules = [edit.module_of(node) for node in edit.fx.nodes if node.op == "call_module"]
    assert len({id(m) for m in modules}) == 1
    assert modules[0].weight is PARTS["fc"].weight


def test_a_weight_that_is_not_read_any_more_is_counted_by_its_heir() -> None:
    graph = traced(net(forward, **PARTS))
    edit = Edit(graph)
    nodes = {node.name: node for node in edit.fx.nodes}
    edit.drop_unread([nodes["scale"]], nodes["fc_1"])  # it is read: nothing happens
    assert edit.finish() is graph
    edit.replace(nodes["mul"], nodes["x"])
    edit.drop_unread([nodes["scale"], nodes["x"]], nodes["fc_1"])
    made = edit.finish()
    assert [node.op for node, _ in made if node.op == "get_attr"] == []
    assert annotation(made.node("fc_1")).parameters == ("scale",)
    assert made.totals.n_params == graph.totals.n_params


def test_nodes_of_a_result_are_named_tensor_by_tensor() -> None:
    module = net(lambda m, x: {"a": m.lstm(x[:, 0]), "b": (x, None)}, lstm=nn.LSTM(6, 2))
    graph = traced(module)
    (output,) = (node for node, _ in graph if node.op == "output")
    assert output_nodes(output.args[0]) == ["lstm", "lstm", "lstm", "x"]
    assert output_nodes(3) == [""]
    assert info_of(graph.node("lstm")) is None


def test_a_node_is_called_on_what_its_operands_stand_for() -> None:
    graph = traced(net(lambda m, x: m.fc(x.flatten(1, x.dim() - 2)).add(x.mean()), fc=PARTS["fc"]))
    x = torch.randn(2, 4, 6, 6)
    node = graph.node("flatten")
    made = called(node, lambda n: x if n.name == "x" else 2)
    assert torch.equal(made, x.flatten(1, 2))
    fc = called(graph.node("fc"), lambda n: made, PARTS["fc"])
    assert torch.equal(fc, PARTS["fc"](made))
