"""A scale moves into the weights behind it where that is exact, and stays where it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from netloft.graph.graph import Graph
from netloft.passes import run_passes
from netloft.passes.fold_batch_norm import fold_batch_norm
from netloft.passes.fold_constants import fold_constants
from netloft.passes.fold_pad import fold_pad
from netloft.passes.fold_scale import fold_scale
from netloft.passes.wide import WideInterpreter
from netloft.tracing import trace

CHANNELS = 4


class Net(nn.Module):
    """Has what the cases need; `function` is the forward pass."""

    shift: Tensor
    scale: Tensor
    along: Tensor

    def __init__(self, function: Callable[[Net, Tensor], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.function, self.layer = function, layer
        self.other = nn.Conv2d(CHANNELS, 2, 1)
        self.register_buffer("shift", torch.linspace(1, 2, CHANNELS)[:, None, None])
        self.register_buffer("scale", torch.linspace(0.5, 3, CHANNELS)[:, None, None])
        self.register_buffer("along", torch.linspace(0.5, 3, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(**options: object) -> nn.Module:
    return nn.Conv2d(CHANNELS, 6, 3, **options)  # type: ignore[arg-type]


FOLDED = {
    "padded with zeros": (lambda m, x: m.layer((x - m.shift) * m.scale), conv(padding=1)),
    "the factor first": (lambda m, x: m.layer(m.scale * x), conv(padding="same")),
    "divided": (lambda m, x: m.layer((x - m.shift) / m.scale), conv(padding=2, stride=2)),
    "a number": (lambda m, x: m.layer(x / 255), conv(padding=1)),
    "two of them": (lambda m, x: m.layer(x * 2 * m.scale), conv(padding=1)),
    "a batch axis in the factor": (lambda m, x: m.layer(x * m.scale[None]), conv()),
    "groups": (lambda m, x: m.layer(x * m.scale), nn.Conv2d(CHANNELS, 6, 3, padding=1, groups=2)),
    "each channel alone": (lambda m, x: m.layer(x * m.scale), nn.Conv2d(4, 4, 3, groups=4)),
    "transposed": (lambda m, x: m.layer(x * m.scale), nn.ConvTranspose2d(CHANNELS, 6, 3, groups=2)),
    "a pad between": (lambda m, x: m.layer(F.pad(x * m.scale, (1, 2, 0, 1))), conv()),
    "two readers": (
        lambda m, x: (lambda y: m.layer(y).mean() + m.other(y))(x * m.scale),
        conv(padding=1),
    ),
    "by function": (lambda m, x: F.conv2d(x * m.scale, m.layer.weight, padding=1), conv()),
    "a matrix product": (lambda m, x: m.layer(x * m.along), nn.Linear(6, 3)),
}
KEPT = {
    "something else reads it": (
        lambda m, x: (lambda y: m.layer(y).mean() + y)(x * m.scale),
        conv(),
    ),
    "it is an output": (lambda m, x: x * m.scale, conv()),
    "a shift": (lambda m, x: m.layer(x - m.shift), conv(padding=1)),
    "padded with ones": (
        lambda m, x: m.layer(F.pad(x * m.scale, (1, 1, 1, 1), value=1.0)),
        conv(),
    ),
    "along the width": (lambda m, x: m.layer(x * m.along), conv(padding=1)),
    "of the batch": (lambda m, x: m.layer(x * x), conv(padding=1)),
    "a weight read twice": (
        lambda m, x: (lambda y: m.layer(y * 3) + m.layer(y))(x * m.scale),
        conv(padding=1),
    ),
    "not finite": (lambda m, x: m.layer(x / (m.scale * 0)), conv(padding=1)),
    "out of range": (lambda m, x: m.layer(x * 1e30), conv(padding=1)),
    "half of float16": (lambda m, x: m.layer(x.half() * 0.5).float(), conv(padding=1).half()),
}


def passed_over(model: nn.Module) -> tuple[Graph, Graph]:
    """Return a graph before and after the pass."""
    x = torch.randn(2, CHANNELS, 5, 6)
    graph = trace(model.eval(), (x,))
    passed = run_passes(graph, [fold_constants, fold_pad, fold_scale], example={"x": x})
    assert all(row.status != "rolled back" for row in passed.rows)
    return graph, passed.graph


def products(graph: Graph) -> int:
    """Count the products of what depends on the input."""
    return sum(
        record.op in ("mul", "div") and any(n.op != "get_attr" for n in node.all_input_nodes)
        for node, record in graph
    )


@pytest.mark.parametrize("name", FOLDED)
def test_it_is_folded_and_the_function_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    before, after = passed_over(Net(*FOLDED[name]))
    assert products(before) > products(after) == 0
    x = torch.randn(3, CHANNELS, 5, 6).double()
    wanted, given = (WideInterpreter(graph.module).run(x) for graph in (before, after))
    assert torch.allclose(given, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", KEPT)
def test_it_is_left_alone(name: str) -> None:
    before, after = passed_over(Net(*KEPT[name]))
    assert products(before) == products(after)


def test_the_scale_of_a_norm_behind_is_folded_too() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.5
    layer = nn.Sequential(nn.Conv2d(CHANNELS, 6, 3, padding=1, groups=2), norm)
    function: Callable[[Net, Tensor], Tensor] = lambda m, x: m.layer(x * m.scale)  # noqa: E731
    model = Net(function, layer).eval()
    x = torch.randn(2, CHANNELS, 5, 6)
    graph = trace(model, (x,))
    passed = run_passes(graph, [fold_scale, fold_batch_norm], example={"x": x})
    assert [record.op for _, record in passed.graph][1:-1] == ["conv2d"]
    wide = WideInterpreter(passed.graph.module).run(x.double())
    assert torch.allclose(wide, WideInterpreter(graph.module).run(x.double()), atol=1e-12)
