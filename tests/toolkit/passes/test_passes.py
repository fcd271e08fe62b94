"""The order of the passes, the rows that tell of them, and what becomes of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, equals, net, shapes_hold, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import UsageError
from netloft.graph.annotation import Annotation
from netloft.graph.graph import Graph, annotation
from netloft.parity.check import check_parity, require_parity
from netloft.parity.inputs import cases
from netloft.passes import (
    DEFAULT,
    PASSES,
    NotFunctionalError,
    Pass,
    Passed,
    PassRow,
    choose_passes,
    run_passes,
)
from netloft.passes.edit import Edit
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx


def everything(m: Any, x: Tensor) -> Any:
    (x * 3).sin_()  # nothing reads it
    h = m.relu(m.norm(m.conv(F.pad(m.drop(x), (1, 1, 1, 1)))))
    h += x
    h = h.permute(0, 2, 3, 1).permute(0, 3, 1, 2) * 2
    h = m.other(h)
    return h.flatten(1).reshape(x.shape[0], 2, 16) * m.scale.exp(), h.sin() + h.sin()


def parts() -> dict[str, Any]:
    return {
        "conv": nn.Conv2d(4, 4, 3),
        "norm": nn.BatchNorm2d(4),
        "relu": nn.ReLU(inplace=True),
        "drop": nn.Dropout(),
        "other": nn.Conv2d(4, 2, 3),
        "scale": nn.Parameter(torch.randn(1)),
    }


def run(function: Function, *passes: Pass, **given: Any) -> tuple[nn.Module, Graph, Passed]:
    module = net(function, **given)
    x = torch.randn(2, 4, 6, 6)
    graph = trace(module, {"x": x})
    return module, graph, run_passes(graph, passes or DEFAULT, example={"x": x})


def test_all_of_them_together() -> None:
    module, graph, passed = run(everything, **parts())
    assert (
        text(passed.graph)
        == """
