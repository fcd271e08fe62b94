from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from netloft.errors import InputError
from netloft.models import load, load_model
from netloft.models.inputs import parse_input
from netloft.models.lazy import has_lazy

LAZY = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, spare=False):
        super().__init__()
        self.fc = nn.LazyLinear(4)
        self.spare = nn.LazyLinear(4) if spare else None

    def forward(self, x):
        return self.fc(x)
"""
SHAPE = (parse_input("1x3"),)


@pytest.fixture(autouse=True)
def file(write: Callable[[str, str], Path]) -> None:
    write("lazy.py", LAZY)


def test_lazy_layers_take_their_sizes_from_the_inputs() -> None:
    first, again = (load_model("lazy.py:Net", inputs=SHAPE, seed=2).module for _ in range(2))
    assert not has_lazy(first)
    state = first.state_dict()
    assert state["fc.weight"].shape == (4, 3)
    assert torch.equal(state["fc.weight"], again.state_dict()["fc.weight"])


def test_weights_fit_lazy_layers(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(4, 3), "fc.bias": torch.ones(4)}, tmp_path / "w.pth")
    model = load_model("lazy.py:Net", inputs=SHAPE, weights=str(tmp_path / "w.pth"))
    assert bool((model.module.state_dict()["fc.weight"] == 1).all())


def test_says_what_lazy_layers_need() -> None:
    with pytest.raises(InputError) as caught:
        load("lazy.py:Net")
    assert str(caught.value) == (
        "Net has lazy layers, whose sizes follow from its inputs\n"
        "  remedy: give --input, or state netloft_inputs in the class"
    )
    with pytest.raises(InputError, match="has lazy layers that its forward pass does not reach"):
        load_model("lazy.py:Net", arguments={"spare": True}, inputs=SHAPE)
    with pytest.raises(InputError) as caught:
        load_model("lazy.py:Net", inputs=(parse_input("1x3:int64"),))
    assert caught.value.problem.startswith(
        "Net has lazy layers, and its forward pass fails on these inputs: "
    )
    assert caught.value.source == "lazy.py:11  return self.fc(x)"
