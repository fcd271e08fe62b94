"""What no output depends on goes, and inputs stay."""

from __future__ import annotations

from typing import Any

from tests.toolkit.passes.nets import after, equals, net, text, traced
from torch import Tensor, nn

from netloft.passes.remove_dead import remove_dead


def test_given_and_result_of_the_docstring() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        a = x.relu()
        a.view(x.size(0), -1).add_(1)  # a write, which the trace keeps
        b = x * 2
        b.relu_()
        return a * 1

    graph = traced(net(forward))
    assert "relu_" in text(graph)
    assert (
        text(after(graph, remove_dead))
        == """
%x: float32[batch, 4, 6, 6] = input()
%relu: float32[batch, 4, 6, 6] = relu(%x)
%size: () = size(%x)
%view: float32[batch, 144] = reshape(%relu, %size)
%add_: float32[batch, 144] = add(%view)
%reshape_as: float32[batch, 4, 6, 6] = reshape(%add_, %relu)
%mul_1: float32[batch, 4, 6, 6] = mul(%reshape_as)
%output: float32[batch, 4, 6, 6] = output(%mul_1)
"""
    )


def test_inputs_stay_and_modules_that_only_the_dead_called_go() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        m.layer(x * 2).relu_()
        return x.new_zeros(2)

    module = net(forward, layer=nn.Linear(6, 6))
    graph = traced(module)
    made = after(graph, remove_dead)
    assert [record.op for _, record in made] == ["input", "new_zeros", "output"]
    assert [value.name for value in made.inputs] == ["input"]
    assert not list(made.module.parameters())
    assert equals(made, module)


def test_running_twice_changes_nothing() -> None:
    graph = traced(net(lambda m, x: (x * 3).relu_() * 0 + x))
    made = after(graph, remove_dead)
    assert after(made, remove_dead) is made
