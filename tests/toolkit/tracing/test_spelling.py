"""Each call that torch.export records, in the words of torch's public functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.tracing.exported import ExportTracer
from netloft.tracing.tracer import remove_dead

WEIGHT, BIAS = torch.rand(4, 3, 3, 3), torch.rand(4)
CHANNELS = torch.rand(3)


def _written(x: Tensor) -> Tensor:
    h = x * 2
    h[:, 0] = 1.5
    h[:, :, torch.tensor([1, 0])] = x[:, :, :2]
    h.relu_().clamp_(max=2).add_(x)
    F.silu(h, inplace=True)
    h[:, 1:].masked_fill_(x[:, 1:] > 0, 0.25)
    return h


# name of the operation, what is called with a tensor of (batch, 3, 8, 8)
CALLS: dict[str, Callable[[Tensor], Any]] = {
    "slices": lambda x: x[:, :2, ..., 1::2],
    "slice from the end": lambda x: x[..., -3:],
    "selected": lambda x: x[:, 1, :, -2],
    "indexed": lambda x: x[:, [2, 0], :, 1],
    "written": _written,
    "cast": lambda x: x.to(torch.float64).to(x) + x.double().type_as(x) + x.half().float(),
    "copied cast": lambda x: x.to(torch.float32, copy=True).mul_(2) + x,
    "cloned": lambda x: x.clone().contiguous() + x.detach(),
    "conv2d": lambda x: F.conv2d(x, WEIGHT, BIAS, padding="same"),
    "batch_norm": lambda x: F.batch_norm(x, CHANNELS, CHANNELS, CHANNELS * 2, CHANNELS, eps=1e-3),
    "instance_norm": lambda x: F.instance_norm(x, weight=CHANNELS),
    "group_norm": lambda x: F.group_norm(x, 3, CHANNELS),
    "layer_norm": lambda x: F.layer_norm(x, (8, 8)),
    "rms_norm": lambda x: F.rms_norm(x, (8,)),
    "softmax": lambda x: F.softmax(x, 1) + x.log_softmax(-1),
    "softmax in double": lambda x: F.softmax(x, 1, dtype=torch.float64),
    "activations": lambda x: F.gelu(x, approximate="tanh") + F.elu(x, 0.5) + F.leaky_relu(x, 0.2),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5) + F.relu6(x) + F.threshold(x, 0.1, 2.0),
    "glu": lambda x: F.glu(x, -1),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "max_pool2d": lambda x: F.max_pool2d(x, 2) + F.max_pool2d(x, 3, 2, 1, ceil_mode=False),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2, padding=1, count_include_pad=False),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (4, None)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0),
    "nearest-exact": lambda x: F.interpolate(x, size=(5, 7), mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True),
    "antialiased": lambda x: F.interpolate(x, size=(3, 3), mode="bicubic", antialias=True),
    "pad": lambda x: F.pad(x, (1, 2), value=0.5) + F.pad(x, (1, 2, 0, 0), mode="reflect"),
    "embedding": lambda x: F.embedding((x[:, 0, 0] * 0).long(), WEIGHT.flatten(1), padding_idx=1),
    "grid_sample": lambda x: F.grid_sample(x, x[..., :2].permute(0, 2, 3, 1)[..., :2],
                                           padding_mode="border", align_corners=False),
    "unfold": lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 8), 2, stride=2),
    "windows": lambda x: x.unfold(2, 3, 2),
    "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, 1], indexing="ij"),
    "split": lambda x: (*torch.split(x, 2, 1), *torch.split(x, [1, 2], 1), *x.chunk(2, 2)),
    "unbound": lambda x: x.unbind(1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, scale=0.3),
    "reductions": lambda x: (x.mean((2, 3), True), x.max(1), x.std(1, correction=0), x.norm(dim=1)),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 2, (1, 2)),
    "bits": lambda x: (x > 0) & (x < 1) | (x > 2) ^ (x < -2),
    "reversed": lambda x: 1 - x + 2 ** x + 3 / (x.abs() + 1),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "joined": lambda x: torch.stack([torch.cat([x, x], 1), torch.cat([x, -x], 1)], 1),
    "reshaped": lambda x: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3).flatten(1)[:, None],
    "lengths": lambda x: x.new_zeros(x.shape[0], 2) + torch.arange(2) + torch.ones(x.shape[0], 1),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, call: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Any:
        return self.call(x)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_a_public_function_and_gives_the_same(name: str) -> None:
    net = Net(CALLS[name]).eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    graph = ExportTracer({"x": x}, "dynamic", {}).trace(net)
    remove_dead(graph, net)
    assert not [node.target for node in graph.nodes if isinstance(node.target, OpOverload)]
    module = fx.GraphModule(net, graph)
    for batch in (1, 3):
        given = torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
        actual, expected = module(given.clone()), net(given.clone())
        torch.testing.assert_close(_plain(actual), _plain(expected), rtol=0, atol=0)


def _plain(result: Any) -> Any:
    """Named tuples as tuples: what a graph returns has no names."""
    return tuple(_plain(item) for item in result) if isinstance(result, tuple) else result


@pytest.mark.parametrize(
    "call",
    [lambda x: torch._C._nn.elu(x, 1.0, 2.0, 3.0), lambda x: torch.linalg.eigvalsh(x @ x.mT)],
    ids=["an elu that nn.functional has not", "an operation of no public function"],
)
def test_what_no_public_function_says_stays_as_it_is(call: Callable[[Tensor], Any]) -> None:
    net = Net(call).eval()
    graph = ExportTracer({"x": torch.randn(2, 3, 8, 8)}, "dynamic", {}).trace(net)
    assert [node.target for node in graph.nodes if isinstance(node.target, OpOverload)]
