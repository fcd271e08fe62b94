"""What does not depend on the inputs is a number in the file, the one that the module computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, after, equals, net, shapes_hold, text, traced
from torch import Tensor, nn

from netloft.graph.graph import Graph, annotation
from netloft.passes import run_passes
from netloft.passes.fold_constants import fold_constants

WEIGHT = nn.Parameter(torch.randn(4, generator=torch.Generator().manual_seed(0)))


def operations(graph: Graph) -> list[str]:
    return [record.op for _, record in graph]


def constants(graph: Graph) -> list[Tensor]:
    return [getattr(graph.module, str(n.target)) for n, _ in graph if n.op == "get_attr"]


def test_given_and_result_of_the_docstring() -> None:
    module = net(lambda m, x: x.mean((2, 3)) * torch.exp(m.scale), scale=WEIGHT)
    graph = traced(module)
    passed = run_passes(graph, (fold_constants,))
    assert (
        text(passed.graph)
        == """
%x: float32[batch, 4, 6, 6] = input()
%mean: float32[batch, 4] = mean(%x)
%folded: float32[4] = parameter()
%mul: float32[batch, 4] = mul(%mean, %folded)
%output: float32[batch, 4] = output(%mul)
"""
    )
    (folded,) = constants(passed.graph)
    assert torch.equal(folded, WEIGHT.detach().double().exp().float())
    assert after(passed.graph, fold_constants) is passed.graph
    (note,) = passed.notes
    assert (note.node, note.text) == ("exp", "exp of constants computed")


def test_what_it_is_made_of_is_known_of_the_constant() -> None:
    b = torch.randn(4)
    module = net(lambda m, x: x.mean((2, 3)) * (m.a.exp() + m.b) + m.a.sin() * m.b, a=WEIGHT, b=b)
    graph = traced(module)
    made = after(graph, fold_constants)
    records = [record for node, record in made if node.op == "get_attr"]
    assert [record.parameters for record in records] == [("a",), ()]
    assert made.totals.n_params == graph.totals.n_params == 4
    assert all(record.source == annotation(graph.node("mul")).source for record in records)
    assert all(record.macs == 0 for record in records)


FOLDED: dict[str, tuple[Function, dict[str, Any]]] = {
    "types": (
        lambda m, x: (
            x.mean((2, 3)) * m.w.half().float() + m.w.double().exp().float(),
            x.mean((2, 3)) > m.w.abs().clamp(min=0.5),
        ),
        {"w": WEIGHT},
    ),
    "whole numbers": (
        lambda m, x: x.mean() + m.w // 4 * (m.w % 5) - torch.div(m.w, 4, rounding_mode="trunc"),
        {"w": torch.arange(-6, 6)},
    ),
    "truth": (
        lambda m, x: (x.mean() > 0) & m.w.logical_not(),
        {"w": torch.tensor([True, False])},
    ),
    "several results": (
        lambda m, x: x.mean() + m.w.sort().values + m.w.sort()[1] + torch.cat(m.w.exp().chunk(2)),
        {"w": WEIGHT},
    ),
    "a module": (
        lambda m, x: x.mean() * m.layer(m.w[None]),
        {"w": WEIGHT, "layer": nn.Linear(4, 2)},
    ),
    "an output": (lambda m, x: (x * 1, m.w.exp(), m.w.exp()), {"w": WEIGHT}),
    "a view": (lambda m, x: x.mean() * m.w.view(2, 2).t(), {"w": WEIGHT}),
    "what is not finite": (lambda m, x: x.mean() * (m.w * 0).log(), {"w": WEIGHT}),
}


@pytest.mark.parametrize("name", FOLDED)
def test_it_is_folded(name: str) -> None:
    function, parts = FOLDED[name]
    module = net(function, **parts)
    graph = traced(module)
    made = after(graph, fold_constants)
    computed = [n for n, _ in made if n.op in ("call_function", "call_method", "call_module")]
    assert all(any(i.op != "get_attr" for i in node.all_input_nodes) for node in computed)
    assert equals(made, module, rounding=1e-6)
    assert shapes_hold(made)
    assert made.totals.n_params == graph.totals.n_params
    assert after(made, fold_constants) is made


KEPT: dict[str, tuple[Function, dict[str, Any]]] = {
    "a length that follows the batch": (
        lambda m, x: m.w.expand(x.shape[0], 4),
        {"w": WEIGHT},
    ),
    "a size in its arguments": (
        lambda m, x: x.flatten(1)[:, :4] + m.w.roll(x.shape[1]),
        {"w": WEIGHT},
    ),
    "much larger than what it is made from": (
        lambda m, x: x.mean() * m.w.expand(2**21, 4).contiguous(),
        {"w": WEIGHT},
    ),
    "a weight alone": (lambda m, x: x.mean((2, 3)) * m.w, {"w": WEIGHT}),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_is_left_alone(name: str) -> None:
    function, parts = KEPT[name]
    graph = traced(net(function, **parts))
    assert after(graph, fold_constants) is graph


def hangs(function: Function) -> tuple[Graph, nn.Module]:
    # ten times 0.7 in float32 is 7, and ten times the float32 next to 0.7 is less
    module = net(function, w=nn.Parameter(torch.tensor([0.7, 0.1, 0.29, 4.1])))
    return after(traced(module), fold_constants), module


HANGING: list[Function] = [
    lambda m, x: x.mean() + (m.w * 10).long(),
    lambda m, x: x.mean() + (m.w * 10).floor(),
    lambda m, x: x.mean() + (m.w * 10 >= 7),
    lambda m, x: x.mean() + (m.w * 10).sqrt().square().ceil(),
]


@pytest.mark.parametrize("function", HANGING, ids=range(len(HANGING)))
def test_what_hangs_on_a_rounding_is_computed_as_the_module_does(function: Function) -> None:
    made, module = hangs(function)
    assert equals(made, module)
    assert "mul" in operations(made)


def test_a_cast_to_a_shorter_type_keeps_its_rounding() -> None:
    module = net(lambda m, x: x.mean() * m.w.half().float(), w=WEIGHT)
    (folded,) = constants(after(traced(module), fold_constants))
    assert torch.equal(folded, WEIGHT.detach().half().float())


def test_weights_of_the_network_stay() -> None:
    w = nn.Parameter(torch.randn(4, dtype=torch.float64))
    before = w.detach().clone()
    module: Any = net(lambda m, x: x.mean() * m.w.view(2, 2).exp(), w=w)
    after(traced(module), fold_constants)
    assert module.w is w
    assert torch.equal(w, before)
