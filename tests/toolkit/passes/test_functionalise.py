"""Writes in place become values that every later reader sees, or the graph is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from netloft.graph.ops import writes
from netloft.passes import NotFunctionalError, run_passes
from netloft.tracing import trace

Forward = Callable[[Tensor], Any]


class Net(nn.Module):
    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.function = function
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def after(x: Tensor, *names: Callable[[Tensor], Any]) -> Tensor:
    """Do things to a value and return it."""
    for name in names:
        name(x)
    return x


def alias(x: Tensor) -> Any:
    h = x * 2
    k = h
    h += x
    return h + k


def written_through_a_view(x: Tensor) -> Any:
    h = x * 2
    view = h[:, 1:]
    view.mul_(3)
    h[:, 0] = 0.5
    return h, view


def views_of_views(x: Tensor) -> Any:
    h = x * 2
    flat = h.flatten(1)
    part = flat[:, 2:5]
    part += 1
    turned = h.transpose(1, 2)
    turned.neg_()
    return h, flat, part, turned


def parts_of_a_split(x: Tensor) -> Any:
    h = x * 2
    a, b = h.chunk(2, 1)
    a.relu_()
    h.sub_(1)
    b += a
    return h, a, b


def out_argument(x: Tensor) -> Any:
    h = x * 2
    view = h[:, :1]
    torch.mul(view, 3, out=view)
    torch.add(h, x, out=h)
    return h, view


def read_before_and_after(x: Tensor) -> Any:
    h = x * 2
    before = h * 1
    h.clamp_(min=0)
    return before + h


def rows_one_by_one(x: Tensor) -> Any:
    h = x * 2
    for row in h.unbind(1):
        row += 1
    return h


FOLLOWED: dict[str, Forward] = {
    "an alias": alias,
    "the input": lambda x: (x.add_(1), x * 2)[1],
    "through a view": written_through_a_view,
    "through views of views": views_of_views,
    "parts of a split": parts_of_a_split,
    "an out argument": out_argument,
    "read before and after": read_before_and_after,
    "row by row": rows_one_by_one,
    "a function with a flag": lambda x: after(x * 2, lambda h: F.relu(h[:, :1], inplace=True)),
    "a flag by position": lambda x: after(x * 2, lambda h: F.hardtanh(h, -1.0, 1.0, True)),
    "a twin function": lambda x: after(x * 2, torch.relu_, lambda h: F.elu_(h[..., 1:])),
    "copied and filled": lambda x: after(
        x * 2, lambda h: h[:, 0].copy_(x[:, 1]), lambda h: h.select(1, 1).zero_()
    ),
    "a type that is kept": lambda x: after(x * 2, lambda h: h.gt_(0)),
    "a list of indices": lambda x: after(x * 2, lambda h: h.__setitem__((slice(None), [0, 2]), 1)),
    "a copy at every batch": lambda x: (x[:, :, 1:].flatten(1).add_(1), x * 2)[1],
    "a view of what was written": lambda x: after(x * 2, torch.relu_).chunk(2, 1)[0].contiguous(),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_values_are_what_the_writes_leave(name: str) -> None:
    net = Net(FOLLOWED[name]).eval()
    graph = run_passes(trace(net, {"x": torch.randn(2, 4, 3)}), ()).graph
    assert not any(writes(node, graph.module) for node in graph.module.graph.nodes)
    for batch in (1, 2, 5):
        x = torch.randn(batch, 4, 3)
        expected, made = net(x.clone()), graph.module(x.clone())
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


REFUSED: dict[str, tuple[Forward, str]] = {
    "another shape": (lambda x: after(x * 2, lambda h: h.unsqueeze_(1)), "unsqueeze_ has no form"),
    # for one item, the part of a chunk lies in one piece, and contiguous() gives that very part
    "a copy, but for one item": (
        lambda x: (x.chunk(2, 1)[0].contiguous().add_(1), x * 2)[1],
        "add_ writes to what is not one tensor",
    ),
    "read where it may be a copy": (
        lambda x: (lambda part: (x.add_(1), part * 2)[1])(x.chunk(2, 1)[0].contiguous()),
        "a write may reach %contiguous, which shares memory with more than one tensor",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    function, reason = REFUSED[name]
    graph = trace(Net(function).eval(), {"x": torch.randn(2, 4, 3)})
    with pytest.raises(NotFunctionalError, match=reason):
        run_passes(graph, ())


def test_a_module_in_place_loses_its_flag_in_the_copy_only() -> None:
    net = Net(lambda x: x).eval()
    net.function = lambda x: (lambda h: net.relu(h) + h)(x * 2)
    graph = trace(net, {"x": torch.randn(2, 4, 3)})
    pure = run_passes(graph, ()).graph
    x = torch.randn(3, 4, 3)
    torch.testing.assert_close(pure.module(x), net(x.clone()))
    assert net.relu.inplace
