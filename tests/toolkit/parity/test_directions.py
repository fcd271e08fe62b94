"""Directions that a file gives, held to float64 by their length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netloft.errors import ParityError
from netloft.parity.directions import Directions, check_directions, distances
from netloft.parity.inputs import Case
from netloft.tracing import trace


class Kink(nn.Module):
    """To the right where the sum of an item is above 1, else up: it turns at 1."""

    def forward(self, x: Tensor) -> Tensor:
        above = (x.sum(dim=1, keepdim=True) > 1).float()
        return x + torch.cat([above, 1 - above], dim=1)


def checked(turn: Any, *items: tuple[float, float]) -> Directions:
    module = Kink().eval()
    inputs = {"x": torch.tensor(items)}
    graph = trace(module, {"x": torch.tensor([[0.1, 0.2], [0.9, 0.8]])})

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        (x,) = feeds.values()
        with torch.no_grad():
            return {"output": turn(x, module(torch.from_numpy(x)).numpy())}

    cases = [Case("given", len(items), inputs)]
    return check_directions(graph, module, run, cases, output="output", start="x")


FAR = ((0.1, 0.2), (0.3, 0.1), (0.9, 0.8))


def test_rounding_passes() -> None:
    found = checked(lambda x, y: y * np.float32(1 + 2**-23), *FAR)
    assert (found.items, found.undecided) == (3, 0)
    assert 0 < found.worst < 1e-6


def test_another_way_far_from_a_kink_is_found() -> None:
    with pytest.raises(ParityError, match=r"item 2 of given at batch 3 is off by 1\.4"):
        checked(lambda x, y: np.where([[False], [False], [True]], x + np.array([0, 1]), y), *FAR)
    with pytest.raises(ParityError, match="item 0"):
        checked(lambda x, y: y + np.array([[1e-5], [0], [0]]), *FAR)


def test_at_a_kink_either_way_is_right() -> None:
    """One rounding of its input turns PyTorch itself: nothing can be said of that item."""
    at = (0.75, 0.25)
    found = checked(
        lambda x, y: x + np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), FAR[2], FAR[0], at, FAR[1]
    )
    assert (found.items, found.undecided) == (4, 1)


def test_where_most_stand_at_a_kink_nothing_is_shown() -> None:
    with pytest.raises(ParityError, match="2 of 3 pictures"):
        checked(lambda x, y: x + np.array([1, 0]), (0.75, 0.25), (0.25, 0.75), FAR[2])


def test_distances() -> None:
    wanted = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = np.array([[3.0, 9.0], [0.0, 0.0], [0.0, 1e-9], [np.nan, 0.0]])
    assert distances(found, wanted).tolist() == [1.0, 0.0, np.inf, np.inf]
