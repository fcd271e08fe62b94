"""The noise of half precision, measured on the module itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from netloft.parity.compare import measure
from netloft.parity.inputs import Case
from netloft.parity.reference import Reference
from netloft.parity.rounded import (
    BFLOAT16_POLICY,
    FLOAT16_POLICY,
    Bfloat16Reference,
    Float16Reference,
)
from netloft.tracing import trace


class Mixed(nn.Module):
    """Writes in place and through views, which rounding must not part."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        y[:, :32].add_(1.0)
        return y.relu_().view(-1, 8, 8).transpose(1, 2).contiguous().flatten(1)


@pytest.mark.parametrize(
    ("kind", "dtype", "unit"),
    [(Float16Reference, torch.float16, 2**-11), (Bfloat16Reference, torch.bfloat16, 2**-8)],
)
def test_the_noise_is_of_the_type(
    kind: type[Float16Reference], dtype: torch.dtype, unit: float
) -> None:
    torch.manual_seed(0)
    module = Mixed().eval()
    x = torch.randn(4, 64)
    graph = trace(module, (x,))
    run = kind(module, graph).run(Case("noise", 4, {"x": x}))
    (narrow,), (wide,) = run.float32.values(), run.float64.values()
    noise = measure(narrow, wide).scaled
    assert unit / 8 < noise < 8 * unit
    np.testing.assert_array_equal(narrow, torch.from_numpy(narrow).to(dtype).float().numpy())
    again = kind(module, graph).rounded_runs(Case("noise", 4, {"x": x}))
    assert all(measure(r[next(iter(r))], wide).scaled < 16 * unit for r in again)


def test_the_floor_is_no_less_than_the_rounding_of_the_output() -> None:
    assert FLOAT16_POLICY.floor(0.0, [0.0]) == 2**-11
    assert BFLOAT16_POLICY.floor(0.0, [0.0]) == 2**-8


def test_where_all_inputs_are_zero_the_weights_are_moved() -> None:
    torch.manual_seed(0)
    module, zeros = nn.Linear(64, 8).eval(), {"input": torch.zeros(2, 64)}
    reference = Reference(module, trace(module, zeros))
    runs = [run["output"] for run in reference.rounded_runs(Case("zeros", 2, zeros))]
    assert not np.array_equal(runs[0], runs[1])
