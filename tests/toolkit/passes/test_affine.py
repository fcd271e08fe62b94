"""A convolution or matrix product with what was folded into it computes what it stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import net, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.graph import annotation
from netloft.passes.affine import Affine, affine_of, weight_readers
from netloft.passes.edit import Edit

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d(4, 6, 3, 2, 1), (4, 9)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), (4, 9, 8)),
    "conv2d, same": (nn.Conv2d(4, 6, 3, padding="same", dilation=2), (4, 9, 8)),
    "conv3d": (nn.Conv3d(4, 6, 2, bias=False), (4, 5, 4, 3)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, dilation=2), (4, 5, 4)),
    "transposed1d": (nn.ConvTranspose1d(4, 6, 3, 2, bias=False), (4, 5)),
    "linear": (nn.Linear(4, 6), (3, 4)),
}


def affine(layer: nn.Module, shape: tuple[int, ...]) -> Affine:
    edit = Edit(traced(net(lambda m, x: m.layer(x), layer=layer), shape))
    (found,) = (affine_of(edit, n, annotation(n)) for n in edit.fx.nodes if n.op == "call_module")
    assert found is not None
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_it_computes_what_the_module_computes(name: str) -> None:
    layer, shape = LAYERS[name]
    x, made = torch.randn(2, *shape), affine(layer, shape)
    assert torch.equal(made(x), layer(x))
    assert made.weight is layer.weight
    assert made.bias is layer.bias
    assert made.channels == layer(x).shape[-1 if name == "linear" else 1]


@pytest.mark.parametrize("name", LAYERS)
def test_scales_of_the_result_and_of_the_input_are_in_the_weights(name: str) -> None:
    layer, shape = LAYERS[name]
    axis = -1 if name == "linear" else 1
    x = torch.randn(2, *shape).double()
    plain = affine(layer, shape)
    inner = torch.rand(4).double() + 0.5
    scale, shift = torch.randn(2, 6).double()

    def along(vector: Tensor, like: Tensor) -> Tensor:
        lengths = [1] * like.dim()
        lengths[axis] = -1
        return vector.reshape(lengths)

    made = plain.scaled(scale, shift).scaling_input(inner).scaled(scale, shift)
    y = plain(x * along(inner, x))
    for _ in range(2):
        y = y * along(scale, y) + along(shift, y)
    assert torch.allclose(made(x), y, rtol=1e-12, atol=1e-12)
    assert made.weight.dtype is torch.float32
    assert made.bias is not None
    assert torch.equal(plain(x), affine(layer, shape)(x))  # the first one stays as it was


def test_a_padding_of_twice_the_length_is_begins_and_ends() -> None:
    layer, shape = nn.Conv2d(4, 6, 3), (4, 5, 6)
    x = torch.randn(2, *shape)
    made = affine(layer, shape).padded([1, 2, 3, 4])
    assert torch.equal(made(x), layer(F.pad(x, (2, 4, 1, 3))))


def test_it_holds_no_copy_of_the_weights() -> None:
    made = affine(*LAYERS["conv1d"]).scaled(torch.ones(6).double(), torch.zeros(6).double())
    assert not list(made.parameters())
    assert not made.state_dict()
    assert made.own_weight is LAYERS["conv1d"][0].weight


def patched() -> nn.Module:
    layer = nn.Conv2d(4, 6, 3)
    vars(layer)["forward"] = lambda x: x
    return layer


NONE: dict[str, nn.Module] = {
    "another padding": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "a parametrised weight": nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    "a forward of its own": patched(),
    "another layer": nn.MaxPool2d(2),
}


@pytest.mark.parametrize("name", NONE)
def test_what_may_compute_something_else_is_none(name: str) -> None:
    module = net(lambda m, x: m.layer(x), layer=NONE[name])
    edit = Edit(traced(module))
    assert [affine_of(edit, n, annotation(n)) for n in edit.fx.nodes] == [None] * len(edit.fx.nodes)


def test_functions_with_weights_that_are_known_are_affine() -> None:
    weight, bias = nn.Parameter(torch.randn(2, 4, 3, 3)), nn.Parameter(torch.randn(2))

    def forward(m: Any, x: Tensor) -> Any:
        return (
            F.conv2d(x, m.weight, m.bias, 1, (1, 0)),
            F.conv2d(input=x, weight=m.weight, padding=[0, 1]),
            F.conv2d(x, m.weight, stride=x.shape[1] // 2),
            F.conv2d(x, m.weight * x.mean()),
            F.conv2d(x, m.weight, x.mean((0, 2, 3))[:2]),
        )

    edit = Edit(traced(net(forward, weight=weight, bias=bias)))
    found = [affine_of(edit, n, annotation(n)) for n in edit.fx.nodes if "conv" in n.name]
    options = [None if each is None else each.options for each in found]
    assert options == [{"stride": 1, "padding": (1, 0)}, {"padding": [0, 1]}, None, None, None]


def test_reads_of_a_weight_are_counted_by_tensor() -> None:
    a, b = nn.Linear(6, 6), nn.Linear(6, 6)
    b.weight = a.weight
    module = net(lambda m, x: m.a(m.b(m.a(x))) + m.a.bias + m.b.bias, a=a, b=b)
    counts = weight_readers(Edit(traced(module)))
    assert [counts[id(t)] for t in (a.weight, a.bias, b.bias)] == [3, 3, 2]
