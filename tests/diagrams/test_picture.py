"""One line in a notebook: the drawing shows itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import netloft
from netloft.errors import UsageError
from netloft.graph import Graph


@pytest.fixture
def module() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()


def test_a_module_and_its_input_are_enough(module: nn.Module) -> None:
    picture = netloft.draw(module, torch.randn(2, 4))
    shown = picture._repr_mimebundle_()
    assert picture == ()
    assert ElementTree.fromstring(shown["image/svg+xml"]).tag.endswith("svg")
    assert "Linear → 3 · ReLU" in shown["text/plain"]


def test_files_are_written_and_shown(module: nn.Module, tmp_path: Path) -> None:
    picture = netloft.draw(module, (torch.randn(2, 4),), tmp_path / "a.svg", tmp_path / "a.txt")
    assert picture.svg == picture[0].read_text(encoding="utf-8")
    assert picture == (tmp_path / "a.svg", tmp_path / "a.txt")


def test_a_graph_needs_no_input(graph_of: Callable[[str], Graph]) -> None:
    assert "conv" in netloft.draw(graph_of("tiny"))._repr_mimebundle_()["text/plain"]


def test_inputs_are_given_once(module: nn.Module) -> None:
    x = torch.randn(2, 4)
    for given in ((x, x), (x,)):
        with pytest.raises(UsageError, match="more than once"):
            netloft.draw(module, *given, example_inputs=(x,))
    with pytest.raises(UsageError, match="tracing needs example inputs"):
        netloft.draw(module)
