"""A convolution pads for itself where zeros are padded along its own axes, and only there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, after, equals, net, shapes_hold, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.graph import Graph, annotation
from netloft.passes import run_passes
from netloft.passes.affine import Affine
from netloft.passes.fold_pad import fold_pad
from netloft.passes.merge_moves import merge_moves


def pads(graph: Graph) -> int:
    return [record.op for _, record in graph].count("pad")


def paddings(graph: Graph) -> list[Any]:
    found = [graph.module.get_submodule(str(n.target)) for n, _ in graph if n.op == "call_module"]
    return [module.options["padding"] for module in found if isinstance(module, Affine)]


def test_given_and_result_of_the_docstring() -> None:
    module = net(lambda m, x: m.conv(F.pad(x, (1, 1, 1, 1))), conv=nn.Conv2d(4, 2, 3))
    graph = traced(module)
    made = after(graph, fold_pad)
    assert (
        text(made)
        == """
%x: float32[batch, 4, 6, 6] = input()
%conv: float32[batch, 2, 6, 6] = conv2d(%x)  # conv
%output: float32[batch, 2, 6, 6] = output(%conv)
"""
    )
    assert paddings(made) == [[1, 1, 1, 1]]
    assert annotation(made.node("conv")).attributes["padding"] == (1, 1)
    assert equals(made, module)
    assert after(made, fold_pad) is made
    (note,) = run_passes(graph, (fold_pad,)).notes
    assert (note.node, note.text) == ("conv", "%pad is padding of the convolution")


WEIGHT = nn.Parameter(torch.randn(4, 2, 3, 3))

FOLDED: dict[str, tuple[Function, dict[str, Any], list[Any]]] = {
    "unlike at begin and end": (
        lambda m, x: m.conv(F.pad(x, (1, 2, 3, 4))),
        {"conv": nn.Conv2d(4, 2, 3)},
        [[3, 1, 4, 2]],
    ),
    "beside its own": (
        lambda m, x: m.conv(F.pad(x, (1, 2))),
        {"conv": nn.Conv2d(4, 2, 3, padding=(2, 0), stride=2, dilation=2, bias=False)},
        [[2, 1, 2, 2]],
    ),
    "by modules": (
        lambda m, x: m.conv(m.pad(m.zeros(x))),
        {
            "conv": nn.Conv2d(4, 2, 3),
            "pad": nn.ZeroPad2d((1, 2, 3, 4)),
            "zeros": nn.ConstantPad2d(1, 0.0),
        },
        [[4, 2, 5, 3]],
    ),
    "one axis": (
        lambda m, x: m.conv(F.pad(x.flatten(2), (2, 1))),
        {"conv": nn.Conv1d(4, 2, 3)},
        [[2, 1]],
    ),
    "three axes": (
        lambda m, x: m.conv(F.pad(x[:, :, None], (1, 2, 0, 1, 3, 0))),
        {"conv": nn.Conv3d(4, 2, 3, groups=2)},
        [[3, 0, 1, 0, 1, 2]],
    ),
    "by functions": (
        lambda m, x: F.conv2d(F.pad(x, [1, 2, 3, 4]), m.weight, None, 2, (1, 0), 1, 2),
        {"weight": WEIGHT},
        [[4, 1, 5, 2]],
    ),
    "by functions and names": (
        lambda m, x: F.conv2d(F.pad(input=x, pad=(1, 1)), weight=m.weight, groups=2),
        {"weight": WEIGHT},
        [[0, 1, 0, 1]],
    ),
    "two readers": (
        lambda m, x: (lambda p: m.conv(p) + m.other(p))(F.pad(x, (1, 1, 1, 1))),
        {"conv": nn.Conv2d(4, 2, 3), "other": nn.Conv2d(4, 2, 3)},
        [[1, 1, 1, 1], [1, 1, 1, 1]],
    ),
    "one convolution, padded and not": (
        lambda m, x: m.conv(F.pad(x, (1, 1, 1, 1)))[..., 1:-1, 1:-1] + m.conv(x),
        {"conv": nn.Conv2d(4, 2, 3)},
        [[1, 1, 1, 1]],
    ),
    "a weight that a function reads too": (
        lambda m, x: (lambda p: m.conv(p) + F.conv2d(p, m.conv.weight))(F.pad(x, (1, 1, 1, 1))),
        {"conv": nn.Conv2d(4, 2, 3)},
        [[1, 1, 1, 1], [1, 1, 1, 1]],
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_it_is_folded(name: str) -> None:
    function, parts, expected = FOLDED[name]
    module = net(function, **parts)
    graph = traced(module)
    made = after(graph, merge_moves, fold_pad)
    assert pads(made) == 0
    assert paddings(made) == expected
    assert equals(made, module, rounding=1e-5)
    assert shapes_hold(made)
    assert made.totals.n_params == graph.totals.n_params
    assert after(made, fold_pad) is made


KEPT: dict[str, tuple[Function, nn.Module]] = {
    "another value": (lambda m, x: m.conv(F.pad(x, (1, 1), value=1.0)), nn.Conv2d(4, 2, 3)),
    "another mode": (lambda m, x: m.conv(F.pad(x, (1, 1, 1, 1), "reflect")), nn.Conv2d(4, 2, 3)),
    "a crop": (lambda m, x: m.conv(F.pad(x, (-1, 2))), nn.Conv2d(4, 2, 3)),
    "channels": (
        lambda m, x: m.conv(F.pad(x[:, :3], (1, 1, 0, 0, 0, 1))),
        nn.Conv2d(4, 2, 3),
    ),
    "a word": (lambda m, x: m.conv(F.pad(x, (1, 1))), nn.Conv2d(4, 2, 3, padding="same")),
    "a padding of another kind": (
        lambda m, x: m.conv(F.pad(x, (1, 1))),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"),
    ),
    "a transposed convolution": (
        lambda m, x: m.conv(F.pad(x, (1, 1))),
        nn.ConvTranspose2d(4, 2, 3),
    ),
    "a pool": (lambda m, x: m.conv(F.pad(x, (1, 1))), nn.MaxPool2d(2)),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_is_left_alone(name: str) -> None:
    function, conv = KEPT[name]
    module = net(function, conv=conv)
    graph = traced(module)
    assert after(graph, fold_pad) is graph


def test_a_pad_that_is_read_elsewhere_stays_for_that() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        p = F.pad(x, (1, 1, 1, 1))
        return m.conv(p), p

    module = net(forward, conv=nn.Conv2d(4, 2, 3))
    made = after(traced(module), fold_pad)
    assert [record.op for _, record in made] == ["input", "pad", "conv2d", "output"]
    assert [n.name for n in made.node("conv").all_input_nodes] == ["x"]
    assert equals(made, module)
