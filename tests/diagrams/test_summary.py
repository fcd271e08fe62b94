"""What a box says of the module that it stands for."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
import torchvision
from torch import Tensor, nn

from netloft.tracing import trace
from netloft_diagrams import render

SVG = "{http://www.w3.org/2000/svg}"


def said_of(module: nn.Module, x: Tensor, **options: int) -> dict[str, list[str]]:
    """Return the words in each box by its name, which stands below them before its parameters."""
    graph = trace(module.eval(), (x,), prove=False)
    root = ElementTree.fromstring(render(graph, "svg", **options))  # type: ignore[arg-type]
    groups = [g for g in root.iter(f"{SVG}g") if g.get("class") == "box"]
    words = ([t.text or "" for t in g.iter(f"{SVG}text")] for g in groups)
    found = ([line for line in lines if not line.startswith("×")] for lines in words)
    return {lines[-1].split(" · ")[0]: lines for lines in found}


def test_a_block_like_another_says_that_its_stride_is_its_own() -> None:
    boxes = said_of(torchvision.models.resnet152(), torch.randn(1, 3, 224, 224))
    assert boxes["layer2.0"][:3] == ["Bottleneck", "like layer1.0", "but stride 2"]
    assert boxes["layer2.1…7"][:2] == ["Bottleneck", "like layer1.1"]
    assert "but" not in " ".join(boxes["layer2.1…7"])


def test_a_closed_block_says_its_dilation() -> None:
    made = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    boxes = said_of(made, torch.randn(1, 3, 520, 520))
    assert "but stride 2" in boxes["layer2.0"]
    assert "but" not in " ".join(boxes["layer3.0"])
    assert [boxes[name][-2] for name in ("layer3.1…5", "layer4.0", "layer4.1…2")] == [
        "dilation 2", "dilation 2", "dilation 4",
    ]  # fmt: skip


class Net(nn.Module):
    """One module of convolutions with these kernels."""

    def __init__(self, *kernels: int) -> None:
        super().__init__()
        self.block = Block(*kernels)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.block(x)
        return found


class Block(nn.Sequential):
    """A class of its own name."""

    def __init__(self, *kernels: int) -> None:
        super().__init__(*(nn.Conv2d(2, 2, k, padding=k // 2, stride=1) for k in kernels))


@pytest.mark.parametrize(
    ("kernels", "said"),
    [
        ((1, 3), ["Conv 1×1", "Conv 3×3"]),
        ((1, 3, 5, 7, 9), [f"Conv {k}×{k}" for k in (1, 3, 5, 7, 9)]),
        ((1, 1, 1, 3, 3, 5, 5, 7, 7, 9, 11),
         ["3× Conv 1×1", *(f"2× Conv {k}×{k}" for k in (3, 5, 7)), "and 2 kinds more"]),
    ],
)  # fmt: skip
def test_what_is_left_out_of_a_box_is_said(kernels: tuple[int, ...], said: list[str]) -> None:
    boxes = said_of(Net(*kernels), torch.randn(1, 2, 9, 9), depth=0)
    words = " ".join(boxes["block"])
    assert [part for part in said if not re.search(rf"(^| ){re.escape(part)}( |$)", words)] == []
    assert ("kinds more" in words) == ("kinds more" in said[-1])


@pytest.mark.parametrize(
    ("conv", "bare"),
    [
        (nn.Conv2d(3, 4, 3), True),
        (nn.Conv2d(3, 4, 3, stride=2), True),
        (nn.Conv2d(3, 4, 3, padding="valid"), True),
        (nn.Conv2d(3, 4, (1, 3)), True),
        (nn.Conv2d(3, 4, 3, padding=1), False),
        (nn.Conv2d(3, 4, 3, padding="same"), False),
        (nn.Conv2d(3, 4, 1), False),
        (nn.Conv2d(3, 4, 4, stride=4), False),  # patches: nothing is lost at the border
        (nn.ConvTranspose2d(3, 4, 3), False),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)), False),
    ],
)
def test_a_convolution_without_padding_says_so(conv: nn.Module, bare: bool) -> None:
    found = said_of(nn.Sequential(conv, nn.ReLU()), torch.randn(1, 3, 8, 8))
    words = " ".join(word for lines in found.values() for word in lines)
    assert ("no pad" in words) is bare
