"""Which axis tells units apart, in networks that put their channels second, last, or turn them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as functional_

from netloft.explain.layers import result_of
from netloft.explain.units import unit_axes, units_of
from netloft.gradients import functional
from netloft.gradients.adjoint import shape_of
from netloft.graph import Graph
from netloft.tracing import trace


class Turns(nn.Module):
    """Layers in both orders."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 5, 3), nn.Linear(5, 7)
        self.over_all = nn.LayerNorm((7, 6, 6))
        self.tokens, self.head = nn.Linear(7, 9), nn.Linear(9 * 36, 2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(self.conv(x).permute(0, 2, 3, 1))
        x = self.relu(self.over_all(x.permute(0, 3, 1, 2)))
        x = self.tokens(x.flatten(2).transpose(1, 2))
        found: Tensor = self.head(x.flatten(1))
        return found


@cache
def graph_of(name: str) -> Graph:
    side = {"vit_b_16": 224, "turns": 8}.get(name, 64)
    made = Turns() if name == "turns" else torchvision.models.get_model(name, weights=None)
    return functional(trace(made.eval(), (torch.randn(2, 3, side, side),), prove=False))


def test_windows_that_are_folded_into_the_batch_have_no_units() -> None:
    graph = graph_of("swin_t")
    axes, (batch, *_) = unit_axes(graph), graph.inputs[0].info.shape
    windows = [n for n, _ in graph if len(shape_of(n)) == 3 and shape_of(n)[0] != batch]
    assert any(shape_of(n)[1] == 49 for n in windows)
    assert not [n for n in windows if n in axes]


@pytest.mark.parametrize(("name", "path", "axis", "units"), [
    ("turns", "conv", 1, 5),
    ("turns", "linear", 3, 7),
    ("turns", "over_all", 1, 7),
    ("turns", "relu", 1, 7),
    ("turns", "tokens", 2, 9),
    ("turns", "head", 1, 2),
    ("resnet18", "conv1", 1, 64),
    ("resnet18", "layer2.0", 1, 128),
    ("convnext_tiny", "features.1.0", 1, 96),
    ("convnext_tiny", "features.1.0.block.3", 3, 384),
    ("swin_t", "features.0", 3, 96),
    ("swin_t", "features.1.1", 3, 96),
    ("swin_t", "permute", 1, 768),
    ("vit_b_16", "conv_proj", 1, 768),
    ("vit_b_16", "encoder.layers.encoder_layer_3", 2, 768),
    ("vit_b_16", "encoder.layers.encoder_layer_3.mlp", 2, 768),
])  # fmt: skip
def test_units_are_where_the_layer_puts_them(name: str, path: str, axis: int, units: int) -> None:
    graph = graph_of(name)
    axes = unit_axes(graph)
    node = result_of(graph, path)
    assert axes[node] == axis
    assert units_of(node, axes) == units


class Calls(nn.Module):
    """A convolution of five channels on 8 x 8, and a function of it."""

    def __init__(self, function: Callable[[Calls, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 5, 3, padding=1), function
        self.map, self.matrix = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(7, 5))
        self.norm, self.group, self.lstm = nn.LayerNorm(8), nn.GroupNorm(2, 64), nn.LSTM(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.conv(x))


@pytest.mark.parametrize(("axis", "function"), [
    (1, lambda net, x: net.map + x),
    (1, lambda net, x: net.norm(x)),
    (2, lambda net, x: net.norm(x.transpose(1, 2))),
    (1, lambda net, x: x.chunk(2, -1)[0]),
    (2, lambda net, x: net.group(x.flatten(2).transpose(1, 2))),
    (2, lambda net, x: functional_.avg_pool1d(x.flatten(2).transpose(1, 2), 1)),
    (1, lambda net, x: functional_.interpolate(x, scale_factor=2.0)),
    (1, lambda net, x: torch.cat([x, x.relu()], 1)),
    (1, lambda net, x: x[:, :, 1:3]),
    (1, lambda net, x: x.mean((2, 3))),
    (None, lambda net, x: net.matrix @ x.flatten(2)),
    (None, lambda net, x: torch.einsum("bchw,oc->bohw", x, net.matrix)),
    (None, lambda net, x: x.max(1)[0]),
    (None, lambda net, x: x.mean(1)),
    (None, lambda net, x: x[:, 0]),
    (None, lambda net, x: torch.stack([x[:, 0], x[:, 1]], 1)),
    (None, lambda net, x: net.lstm(x.flatten(2))[0]),
    (None, lambda net, x: (x.flatten(2) @ x.flatten(2).transpose(1, 2)).softmax(-1)),
    (None, lambda net, x: x.reshape(-1, 8, 5, 8)),
])  # fmt: skip
def test_what_mixes_units_has_none(
    axis: int | None, function: Callable[[Calls, Tensor], Tensor]
) -> None:
    graph = functional(trace(Calls(function).eval(), (torch.randn(2, 3, 8, 8),)))
    assert unit_axes(graph).get(graph.node(graph.outputs[0].node)) == axis
