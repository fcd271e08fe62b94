"""Two moves in a row are one, whichever way their axes are counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, after, equals, net, shapes_hold, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.graph import Graph, annotation
from netloft.passes import run_passes
from netloft.passes.merge_moves import merge_moves
from netloft.passes.remove_identity import remove_identity


def moves(graph: Graph) -> list[str]:
    return [record.op for _, record in graph if record.value][1:-1]


def test_given_and_result_of_the_docstring() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        a = x.permute(0, 2, 3, 1)
        b = a.permute(0, 3, 1, 2)
        c = b.flatten(1)
        return c.reshape(x.shape[0], 2, 72)

    module = net(forward)
    made = after(traced(module), merge_moves, remove_identity)
    assert (
        text(made)
        == """
%x: float32[batch, 4, 6, 6] = input()
%reshape_1: float32[batch, 2, 72] = reshape(%x)
%output: float32[batch, 2, 72] = output(%reshape_1)
"""
    )
    assert equals(made, module)


MERGED: dict[str, tuple[Function, list[str]]] = {
    "permutations": (lambda m, x: x.permute(0, 2, 3, 1).permute(0, 3, 2, 1), ["permute"]),
    "counted from the end": (lambda m, x: x.transpose(-1, 1).permute(0, -1, 1, -2), ["permute"]),
    "by a size": (lambda m, x: x.transpose(1, x.dim() - 1).transpose(2, 1), ["permute"]),
    "by other names": (
        lambda m, x: torch.swapaxes(x, axis0=1, axis1=2).movedim(1, -1).mT.moveaxis(3, 2),
        ["permute"],
    ),
    "of two axes": (lambda m, x: x[:, 0, 0].t().T, ["getitem", "permute"]),
    "regroupings": (
        lambda m, x: m.split(x.flatten(1)).flatten(-2, -1).view(-1, 4, 6, 6).ravel(),
        ["reshape"],
    ),
    "by modules": (lambda m, x: m.unflatten(m.flatten(x)), ["reshape"]),
    "axes of one": (lambda m, x: x.unsqueeze(1).squeeze(1).unsqueeze(-1).flatten(2), ["reshape"]),
    "through the batch": (
        lambda m, x: x.reshape(x.shape[0] * 4, 36).reshape(x.shape[0], -1),
        ["reshape"],
    ),
    "into the batch": (lambda m, x: x.flatten(1).view(x.shape[0] * 2, 72), ["reshape"]),
    "pads": (lambda m, x: F.pad(F.pad(x, (1, 2)), (0, 1, 2, 3)), ["pad"]),
    "pads of a value": (lambda m, x: m.three(F.pad(x, (1, 2), value=3.0)), ["pad"]),
    "pads of numbers": (
        lambda m, x: F.pad(F.pad((x * 3).long(), (1, 1), value=2), (0, 1), value=2),
        ["mul", "long", "pad"],
    ),
}


@pytest.mark.parametrize("name", MERGED)
def test_they_are_merged(name: str) -> None:
    function, left = MERGED[name]
    module = net(
        function,
        flatten=nn.Flatten(),
        unflatten=nn.Unflatten(1, (2, 72)),
        split=lambda x: x.unflatten(1, (4, 36)),
        three=nn.ConstantPad2d((0, 1, 2, 0), 3.0),
    )
    made = after(traced(module), merge_moves)
    assert moves(made) == left
    assert equals(made, module)
    assert shapes_hold(made)
    assert after(made, merge_moves) is made


KEPT: dict[str, Function] = {
    "read twice": lambda m, x: (lambda t: t.permute(0, 2, 1, 3) + t.mean())(x.transpose(2, 3)),
    "an output": lambda m, x: (lambda t: (t, t.transpose(1, 2)))(x.transpose(2, 3)),
    "a crop": lambda m, x: F.pad(F.pad(x, (1, -1)), (1, 1)),
    "unlike values": lambda m, x: F.pad(F.pad(x, (1, 1)), (1, 1), value=1.0),
    "another mode": lambda m, x: F.pad(F.pad(x, (1, 1, 1, 1), mode="reflect"), (1, 1)),
    "nothing there": lambda m, x: x[:, :0].flatten(2).reshape(x.shape[0], 0, 6, 6),
    "bytes": lambda m, x: x.flatten(1).view(torch.int32),
    "a move and a regrouping": lambda m, x: x.transpose(1, 2).flatten(1),
    "an expansion": lambda m, x: x[:, :1].expand(-1, 4, -1, -1).flatten(1),
}


@pytest.mark.parametrize("name", KEPT)
def test_they_are_left_alone(name: str) -> None:
    module = net(KEPT[name])
    graph = traced(module)
    made = after(graph, merge_moves)
    assert made is graph
    assert equals(made, module)


def test_the_later_move_keeps_its_place_in_the_network() -> None:
    module = net(lambda m, x: m.flatten(x.unsqueeze(1)).sin(), flatten=nn.Flatten())
    graph = traced(module)
    passed = run_passes(graph, (merge_moves,))
    (made,) = (node for node, record in passed.graph if record.op == "reshape")
    before, record = annotation(graph.node("flatten")), annotation(made)
    assert (record.module, record.source, record.shape) == (
        before.module,
        before.source,
        before.shape,
    )
    (note,) = passed.notes
    assert (note.node, note.text) == ("flatten", "unsqueeze and flatten in one")
