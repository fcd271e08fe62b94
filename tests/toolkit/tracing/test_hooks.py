"""Hooks of leaf modules stand in the graph as operations of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netloft.tracing import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x)) + self.relu(x[:, :1, 1:-1, 1:-1])


def scaled(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * 5


def shifted(module: nn.Module, args: tuple[Tensor]) -> Tensor:
    return args[0] + 1


def told(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
    assert kwargs == {}


EXPECTED = """\
%x: float32[batch, 3, 8, 8] = input()
%add: float32[batch, 3, 8, 8] = add(%x)  # conv
%conv: float32[batch, 4, 6, 6] = conv2d(%add)  # conv
%relu: float32[batch, 4, 6, 6] = relu(%conv)  # relu
%mul: float32[batch, 4, 6, 6] = mul(%relu)  # relu
%getitem: float32[batch, 1, 6, 6] = getitem(%x)
%relu_1: float32[batch, 1, 6, 6] = relu(%getitem)  # relu@1
%mul_1: float32[batch, 1, 6, 6] = mul(%relu_1)  # relu@1
%add_1: float32[batch, 4, 6, 6] = add(%mul, %mul_1)
%output: float32[batch, 4, 6, 6] = output(%add_1)
"""


def test_hooks_of_leaves_are_operations_and_the_module_keeps_them() -> None:
    net, x = Net().eval(), torch.randn(2, 3, 8, 8)
    net.conv.register_forward_pre_hook(shifted)
    net.conv.register_forward_hook(told, with_kwargs=True)
    net.relu.register_forward_hook(scaled)
    graph = trace(net, (x,))
    assert str(graph) == EXPECTED
    torch.testing.assert_close(graph.module(x), net(x))
    counts = (net.conv._forward_pre_hooks, net.conv._forward_hooks, net.relu._forward_hooks)
    assert [len(hooks) for hooks in counts] == [1, 1, 1]


def test_hooks_that_print_or_keep_what_they_see_do_no_harm() -> None:
    net, x, seen = Net().eval(), torch.randn(2, 3, 8, 8), []
    net.conv.register_forward_hook(lambda module, args, output: seen.append(output))
    graph = trace(net, (x,), prove=False)
    torch.testing.assert_close(graph.module(x), net(x))