%x: float32[batch, 4, 6, 6] = input()
%conv: float32[batch, 4, 6, 6] = conv2d(%x)  # conv
%relu: float32[batch, 4, 6, 6] = relu(%conv)  # relu
%iadd: float32[batch, 4, 6, 6] = add(%relu, %x)
%other: float32[batch, 2, 4, 4] = conv2d(%iadd)  # other
%reshape_1: float32[batch, 2, 16] = reshape(%other)
%folded: float32[1] = parameter()
%mul_2: float32[batch, 2, 16] = mul(%reshape_1, %folded)
%sin: float32[batch, 2, 4, 4] = sin(%other)
%add: float32[batch, 2, 4, 4] = add(%sin)
%output: float32[batch, 2, 16], float32[batch, 2, 4, 4] = output(%mul_2, %add)
"""
    )
    assert {row.name for row in passed.rows if row.status != "applied"} == set()
    assert equals(passed.graph, module, rounding=1e-5)
    assert shapes_hold(passed.graph)
    assert passed.graph.totals.n_params == graph.totals.n_params
    assert passed.graph.totals.macs == graph.totals.macs


def test_running_them_twice_changes_nothing() -> None:
    _, _, passed = run(everything, **parts())
    again = run_passes(passed.graph)
    assert again.graph is passed.graph
    assert {row.status for row in again.rows} == {"nothing to do"}
    assert again.notes == ()


def test_a_row_says_what_was_run_and_how_far_it_is_off() -> None:
    _, graph, passed = run(everything, **parts())
    first = passed.rows[0]
    assert first.name == "functionalise"
    assert (first.nodes_before, first.nodes_after) == (len(graph), len(graph))
    assert [row.name for row in passed.rows[1:]] == [function.__name__ for function in DEFAULT]
    for row, following in zip(passed.rows, passed.rows[1:], strict=False):
        assert row.nodes_after == following.nodes_before
        assert row.proof == "run before and after in float64 on fresh inputs"
        assert row.difference is not None
        assert row.difference < 1e-12
        assert row.seconds is not None
        assert row.ms_before is not None
        assert row.ms_after is not None
        assert min(row.seconds, row.ms_before, row.ms_after) > 0
    assert passed.rows[-1].nodes_after == len(passed.graph)


def test_without_an_example_nothing_is_run() -> None:
    graph = traced(net(everything, **parts()))
    passed = run_passes(graph)
    assert {(row.proof, row.difference, row.ms_before) for row in passed.rows} == {
        ("not run", None, None)
    }
    proven = run(everything, **parts())[2]
    assert text(passed.graph) == text(proven.graph)
    assert passed.notes == proven.notes


def test_a_pass_that_finds_nothing_is_not_run_for() -> None:
    _, graph, passed = run(lambda m, x: x.relu())
    assert passed.graph is graph
    assert passed.rows[0] == PassRow(
        "functionalise", 3, 3, "", "nothing to do", seconds=passed.rows[0].seconds
    )


def insert_behind(edit: Edit, op: str, target: Any, argument: float) -> None:
    """Let every reader of a relu read what a call makes of it."""
    for node, record in edit:
        if record.op == "relu":
            made = edit.insert(node.next, op, target, (node, argument), record)
            for user in [user for user in node.users if user is not made]:
                user.replace_input_with(node, made)
            edit.note(node, "changed")


def doubles_every_relu(edit: Edit) -> None:
    """Is wrong: what is read is twice what it was."""
    insert_behind(edit, "call_function", torch.mul, 2)


def shifts_a_little(edit: Edit) -> None:
    """Is wrong by less than float32 would show."""
    insert_behind(edit, "call_function", torch.mul, 1 + 1e-8)


def mixes_the_items(edit: Edit) -> None:
    """Is wrong for more than one item."""
    insert_behind(edit, "call_method", "flip", 0)


def forgets_an_operand(edit: Edit) -> None:
    """Is wrong: what is left does not run."""
    for node, record in edit:
        if record.op == "add":
            node.args = node.args[:1]
            edit.changes += 1


WRONG: list[tuple[Pass, str]] = [
    (doubles_every_relu, "run before and after in float64 on fresh inputs"),
    (forgets_an_operand, "the graph did not run: "),
    (shifts_a_little, "run before and after in float64 on fresh inputs"),
    (mixes_the_items, "run before and after in float64 on fresh inputs"),
]


@pytest.mark.parametrize(("wrong", "proof"), WRONG, ids=lambda v: getattr(v, "__name__", ""))
def test_a_wrong_pass_is_taken_back_and_the_rest_goes_on(
    wrong: Pass, proof: str, tmp_path: Path
) -> None:
    module = net(everything, **parts())
    inputs = {"x": torch.randn(2, 4, 6, 6)}
    graph = trace(module, inputs)
    passed = run_passes(graph, (wrong, *DEFAULT), example=inputs)
    right = run_passes(graph, DEFAULT, example=inputs)
    row = passed.rows[1]
    assert (row.name, row.status) == (wrong.__name__, "rolled back")
    assert row.proof.startswith(proof)
    assert row.difference is None or row.difference > 1e-9
    assert text(passed.graph) == text(right.graph)
    assert passed.notes == right.notes
    file = tmp_path / "net.onnx"
    written = write_onnx(graph, module, inputs, file, passes=(wrong, *DEFAULT))
    assert written.route == "netloft"
    assert written.passes[1].status == "rolled back"
    require_parity(check_parity(graph, module, file, cases(inputs, (1, 2, 5), 0), ["cpu"]))


def test_a_wrong_removal_of_writes_ends_this_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(edit: Edit) -> None:
        doubles_every_relu(edit)

    monkeypatch.setattr("netloft.passes.functionalise", wrong)
    with pytest.raises(NotFunctionalError) as caught:
        run(everything, **parts())
    assert str(caught.value) == "writes in place: the proof of their removal failed"


def test_passes_are_chosen_by_name_and_order() -> None:
    assert choose_passes() == DEFAULT
    chosen = choose_passes(["fold_pad", "remove_dead"])
    assert chosen == (PASSES["fold_pad"], PASSES["remove_dead"])
    left = choose_passes(without=["remove_identity"])
    assert left == tuple(f for f in DEFAULT if f is not PASSES["remove_identity"])
    assert choose_passes([]) == ()
    assert choose_passes(["fold_pad"], ["fold_pad"]) == ()


@pytest.mark.parametrize(
    ("only", "without"), [(["fold_bn"], ()), (None, ["fold_bn"]), (["fold_pad"], ["fold_bn"])]
)
def test_a_pass_that_there_is_not_is_refused_with_the_names(
    only: list[str] | None, without: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_passes(only, without)
    assert str(caught.value).splitlines() == [
        "there is no pass 'fold_bn'",
        f"  remedy: passes are: {', '.join(sorted(PASSES))}",
    ]


def test_every_pass_says_what_it_is_given_and_what_it_leaves() -> None:
    for function in DEFAULT:
        told = vars(__import__(function.__module__, fromlist=["_"]))["__doc__"]
        assert [word for word in ("Given:", "Result:", "Leaves alone:") if word not in told] == []


def test_the_function_and_its_line_are_in_a_refusal_of_the_route(tmp_path: Path) -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = x * 2
        h.hsplit(2)[1].zero_()
        return h

    module = net(forward)
    inputs = {"x": torch.randn(2, 4, 6, 6)}
    graph = trace(module, inputs)
    file = tmp_path / "net.onnx"
    written = write_onnx(graph, module, inputs, file)
    assert written.route == (
        "torch.onnx, since netloft's own route lacks "
        "a write through %getitem (getitem), which cannot be put back"
    )
    require_parity(check_parity(graph, module, file, cases(inputs, (1, 2, 5), 0), ["cpu"]))


def test_the_network_is_as_it_was_after_passes_and_lowering(tmp_path: Path) -> None:
    module = net(everything, **parts())
    inputs = {"x": torch.randn(2, 4, 6, 6)}
    kept = inputs["x"].clone()
    before = {name: (t, t.clone()) for name, t in module.state_dict(keep_vars=True).items()}
    classes = [type(child) for child in module.modules()]
    graph = trace(module, inputs)
    whole = text(graph)
    write_onnx(graph, module, inputs, tmp_path / "net.onnx")
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert tensor is before[name][0], name
        assert torch.equal(tensor, before[name][1]), name
    assert [type(child) for child in module.modules()] == classes
    assert vars(module.get_submodule("relu"))["inplace"] is True
    assert torch.equal(inputs["x"], kept)
    assert text(graph) == whole
    assert equals(graph, module)


def known(record: Annotation) -> tuple[Any, ...]:
    return record.module, record.source, record.shape


def test_what_is_kept_is_known_as_before() -> None:
    _, graph, passed = run(everything, **parts())
    before = {node.name: known(record) for node, record in graph}
    for node, record in passed.graph:
        if node.name in before and node.op != "output":
            assert known(record) == before[node.name], node.name
    made = [node.name for node, _ in passed.graph if node.name not in before]
    assert made == ["reshape_1", "folded"]
    sources = [annotation(passed.graph.node(name)).source for name in made]
    assert all(
        source is not None and source.text.startswith("return h.flatten") for source in sources
    )
