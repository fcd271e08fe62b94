"""Networks that no page can hold are folded where they repeat, and else refused clearly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.diagrams.reading import Picture
from torch import Tensor, nn

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams import draw, render


class Block(nn.Module):
    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 4, kernel, padding=kernel // 2)
        self.norm, self.narrow = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.narrow(torch.relu(self.norm(self.wide(x)))) + x)


class Deep(nn.Module):
    """Blocks of three kinds in turn."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(1 + 2 * (i % 7 % 3)) for i in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.blocks(x)
        return made


class Unlike(nn.Module):
    """A chain in which no two steps are equal, so that nothing can be folded."""

    def forward(self, x: Tensor) -> Tensor:
        for i in range(2100):
            x = torch.tanh(x) * float(i)
        return x


@pytest.fixture(scope="module")
def unlike() -> Graph:
    return trace(Unlike().eval(), (torch.randn(2, 4),), prove=False)


def test_thousands_of_operations_are_folded() -> None:
    graph = trace(Deep(350).eval(), (torch.randn(2, 4, 8, 8),), prove=False)
    assert len(graph) > 2_100
    picture = Picture.of(render(graph, "svg"))
    assert picture.parameters == graph.totals.n_params
    assert sum(1 for _ in picture.groups("box")) < 60
    assert max(picture.repeats) == 50


def test_what_cannot_be_folded_is_refused(unlike: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"would have 2,1\d\d boxes, and no page shows more") as e:
        draw(unlike, tmp_path / "net.svg")
    assert "--only PATH" in e.value.remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["html", "txt", "dot", "mmd"])
def test_and_written_where_no_page_is_needed(unlike: Graph, format: str) -> None:
    made = render(unlike, format).decode()
    assert made.count("Tanh") >= 2100
