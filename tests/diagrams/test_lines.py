"""Each line is one value: no two values run along one another, and each says its own shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams.api import render
from netloft_diagrams.drawing import Drawing
from netloft_diagrams.geometry import Placed, Point, Wire
from netloft_diagrams.page import Options


class Several(nn.Module):
    """Layers and functions that give more than one value."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.last = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)
        self.a, self.b = nn.Linear(2, 5), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, state = self.gru(x)
        z, weights = self.mha(y, y, y)
        first, second = z.split([2, 6], -1)
        return self.a(first) - self.b(second), weights, self.last(state[0])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.c(x).relu()
        return fine, self.d(fine).relu()


class TwoScales(nn.Module):
    """The value that goes on straight is not the one that the box straight ahead reads."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.fine, self.coarse = nn.Conv2d(8, 1, 1), nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine, coarse = self.encoder(x)
        up = functional.interpolate(self.coarse(coarse), scale_factor=2)
        return self.fine(fine) - up, coarse.mean((2, 3))


@pytest.fixture(scope="module")
def own() -> Callable[[str], Graph]:
    def made(name: str) -> Graph:
        module, shape = {"several": (Several(), (10, 6)), "two_scales": (TwoScales(), (3, 8, 8))}[
            name
        ]
        return trace(module.eval(), (torch.randn(2, *shape),), name=name)

    return made


def segments(wire: Wire) -> Iterator[tuple[Point, Point]]:
    return itertools.pairwise(wire.points)


def shared(one: tuple[Point, Point], other: tuple[Point, Point]) -> float:
    """Return how far two segments run along one another."""
    for axis in (0, 1):
        at = {round(point[axis], 1) for point in (*one, *other)}
        if len(at) == 1:
            (a, b), (c, d) = (sorted(p[1 - axis] for p in part) for part in (one, other))
            return max(0.0, min(b, d) - max(a, c))
    return 0.0


def frames(placed: Placed) -> Iterator[Placed]:
    if placed.children:
        yield placed
        for child in placed.children:
            yield from frames(child)


def mixed(placed: Placed) -> list[str]:
    """Return the pairs of values that run along one another, but for the way into one item."""
    found = []
    for frame in frames(placed):
        for one, other in itertools.combinations(frame.wires, 2):
            if one.net == other.net or (one.target and one.target == other.target):
                continue
            long = max(shared(a, b) for a in segments(one) for b in segments(other))
            if long > 0.5:
                found.append(f"{one.net} and {other.net} for {long:.0f} px")
    return found


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("name", ["several", "two_scales"])
def test_no_value_looks_like_another(
    own: Callable[[str], Graph], name: str, direction: str
) -> None:
    assert not mixed(Drawing(own(name), Options(9, direction=direction)).placed)


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize(
    "name",
    ["myresnet", "resnet18", "alphago", "densenet121", "googlenet", "vit", "unet", "crossing"],
)
def test_nor_in_known_networks(graph_of: Callable[[str], Graph], name: str, direction: str) -> None:
    assert not mixed(Drawing(graph_of(name), Options(9, direction=direction)).placed)


def test_each_result_says_its_own_shape(own: Callable[[str], Graph]) -> None:
    svg = render(own("several"), "svg").decode()
    for shape in ("10×8", "1×batch×8", "10×2", "10×6", "10×10"):
        assert f">{shape}<" in svg
    table = render(own("several"), "txt").decode().splitlines()
    assert [row.split()[-1] for row in table if "output_" in row] == ["10×5", "10×10", "3"]
    dot = render(own("several"), "dot").decode()
    assert 'label="10×2"' in dot
    assert 'label="10×6"' in dot


class ThreeScales(nn.Module):
    """A module that gives three values, each to a reader of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.reads = nn.ModuleList(nn.Conv2d(n, 2, 1) for n in (4, 8, 16))

    def forward(self, x: Tensor) -> Tensor:
        made = zip(self.reads, self.pyramid(x), strict=True)
        a, b, c = (read(value).mean((2, 3)) for read, value in made)
        return a * b - c


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, m, 3, 2, 1) for n, m in ((3, 4), (4, 8), (8, 16)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = self.a(x).relu()
        b = self.b(a).relu()
        return a, b, self.c(b).relu()


def test_labels_stay_in_the_row_however_many_values_leave() -> None:
    class Parts(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(x[:, i : i + 2].relu() for i in range(7))

    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = Parts()
            self.reads = nn.ModuleList(nn.Conv2d(2, 3, 1) for _ in range(7))

        def forward(self, x: Tensor) -> Tensor:
            made = zip(self.reads, self.parts(x), strict=True)
            found: Tensor = sum((read(y) for read, y in made), x[:, :3])
            return found

    placed = Drawing(trace(Many().eval(), (torch.randn(2, 8, 9, 9),)), Options(0)).placed
    labels = [w.label_at for w in placed.wires if w.label and w.label[0].isdigit()]
    assert labels
    assert all(0 < x < placed.width and 0 < y < placed.height for x, y in labels)


@pytest.mark.parametrize("direction", ["right", "down"])
def test_values_that_leave_together_are_told_apart(direction: str) -> None:
    graph = trace(ThreeScales().eval(), (torch.randn(2, 3, 16, 16),))
    options = Options(0, direction=direction)
    placed = Drawing(graph, options).placed
    (pyramid,) = [p.item.key for p in placed.children if "Pyramid" in str(p.item)]
    told = {w.label: w.label_at for w in placed.wires if w.source == pyramid and w.label}
    if direction == "down":
        assert list(told) == ["4×8×8, 8×4×4, 16×2×2"]
        return
    assert sorted(told) == ["16×2×2", "4×8×8", "8×4×4"]
    heights = sorted(y for _, y in told.values())
    assert all(10 < b - a < 26 for a, b in itertools.pairwise(heights))
