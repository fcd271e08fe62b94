"""Preprocessing and heads as modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netloft.models.photographs import IMAGENET_MEAN, IMAGENET_STD
from netloft.models.pipeline import Head, Normalise, Pipeline


def exact(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Return what torchvision's preprocessing means, in float64."""
    wide = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    return ((images.double() / 255 - wide[0]) / wide[1]).permute(0, 3, 1, 2)


CONSTANTS = {
    "ImageNet": (IMAGENET_MEAN, IMAGENET_STD),
    "Inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "grey": ((0.1307,), (0.3081,)),
    "none": ((0.0,), (1.0,)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_byte_is_within_one_unit_of_the_largest_result(name: str) -> None:
    mean, std = CONSTANTS[name]
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, len(mean))
    wanted = exact(images, mean, std)
    given = Normalise(mean, std)(images)
    assert given.dtype == torch.float32
    largest = torch.tensor(float(wanted.abs().max()))
    unit = float(torch.nextafter(largest, torch.tensor(torch.inf)) - largest)
    assert float((given.double() - wanted).abs().max()) <= unit


def test_float64_is_float64() -> None:
    images = torch.randint(0, 256, (2, 5, 4, 3), dtype=torch.uint8)
    single = Normalise(IMAGENET_MEAN, IMAGENET_STD)
    assert copy.deepcopy(single).double()(images).dtype == torch.float64
    wide = Normalise(IMAGENET_MEAN, IMAGENET_STD, torch.float64)(images)
    assert torch.allclose(wide, exact(images, IMAGENET_MEAN, IMAGENET_STD), rtol=0, atol=1e-14)


def test_the_planes_lie_in_memory_as_a_view_needs_them() -> None:
    images = torch.zeros(2, 5, 4, 3, dtype=torch.uint8)
    Normalise(IMAGENET_MEAN, IMAGENET_STD)(images).view(2, -1)


@pytest.mark.parametrize(
    ("softmax", "top_k", "names"),
    [
        (True, 0, ["probabilities"]),
        (False, 2, ["scores", "classes"]),
        (True, 2, ["probabilities", "scores", "classes"]),
    ],
)
def test_a_head_gives_what_is_asked_for(softmax: bool, top_k: int, names: list[str]) -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0]])
    found = Head(softmax, top_k)(logits)
    assert list(found) == names
    if softmax:
        assert torch.equal(found["probabilities"], torch.softmax(logits, 1))
    if top_k:
        assert found["classes"].tolist() == [[1, 2], [0, 1]]
        assert found["classes"].dtype == torch.int64
        scores = found.get("probabilities", logits)
        assert torch.equal(found["scores"], scores.gather(1, found["classes"]))


class Two(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


def test_a_head_alone_keeps_the_inputs() -> None:
    pipeline = Pipeline(Two(), head=Head(True, 0))
    assert not pipeline.training
    result = pipeline(a=torch.zeros(1, 4), b=torch.zeros(1, 4))
    assert torch.equal(result["probabilities"], torch.full((1, 4), 0.25))
