"""Networks to draw, traced once a session."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
import torchvision
from torch import Tensor, nn

from netloft.graph import Graph
from netloft.models import load_model
from netloft.tracing import trace
from netloft_diagrams import render

SMALL_PICTURES = {
    "alexnet": 224,
    "resnet18": 224,
    "vgg16": 64,
    "resnet152": 64,
    "densenet121": 64,
    "googlenet": 64,
    "shufflenet_v2_x1_0": 64,
}
"""Length of the side of torchvision's inputs here: tracing proves the graph by running it."""


class Shared(nn.Module):
    """One layer called four times: its weights count once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(4):
            x = torch.relu(self.layer(x))
        return x


class Crossing(nn.Module):
    """No series-parallel net: the branches feed each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(8, 8, k, 1, k // 2) for k in (3, 5, 3))
        self.d, self.e = nn.Conv2d(8, 8, 1), nn.Conv2d(16, 8, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        c, d = self.c(a + b), self.d(b)
        e = self.e(torch.cat([a, d], 1))
        return c * e + d


class FlatResidual(nn.Module):
    """Residual blocks written out as functions: there is no module to fold by."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.relu(conv(x)) + x
        return x


class UNet(nn.Module):
    """Skips over the whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.mid = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 1, 1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down(x)
        b = self.up(self.mid(functional.max_pool2d(a, 2)))
        return self.out(torch.cat([a, b], 1))


class TwoOutputs(nn.Module):
    """Two results, an unused parameter and a free one."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 3)
        self.scale, self.forgotten = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(7))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.body(x) * self.scale
        return {"left": self.left(y), "right": self.right(y)}


class Tiny(nn.Module):
    """Small enough that its DOT text can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        return self.head(x.mean((2, 3)))


_OWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "shared": (Shared, (8,)),
    "crossing": (Crossing, (8, 16, 16)),
    "flat_residual": (FlatResidual, (4, 8, 8)),
    "unet": (UNet, (3, 16, 16)),
    "two_outputs": (TwoOutputs, (4,)),
    "tiny": (Tiny, (1, 8, 8)),
}


@functools.cache
def _graph(name: str) -> Graph:
    torch.manual_seed(0)
    if name in _OWN:
        make, shape = _OWN[name]
        return trace(make().eval(), (torch.randn(2, *shape),), name=name)
    if name in SMALL_PICTURES:
        keywords = {"init_weights": False} if name == "googlenet" else {}
        module = getattr(torchvision.models, name)(**keywords).eval()
        size = SMALL_PICTURES[name]
        return trace(module, (torch.randn(2, 3, size, size),), name=name)
    if name == "vit":
        vit = torchvision.models.VisionTransformer(32, 16, 12, 4, 64, 128).eval()
        return trace(vit, (torch.randn(2, 3, 32, 32),), name=name)
    if name == "swin":
        windows = ([4, 4], 24, [2, 2], [3, 6], [4, 4])
        swin = torchvision.models.SwinTransformer(*windows, num_classes=10).eval()
        return trace(swin, (torch.randn(2, 3, 32, 32),), name=name)
    model = load_model(name)
    return trace(model.module, model.example(seed=0), name=name)


@pytest.fixture(scope="session")
def graph_of() -> Callable[[str], Graph]:
    """Return a traced network by name."""
    return _graph


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium once a session."""
    from tests.diagrams.browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def explore(
    browser: Any, graph_of: Callable[[str], Graph], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Return what opens the page of a network by its name, or of a graph."""
    from tests.diagrams.browser import opened

    folder = tmp_path_factory.mktemp("pages")
    names = (f"{i}.html" for i in itertools.count())

    def make(what: str | Graph, fragment: str = "", **options: Any) -> Any:
        known = ("depth", "expand", "direction", "only", "color")
        drawing = {k: options.pop(k) for k in known if k in options}
        graph = graph_of(what) if isinstance(what, str) else what
        file = folder / next(names)
        file.write_bytes(render(graph, "html", **drawing))
        return opened(browser, file, fragment, **options)

    return make
