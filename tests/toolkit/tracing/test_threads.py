"""Random numbers that another thread draws while a module runs are not the module's."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netloft.errors import TraceError
from netloft.tracing import trace

DRAWS = {"random": random.random, "numpy": np.random.rand}


class Beside(nn.Module):
    """Another thread draws during one call of three, as a cluster's worker does when it waits."""

    def __init__(self, generator: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.generator, self.calls = generator, itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        if next(self.calls) % 3 == 0:
            thread = threading.Thread(target=DRAWS[self.generator])
            thread.start()
            thread.join()
        return self.conv(x)


class Draws(nn.Module):
    def __init__(self, generator: str) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + 0 * DRAWS[self.generator]())


@pytest.fixture
def neighbour() -> Iterator[threading.Thread]:
    """Another thread, as most programs have one."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    yield thread
    ended.set()
    thread.join()


@pytest.mark.parametrize("generator", DRAWS)
@pytest.mark.usefixtures("neighbour")
def test_another_thread_may_draw(generator: str) -> None:
    traced = trace(Beside(generator).eval(), (torch.randn(2, 3, 8, 8),))
    assert "conv2d" in str(traced)


@pytest.mark.parametrize("generator", DRAWS)
@pytest.mark.usefixtures("neighbour")
def test_a_module_that_draws_is_refused_beside_other_threads(generator: str) -> None:
    with pytest.raises(TraceError, match="the module is random"):
        trace(Draws(generator).eval(), (torch.randn(2, 3, 8, 8),))
