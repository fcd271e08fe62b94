"""What is computed twice is computed once, and what only looks the same is not."""

from __future__ import annotations

from typing import Any

import torch
from tests.toolkit.passes.nets import after, equals, net, text, traced
from torch import Tensor, nn

from netloft.passes import run_passes
from netloft.passes.merge_common import merge_common


def test_given_and_result_of_the_docstring() -> None:
    module = net(lambda m, x: x.exp() + x.exp())
    graph = traced(module)
    made = after(graph, merge_common)
    assert (
        text(made)
        == """
%x: float32[batch, 4, 6, 6] = input()
%exp: float32[batch, 4, 6, 6] = exp(%x)
%add: float32[batch, 4, 6, 6] = add(%exp)
%output: float32[batch, 4, 6, 6] = output(%add)
"""
    )
    assert equals(made, module)
    assert after(made, merge_common) is made
    (note,) = run_passes(graph, (merge_common,)).notes
    assert (note.node, note.text) == ("exp_1", "the same exp as %exp")


def test_whole_branches_weights_and_modules_are_merged() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        return m.conv(x[:, :4] * m.scale).flatten(1) - m.conv(x[:, :4] * m.scale).flatten(1)

    module = net(forward, conv=nn.Conv2d(4, 2, 3), scale=nn.Parameter(torch.randn(1)))
    graph = traced(module)
    made = after(graph, merge_common)
    assert [record.op for _, record in made].count("conv2d") == 1
    assert [record.op for _, record in made].count("parameter") == 1
    assert equals(made, module)
    assert made.totals.n_params == graph.totals.n_params


def test_two_outputs_may_become_one_node() -> None:
    module = net(lambda m, x: (x.relu(), x.relu()))
    made = after(traced(module), merge_common)
    assert [value.node for value in made.outputs] == ["relu", "relu"]
    assert equals(made, module)


def different(m: Any, x: Tensor) -> Any:
    positive = x > 0
    return (
        *(positive * 1, positive * 1.0, positive * True),
        *(x.clamp(0, 1), x.clamp(0.0, 1.0), x.clamp(0, 2)),
        *(x * 0.0, x * -0.0, 1 / (x * 0 + 0.0), x.sum(1), x.sum(2), x.sum((1, 2))),
        *(x.double(), x.half(), x[:, 0], x[:, -1], x[:, :1], x[:, 1:], x[0], x[(0,)]),
        *(m.a(x), m.b(x), m.p(x), m.q(x), x + m.first, x + m.second),
        *(torch.zeros_like(x), torch.ones_like(x), x.flip(1), x.flip(2)),
        *(x.transpose(1, 2), x.transpose(2, 3), x - x.flip(0), x.flip(0) - x),
    )


def test_what_differs_in_a_number_a_type_or_a_weight_stays() -> None:
    parts = {
        **dict.fromkeys(("p", "q"), nn.PReLU()),
        "a": nn.Conv2d(4, 2, 1),
        "b": nn.Conv2d(4, 2, 1),
        "first": torch.randn(6),
        "second": torch.randn(6),
    }
    parts["q"] = nn.PReLU(4)
    module = net(different, **parts)
    made = after(traced(module), merge_common)
    assert equals(made, module)
    nodes = [value.node for value in made.outputs]
    # the first item, in two spellings, is one; and so is what is twice in a sum
    assert len(nodes) - len(set(nodes)) <= 1


def test_a_tied_weight_under_two_names_gives_the_same_still() -> None:
    a, b = nn.Linear(6, 6), nn.Linear(6, 6)
    b.weight = a.weight
    module = net(lambda m, x: m.a(x) + m.b(x), a=a, b=b)
    made = after(traced(module), merge_common)
    assert equals(made, module)
