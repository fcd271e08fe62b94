"""Figures of weights: every element counted once, and what cannot be counted told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netloft_diagrams.explorer import histogram
from netloft_diagrams.explorer.histogram import BINS, Histogram, histograms


def figures(values: Tensor) -> Histogram:
    found = histograms({"w": nn.Parameter(values, requires_grad=False)})["w"]
    assert isinstance(found, Histogram)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_element_is_in_one_bin(dtype: torch.dtype) -> None:
    values = torch.linspace(-1, 1, 3200).to(dtype)
    found = figures(values)
    assert len(found.counts) == BINS
    assert sum(found.counts) == values.numel()
    assert max(found.counts) - min(found.counts) < 40
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.mean == pytest.approx(0, abs=1e-3)
    # of a uniform distribution over 2
    assert found.std == pytest.approx(2 / 12**0.5, rel=1e-2)


def test_more_elements_than_a_float32_counts() -> None:
    values = torch.ones(2**24 + 3)
    values[0] = 0
    found = figures(values)
    assert found.counts[0] == 1
    assert found.counts[-1] == 2**24 + 2


def test_values_that_are_not_finite_are_counted_apart() -> None:
    found = figures(torch.tensor([1.0, 2.0, float("nan"), float("inf")]))
    assert (sum(found.counts), found.odd, found.low, found.high) == (2, 2, 1.0, 2.0)


def test_equal_values() -> None:
    found = figures(torch.full((4,), 3.0))
    assert (sum(found.counts), found.low, found.high, found.std) == (4, 3.0, 3.0, 0.0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (torch.empty(5, device="meta"), "no values: the tensor is on the meta device"),
        (torch.ones(3, dtype=torch.int64), "not counted: int64"),
        (torch.empty(0), "empty"),
        (torch.full((2,), float("nan")), "no finite element"),
    ],
)
def test_what_has_no_histogram_says_why(values: Tensor, why: str) -> None:
    assert histograms({"w": nn.Parameter(values, requires_grad=False)}) == {"w": why}


def test_a_tied_parameter_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tied, other = nn.Parameter(torch.ones(60)), nn.Parameter(torch.ones(60))
    monkeypatch.setattr(histogram, "BUDGET", 100)
    found = histograms({"a": tied, "b": tied, "c": other})
    assert isinstance(found["a"], Histogram)
    assert found["b"] is found["a"]
    assert found["c"] == "not counted: over 100 elements"
