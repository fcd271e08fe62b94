"""Multiply-adds beside PyTorch's own counter, which counts them twice, as two operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.toolkit.passes.nets import net
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from netloft.tracing import trace

NETS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "matmul": lambda m, x: x @ x.transpose(2, 3),
    "einsum of two": lambda m, x: torch.einsum("bchw,bcvw->bchv", x, x),
    "einsum with an ellipsis": lambda m, x: torch.einsum("...hw, ...vw -> ...hv", x, x),
    "einsum with no arrow": lambda m, x: torch.einsum("bchw,bcwv", x, x).relu(),
    "einsum of a list": lambda m, x: torch.einsum("bchw,bcvw->bchv", [x, x]),
    "einsum of one": lambda m, x: torch.einsum("bchw->bhc", x),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, x, x),
    "grouped convolution": lambda m, x: F.conv2d(x, torch.ones(8, 2, 3, 3), groups=2),
    "transposed convolution": lambda m, x: F.conv_transpose2d(x, torch.ones(4, 5, 3, 3), stride=2),
    "linear": lambda m, x: F.linear(x, torch.ones(3, 6)),
}


@pytest.mark.parametrize("name", NETS)
def test_multiply_adds_are_those_that_pytorch_counts(name: str) -> None:
    module, x = net(NETS[name]), torch.randn(1, 4, 6, 6)
    graph = trace(module, (torch.randn(3, 4, 6, 6),))
    # its counter does not know the kernel that the CPU has for attention
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(x)
    assert 2 * graph.totals.macs == counter.get_total_flops()


def test_depth_counts_products_in_a_row() -> None:
    class Written(nn.Module):
        """What an attention layer does."""

        def __init__(self) -> None:
            super().__init__()
            self.mix, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.mix(x).chunk(3, 2)
            mixed: Tensor = self.out((q @ k.transpose(1, 2)).softmax(2) @ v)
            return mixed

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.MultiheadAttention(8, 1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.layer(x, x, x, need_weights=False)[0]
            return found

    x = torch.randn(2, 5, 8)
    depths = [trace(module.eval(), (x,)).totals.depth for module in (Written(), Layer())]
    assert depths == [4, 4]
