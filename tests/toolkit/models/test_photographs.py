from __future__ import annotations

from pathlib import Path

import pytest
import torch

import netloft.models.photographs as photographs_file
from netloft.models.photographs import describe_photographs, photographs


@pytest.mark.parametrize(
    "shape", [(3, 224, 224), (3, 299, 299), (1, 28, 28), (3, 64, 500), (3, 8, 32, 48)]
)
def test_has_the_shape_that_is_asked_for(shape: tuple[int, ...]) -> None:
    batch = photographs(shape, 3, 0, {})
    assert batch.shape == (3, *shape)
    assert batch.dtype == torch.float32
    assert all(item.std() > 0.1 for item in batch)


def test_same_seed_same_batch() -> None:
    first, again, other = (photographs((3, 64, 64), 6, seed, {}) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first[2:], other[2:])
    assert torch.equal(first[:2], other[:2])  # the whole photographs
    assert len({float(item.double().sum()) for item in first}) == 6


def test_normalises() -> None:
    plain = photographs((3, 32, 32), 1, 0, {"mean": (0.0,) * 3, "std": (1.0,) * 3})
    assert plain.min() >= 0
    assert plain.max() <= 1
    half = photographs((3, 32, 32), 1, 0, {"mean": (0.5,) * 3, "std": (0.5,) * 3})
    assert torch.allclose(half, plain * 2 - 1, atol=1e-6)


def test_agrees_with_torchvision_s_preprocessing() -> None:
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    path = Path(photographs_file.__file__).parent / "photos" / "china.png"
    with Image.open(path) as image:
        expected = ResNet18_Weights.DEFAULT.transforms()(image.convert("RGB"))
    ours = photographs((3, 224, 224), 1, 0, {"resize": 256, "crop": 224})[0]
    assert torch.allclose(ours, expected, atol=1e-5)


def test_a_film_moves() -> None:
    film = photographs((3, 4, 32, 32), 1, 0, {})[0]
    assert not torch.equal(film[:, 0], film[:, 3])


def test_says_what_it_makes() -> None:
    assert [describe_photographs(n) for n in (1, 2, 7)] == [
        "1 photograph",
        "2 photographs",
        "2 photographs, cropped and flipped into 7",
    ]


def test_the_photographs_carry_their_licence() -> None:
    folder = Path(photographs_file.__file__).parent / "photos"
    text = (folder / "LICENSE.txt").read_text()
    assert text.count("Attribution: Some rights reserved by danielbuechele [2]") == 2
    assert text.count("https://creativecommons.org/licenses/by/2.0/") == 2
    assert all(path.stat().st_size < 250_000 for path in folder.glob("*.png"))
