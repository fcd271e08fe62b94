"""A BatchNorm goes into the weights in front of it where they are its alone."""

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
from netloft.passes.fold_batch_norm import fold_batch_norm
from netloft.tracing import trace


def norms(graph: Graph) -> int:
    return [record.op for _, record in graph].count("batch_norm")


def test_given_and_result_of_the_docstring() -> None:
    module: Any = net(
        lambda m, x: m.norm(m.conv(x)), conv=nn.Conv2d(4, 2, 3), norm=nn.BatchNorm2d(2)
    )
    graph = traced(module)
    made = after(graph, fold_batch_norm)
    assert (
        text(made)
        == """
%x: float32[batch, 4, 6, 6] = input()
%conv: float32[batch, 2, 4, 4] = conv2d(%x)  # conv
%output: float32[batch, 2, 4, 4] = output(%conv)
"""
    )
    folded, norm, conv = made.module.get_submodule("conv"), module.norm, module.conv
    assert isinstance(folded, Affine)
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = (conv.bias.double() - norm.running_mean) * scale + norm.bias
    assert torch.equal(folded.weight, (conv.weight.double() * scale[:, None, None, None]).float())
    assert folded.bias is not None
    assert torch.allclose(folded.bias.double(), bias, rtol=1e-7, atol=0)
    assert equals(made, module, rounding=1e-5)
    assert after(made, fold_batch_norm) is made


def test_what_is_known_of_both_is_known_of_the_one() -> None:
    module = net(
        lambda m, x: m.norm(m.conv(x)),
        conv=nn.Conv2d(4, 2, 3, bias=False),
        norm=nn.BatchNorm2d(2),
    )
    graph = traced(module)
    passed = run_passes(graph, (fold_batch_norm,))
    record, before = annotation(passed.graph.node("conv")), annotation(graph.node("conv"))
    assert record.parameters == ("conv.weight", "norm.weight", "norm.bias")
    assert (record.module, record.source, record.macs) == (
        before.module,
        before.source,
        before.macs,
    )
    assert record.attributes["bias"] is True
    assert passed.graph.totals.n_params == graph.totals.n_params
    (note,) = passed.notes
    assert (note.node, note.module, note.text) == ("norm", "norm", "folded into %conv")


def functional(m: Any, x: Tensor) -> Any:
    h = F.conv2d(x, m.weight)
    return F.batch_norm(h, m.mean, m.var, m.gamma, None, False, 0.1, 1e-3)


TENSORS = {
    "weight": nn.Parameter(torch.randn(2, 4, 3, 3)),
    "gamma": nn.Parameter(torch.randn(2)),
    "mean": torch.randn(2),
    "var": torch.rand(2) + 0.5,
}

FOLDED: dict[str, tuple[Function, dict[str, Any]]] = {
    "one axis": (
        lambda m, x: m.norm(m.conv(x.flatten(2))),
        {"conv": nn.Conv1d(4, 2, 3), "norm": nn.BatchNorm1d(2)},
    ),
    "three axes": (
        lambda m, x: m.norm(m.conv(x[:, :, None])),
        {"conv": nn.Conv3d(4, 6, (1, 3, 3), groups=2), "norm": nn.BatchNorm3d(6)},
    ),
    "a transposed convolution in groups": (
        lambda m, x: m.norm(m.conv(x)),
        {"conv": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), "norm": nn.BatchNorm2d(6)},
    ),
    "two norms": (
        lambda m, x: m.second(m.norm(m.conv(x))),
        {
            "conv": nn.ConvTranspose2d(4, 6, 3, bias=False),
            "norm": nn.BatchNorm2d(6),
            "second": nn.BatchNorm2d(6, eps=0.1),
        },
    ),
    "a matrix product": (
        lambda m, x: m.norm(m.fc(x.mean((1, 2)))),
        {"fc": nn.Linear(6, 3), "norm": nn.BatchNorm1d(3)},
    ),
    "no scale and no shift of its own": (
        lambda m, x: m.norm(m.conv(x)),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2, affine=False)},
    ),
    "one norm for two": (
        lambda m, x: m.norm(m.conv(x)) + m.norm(m.other(x)),
        {
            "conv": nn.Conv2d(4, 2, 3),
            "other": nn.Conv2d(4, 2, 3),
            "norm": nn.BatchNorm2d(2),
        },
    ),
    "functions": (functional, TENSORS),
}


