"""Memory that is alive while a network runs: views share it, and copies do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from netloft.graph.cost import alive_bytes
from netloft.tracing import trace

X = torch.zeros(1, 8, 8)
WHOLE = 8 * 8 * 4
"""Bytes of the input."""


class Does(nn.Module):
    """Reads what a function gives of a fresh tensor."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.relu()) + 1


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.transpose(1, 2).contiguous(),
    "flatten": lambda x: x.permute(0, 2, 1).flatten(1),
    "reshape": lambda x: x.transpose(1, 2).reshape(-1, 64),
    "chosen": lambda x: x[:, list(range(8))],
}

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mT": lambda x: x.mT,
    "t": lambda x: x.reshape(-1, 8).t(),
    "float": lambda x: x.float(),
    "contiguous": lambda x: x.contiguous(),
    "reshape": lambda x: x.reshape(-1, 64),
    "slice": lambda x: x[:, 1:],
}


@pytest.mark.parametrize("what", COPIES)
def test_a_copy_has_memory_of_its_own(what: str) -> None:
    graph = trace(Does(COPIES[what]).eval(), (X,))
    *_, before, _ = alive_bytes(graph).values()
    assert before == 2 * WHOLE


@pytest.mark.parametrize("what", VIEWS)
def test_a_view_has_none(what: str) -> None:
    graph = trace(Does(VIEWS[what]).eval(), (X,))
    *_, before, _ = alive_bytes(graph).values()
    assert before == WHOLE


def test_parts_of_a_tensor_keep_all_of_it() -> None:
    graph = trace(Does(lambda x: x.chunk(2, 1)[0]).eval(), (X,))
    *_, last = alive_bytes(graph).values()
    assert last == WHOLE + WHOLE // 2
