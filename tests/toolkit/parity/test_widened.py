"""A module with widened weights gives what its float64 copy gives, to float64's own rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from netloft.parity.widened import Widened


class Recurrent(nn.Module):
    """Weights in lists inside of C++, a slice of another module's weight, a dtype that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True)
        self.table = nn.Embedding(4, 5)
        self.scale = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones(5, dtype=self.scale.dtype)
        return self.lstm(x + self.table.weight[1] * self.scale.data + ones)[0]


class Attention(nn.Module):
    """A layer that reads the weights of another one, which is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.tied = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention(x, x, x, need_weights=False)[0]
        return nn.functional.linear(y, self.tied.weight.T)


class Normalised(nn.Module):
    """Weights that are computed, buffers, and half precision inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("mean", torch.randn(4, 1, 1).half())

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) - self.mean


CASES = {
    "recurrent": (Recurrent, (2, 4, 5)),
    "attention": (Attention, (2, 4, 8)),
    "normalised": (Normalised, (2, 3, 6, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_it_equals_a_float64_copy(name: str) -> None:
    torch.manual_seed(0)
    cls, shape = CASES[name]
    module = cls().eval()
    x = torch.randn(shape, dtype=torch.float64)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.inference_mode():
        expected = copy.deepcopy(module).double()(x)
        with Widened(module):
            found = module(x)
    assert found.dtype is torch.float64
    # not bit for bit: attention has a fast path of its own, which a torch function mode turns off
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-15)
    after = module.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert {value.dtype for value in after.values()} == {v.dtype for v in before.values()}


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factors = torch.tensor([0.1, 0.2, 0.3])

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.factors


def test_a_tensor_that_is_no_buffer_is_widened_too() -> None:
    x = torch.randn(2, 3, dtype=torch.float64)
    with Widened(module := Plain()):
        found = module(x)
    assert torch.equal(found, x @ module.factors.double())