@pytest.mark.parametrize("name", FOLDED)
def test_it_is_folded(name: str) -> None:
    function, parts = FOLDED[name]
    module = net(function, **parts)
    graph = traced(module)
    made = after(graph, fold_batch_norm)
    assert norms(made) == 0
    assert equals(made, module, rounding=1e-4)
    assert shapes_hold(made)
    assert made.totals.n_params == graph.totals.n_params
    assert not [node for node, _ in made if node.op == "get_attr"]
    assert after(made, fold_batch_norm) is made


def tied() -> dict[str, Any]:
    a, b = nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3)
    b.weight = a.weight
    return {"a": a, "b": b, "norm": nn.BatchNorm2d(2)}


KEPT: dict[str, tuple[Function, dict[str, Any]]] = {
    "one convolution, two norms of its result": (
        lambda m, x: (lambda h: m.norm(h) + m.second(h))(m.conv(x)),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2), "second": nn.BatchNorm2d(2)},
    ),
    "one convolution called twice": (
        lambda m, x: m.norm(m.conv(x)) + m.second(m.conv(x + 1)),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2), "second": nn.BatchNorm2d(2)},
    ),
    "one weight in two convolutions": (lambda m, x: m.norm(m.a(x)) + m.b(x), tied()),
    "a weight that a function reads too": (
        lambda m, x: m.norm(m.conv(x)) + F.conv2d(x, m.conv.weight),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2)},
    ),
    "the result is an output": (
        lambda m, x: (lambda h: (h, m.norm(h)))(m.conv(x)),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2)},
    ),
    "a matrix product on three axes": (
        lambda m, x: m.norm(m.fc(x.mean(1))),
        {"fc": nn.Linear(6, 6), "norm": nn.BatchNorm1d(6)},
    ),
    "the statistics of the batch": (
        lambda m, x: m.norm(m.conv(x)),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2, track_running_stats=False)},
    ),
    "something between": (
        lambda m, x: m.norm(m.conv(x).relu()),
        {"conv": nn.Conv2d(4, 2, 3), "norm": nn.BatchNorm2d(2)},
    ),
    "nothing in front": (lambda m, x: m.norm(x), {"norm": nn.BatchNorm2d(4)}),
    "a computed weight": (
        lambda m, x: m.norm(F.conv2d(x, m.weight * x.mean())),
        {"weight": nn.Parameter(torch.randn(2, 4, 3, 3)), "norm": nn.BatchNorm2d(2)},
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_is_left_alone(name: str) -> None:
    function, parts = KEPT[name]
    graph = traced(net(function, **parts))
    assert after(graph, fold_batch_norm) is graph


def test_without_a_batch_axis_the_channels_lie_elsewhere() -> None:
    module = net(
        lambda m, x: m.norm(m.conv(x)),
        conv=nn.Conv1d(4, 8, 3),
        norm=nn.BatchNorm1d(8),
    )
    graph = trace(module, {"x": torch.randn(4, 10)}, batch=4)
    assert graph.outputs[0].info.shape == (8, 8)
    assert after(graph, fold_batch_norm) is graph


def test_a_network_in_float64_is_folded_in_float64() -> None:
    module = net(lambda m, x: m.norm(m.conv(x)), conv=nn.Conv2d(4, 2, 3), norm=nn.BatchNorm2d(2))
    module = module.double()
    graph = trace(module, {"x": torch.randn(2, 4, 6, 6, dtype=torch.float64)})
    made = after(graph, fold_batch_norm)
    assert norms(made) == 0
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    assert torch.allclose(made.module(x), module(x), rtol=1e-13, atol=1e-13)


def test_the_network_keeps_its_weights() -> None:
    module = net(lambda m, x: m.norm(m.conv(x)), conv=nn.Conv2d(4, 2, 3), norm=nn.BatchNorm2d(2))
    before = {name: (t, t.clone()) for name, t in module.state_dict(keep_vars=True).items()}
    after(traced(module), fold_batch_norm)
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])
    assert [type(child).__name__ for child in module.children()] == ["Conv2d", "BatchNorm2d"]
