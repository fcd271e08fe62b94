"""A graph run with float64 in the place of float32."""

from __future__ import annotations

from typing import Any

import torch
from tests.toolkit.passes.nets import net, traced
from torch import Tensor, nn

from netloft.passes.wide import WideInterpreter, called_wide, widened


def wide(module: nn.Module, x: Tensor) -> Any:
    with torch.no_grad():
        return WideInterpreter(traced(module).module).run(widened(x))


def test_weights_casts_and_constants_are_wide() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = m.fc(x.float().to(torch.float32)) * m.scale
        h = h + torch.ones(x.shape[0], 4, 6, 3) / 3 + torch.zeros_like(h, dtype=torch.float32)
        return h.to(dtype=torch.float32).type(torch.float32)

    fc, scale = nn.Linear(6, 3), nn.Parameter(torch.randn(3))
    x = torch.randn(2, 4, 6, 6)
    made = wide(net(forward, fc=fc, scale=scale), x)
    y = nn.functional.linear(x.double(), fc.weight.double(), fc.bias.double()) * scale
    assert made.dtype is torch.float64
    assert torch.allclose(made, y + torch.ones(1).double() / 3, rtol=1e-15, atol=1e-15)


def test_a_cast_that_shares_memory_shares_it_still() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = x * 2
        h.float().to(torch.float32).add_(1)
        return h

    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(wide(net(forward), x), x.double() * 2 + 1)


def test_a_cast_to_a_shorter_type_rounds() -> None:
    x = torch.randn(2, 4, 6, 6)
    made = wide(net(lambda m, x: x.half().float()), x)
    assert torch.equal(made, x.half().double())


def test_numbers_that_are_not_floating_are_what_they_were() -> None:
    x = torch.randn(2, 4, 6, 6)
    whole, truth, half = wide(net(lambda m, x: ((x * 3).long(), x > 0, x.half())), x)
    assert (whole.dtype, truth.dtype, half.dtype) == (torch.int64, torch.bool, torch.float16)
    assert widened(torch.arange(3)).dtype is torch.int64
    assert widened("text") == "text"


def test_fields_of_a_named_tuple_are_there() -> None:
    x = torch.randn(2, 4, 6, 6)
    made = wide(net(lambda m, x: x.sort(1).values + x.max(1).values[:, None]), x)
    assert torch.equal(made, (x.sort(1).values.double() + x.double().max(1).values[:, None]))


def test_the_modules_own_weights_stay_short() -> None:
    layer = nn.Linear(6, 3)
    before = layer.weight
    made = called_wide("call_module", layer, (torch.randn(2, 6).double(),), {})
    assert made.dtype is torch.float64
    assert layer.weight is before
    assert before.dtype is torch.float32
