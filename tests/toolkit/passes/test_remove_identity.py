"""Operations that give what they are given go; those that only look so stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, after, equals, net, shapes_hold, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.graph import Graph
from netloft.passes import run_passes
from netloft.passes.remove_identity import remove_identity


def operations(graph: Graph) -> list[str]:
    return [record.op for _, record in graph]


def test_given_and_result_of_the_docstring() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        a = m.drop(x)
        b = a.reshape(x.shape[0], 4, 6, 6)
        c = b.to(torch.float32)
        return c.relu()

    graph = traced(net(forward, drop=nn.Dropout()))
    assert (
        text(graph)
        == """
%x: float32[batch, 4, 6, 6] = input()
%drop: float32[batch, 4, 6, 6] = dropout(%x)  # drop
%getattr_1: () = getattr(%x)
%getitem: () = getitem(%getattr_1)
%reshape: float32[batch, 4, 6, 6] = reshape(%drop, %getitem)
%to: float32[batch, 4, 6, 6] = to(%reshape)
%relu: float32[batch, 4, 6, 6] = relu(%to)
%output: float32[batch, 4, 6, 6] = output(%relu)
"""
    )
    assert (
        text(after(graph, remove_identity))
        == """
%x: float32[batch, 4, 6, 6] = input()
%relu: float32[batch, 4, 6, 6] = relu(%x)
%output: float32[batch, 4, 6, 6] = output(%relu)
"""
    )


GONE: dict[str, Function] = {
    "identity": lambda m, x: m.same(x),
    "dropout": lambda m, x: m.drop(F.dropout(x, 0.5, training=False)),
    "dropout of torch": lambda m, x: F.dropout2d(x, 0.5, False),
    "contiguous, clone, detach": lambda m, x: x.contiguous().clone().detach(),
    "reshape": lambda m, x: x.reshape(-1, 4, 6, 6),
    "view_as": lambda m, x: x.view_as(x),
    "flatten of one axis": lambda m, x: x.flatten(2, 2),
    "squeeze of nothing": lambda m, x: x.squeeze(1),
    "expand": lambda m, x: x.expand(-1, 4, 6, 6).expand_as(x),
    "to": lambda m, x: x.to(torch.float32).float().type(torch.float32),
    "permute": lambda m, x: x.permute(0, 1, 2, 3),
    "a permute counted from the end": lambda m, x: x.permute(-4, -3, x.dim() - 2, -1),
    "transpose": lambda m, x: x.transpose(1, -3),
    "movedim": lambda m, x: torch.movedim(x, 1, 1),
    "all of it": lambda m, x: x[:][...][:, :, :],
    "all of it, with its length": lambda m, x: x[:, :4, :9, 0:][..., :6][:, -4:],
    "times one": lambda m, x: x * 1 / 1.0,
    "cat of one": lambda m, x: torch.cat([x], 1),
    "pad of nothing": lambda m, x: F.pad(x, (0, 0, 0, 0)),
    "pool of the same size": lambda m, x: F.adaptive_avg_pool2d(x, (6, 6)),
}


@pytest.mark.parametrize("name", GONE)
def test_it_goes(name: str) -> None:
    function = GONE[name]
    module = net(lambda m, x: function(m, x.sin()).cos(), same=nn.Identity(), drop=nn.Dropout())
    made = after(traced(module), remove_identity)
    assert operations(made) == ["input", "sin", "cos", "output"]
    assert equals(made, module)
    assert after(made, remove_identity) is made


def test_a_view_needs_no_contiguous() -> None:
    def shuffle(m: Any, x: Tensor) -> Any:
        h = x.sin().view(-1, 2, 2, 6, 6).transpose(1, 2).contiguous()
        return h.view(-1, 4, 6, 6).contiguous().view_as(x).view(torch.int32)

    module = net(shuffle)
    made = after(traced(module), remove_identity)
    assert "identity" not in operations(made)
    assert equals(made, module)


STAYS: dict[str, Function] = {
    "a floor in disguise": lambda m, x: torch.div(x, 1, rounding_mode="floor"),
    "another type": lambda m, x: x.double(),
    "half and back": lambda m, x: x.half().float(),
    "one for each axis": lambda m, x: x.flatten(1),
    "turned": lambda m, x: x.transpose(2, 3),
    "every other": lambda m, x: x[:, ::2],
    "some of a batch": lambda m, x: x[:2000, :4],
    "one by one": lambda m, x: x[:, torch.arange(4)],
    "the other way round": lambda m, x: x.flip(1),
    "pad and crop": lambda m, x: F.pad(x, (1, -1)),
    "pool of another size": lambda m, x: F.adaptive_avg_pool2d(x, (3, 6)),
    "maximum of the same size": lambda m, x: F.max_pool2d(x, 3, 1, 1),
    "cat of two": lambda m, x: torch.cat([x, x]),
    "the first item": lambda m, x: x[0],
    "times a tensor of one": lambda m, x: x * m.one,
    "bytes": lambda m, x: x.view(torch.int32),
}


@pytest.mark.parametrize("name", STAYS)
def test_it_stays(name: str) -> None:
    function = STAYS[name]
    module = net(lambda m, x: function(m, x.sin()), one=torch.ones(1))
    graph = traced(module)
    assert after(graph, remove_identity) is graph
    assert shapes_hold(graph)


def test_dropout_that_is_forced_on_stays() -> None:
    functions: list[Function] = [
        lambda m, x: F.dropout(x.sin(), 0.5),
        lambda m, x: torch.dropout(x.sin(), 0.5, True),
    ]
    for function in functions:
        graph = traced(net(function))
        assert after(graph, remove_identity) is graph


def test_an_input_that_is_handed_through_keeps_its_node() -> None:
    module = net(lambda m, x: (x.reshape(-1, 4, 6, 6), x * 1, x.float().sin()))
    made = after(traced(module), remove_identity)
    assert operations(made) == ["input", "reshape", "mul", "sin", "output"]
    assert equals(made, module)


def test_two_outputs_may_become_one_node() -> None:
    module = net(lambda m, x: (lambda h: (h, h * 1, h.contiguous()))(x.sin()))
    made = after(traced(module), remove_identity)
    assert operations(made) == ["input", "sin", "output"]
    assert [value.node for value in made.outputs] == ["sin", "sin", "sin"]
    assert equals(made, module)


def test_lengths_that_are_not_known_may_differ() -> None:
    module = net(lambda m, x: x[::2, :, : x.shape[0] // 2].flatten(2).reshape(-1, 4, 6))
    graph = traced(module, (4, 5, 6))
    made = after(graph, remove_identity)
    assert equals(made, module, (4, 5, 6))


def test_what_was_done_is_told() -> None:
    (note,) = run_passes(traced(net(lambda m, x: (x.sin() * 1).cos())), (remove_identity,)).notes
    assert (note.node, note.text) == ("mul", "mul changes nothing")
