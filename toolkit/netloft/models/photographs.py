"""Two real photographs, resized, cropped and normalised as a network wants them.

Source: scikit-learn's china.jpg and flower.jpg; photos/LICENSE.txt has the attribution.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PHOTOGRAPHS",
    "describe_photographs",
    "normalised",
    "photographs",
    "picture",
    "pictures",
    "scale_of",
]

PHOTOGRAPHS = ("china", "flower")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DEFAULT_RESIZE, _DEFAULT_CROP = 256, 224
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@functools.cache
def _open(name: str) -> Image.Image:
    with Image.open(Path(__file__).parent / "photos" / f"{name}.png") as image:
        return image.convert("RGB")


def describe_photographs(batch: int) -> str:
    """Return what `photographs` makes, in words."""
    if batch <= len(PHOTOGRAPHS):
        return "1 photograph" if batch == 1 else f"{batch} photographs"
    return f"{len(PHOTOGRAPHS)} photographs, cropped and flipped into {batch}"


def photographs(
    shape: Sequence[int], batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor:
    """Return a batch of photographs as numbers: `pictures`, normalised.

    Args:
        shape: As for `pictures`.
        batch: How many.
        seed: Of the crops and flips.
        preprocess: As for `pictures`, and `mean` and `std` (per channel, of values in [0, 1]);
            ImageNet's usual ones where they are absent.

    Returns:
        float32 of shape (batch, *shape).
    """
    return normalised(pictures(shape, batch, seed, preprocess), preprocess)


def normalised(batch: torch.Tensor, preprocess: Mapping[str, object]) -> torch.Tensor:
    """Return pictures as numbers.

    Args:
        batch: uint8 of shape (batch, channels, …).
        preprocess: `mean` and `std` per channel, of values in [0, 1]; ImageNet's usual ones where
            they are absent.
    """
    values = batch.numpy().astype(np.float32)
    along = (len(values[0]), *[1] * (values.ndim - 2))
    mean = _per_channel(preprocess.get("mean", IMAGENET_MEAN), along)
    std = _per_channel(preprocess.get("std", IMAGENET_STD), along)
    return torch.from_numpy((values / np.float32(255) - mean) / std)


def pictures(
    shape: Sequence[int], batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor:
    """Return a batch of photographs as bytes.

    The first two are whole; the others are crops, some of them flipped.

    Args:
        shape: (channels, height, width), or (channels, frames, height, width) for a film in which
            the picture moves; one channel is grey, three are red, green and blue.
        batch: How many.
        seed: Of the crops and flips.
        preprocess: `resize` and `crop` (pixels) and `interpolation`; ImageNet's usual ones where
            they are absent.

    Returns:
        uint8 of shape (batch, *shape).
    """
    random = np.random.default_rng(seed)
    items = [_item(shape, index, random, preprocess) for index in range(batch)]
    return torch.from_numpy(np.stack(items))


def picture(
    image: Image.Image, shape: Sequence[int], preprocess: Mapping[str, object]
) -> npt.NDArray[np.uint8]:
    """Return the middle of an image as bytes.

    Args:
        image: In red, green and blue.
        shape: (channels, height, width); one channel is grey.
        preprocess: As for `pictures`.
    """
    channels, height, width = shape
    resized = _resize(image, height, width, _margin(preprocess), preprocess)
    return _planes(_crop(resized, height, width, 0.5, 0.5), channels)


def _item(
    shape: Sequence[int], index: int, random: np.random.Generator, preprocess: Mapping[str, object]
) -> npt.NDArray[np.uint8]:
    channels, *frames, height, width = shape
    image = _open(PHOTOGRAPHS[index % len(PHOTOGRAPHS)])
    zoom, x, y = _margin(preprocess), 0.5, 0.5
    if index >= len(PHOTOGRAPHS):
        zoom, x, y = zoom * random.uniform(1.0, 1.6), random.random(), random.random()
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    resized = _resize(image, height, width, zoom, preprocess)
    count = frames[0] if frames else 1
    # a film moves a quarter of the free margin to the right
    moved = [min(x + 0.25 * frame / count, 1.0) if frames else x for frame in range(count)]
    arrays = [_planes(_crop(resized, height, width, to, y), channels) for to in moved]
    return np.stack(arrays, axis=1) if frames else arrays[0]


def _margin(preprocess: Mapping[str, object]) -> float:
    """How much larger the picture is than its crop."""
    resize = _pixels(preprocess.get("resize"), _DEFAULT_RESIZE)
    crop = _pixels(preprocess.get("crop"), _DEFAULT_CROP if "resize" not in preprocess else resize)
    return max(resize / crop, 1.0)


def _pixels(value: object, default: int) -> int:
    if isinstance(value, Sequence) and value:
        value = min(value)
    return value if isinstance(value, int) else default


def _resize(
    image: Image.Image, height: int, width: int, zoom: float, preprocess: Mapping[str, object]
) -> Image.Image:
    scale = max(round(height * zoom) / image.height, round(width * zoom) / image.width)
    size = max(int(image.width * scale), width), max(int(image.height * scale), height)
    method = str(preprocess.get("interpolation", "bilinear"))
    return image.resize(size, _RESAMPLING.get(method, Image.Resampling.BILINEAR))


def _crop(image: Image.Image, height: int, width: int, x: float, y: float) -> Image.Image:
    left, top = round((image.width - width) * x), round((image.height - height) * y)
    return image.crop((left, top, left + width, top + height))


def _planes(image: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    picture = image if channels == 3 else image.convert("L")
    values = np.asarray(picture, dtype=np.uint8).reshape(image.height, image.width, channels)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def scale_of(preprocess: Mapping[str, object], channels: int) -> dict[str, tuple[float, ...]]:
    """Return `mean` and `std` of each channel, ImageNet's usual ones where they are absent.

    Args:
        preprocess: What a model states of its pictures.
        channels: How many it takes; where it states another number, each gets their mean.
    """
    usual = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    stated = {name: preprocess.get(name, value) for name, value in usual.items()}
    return {
        name: tuple(map(float, _per_channel(value, (channels,)))) for name, value in stated.items()
    }


def _per_channel(value: object, along: tuple[int, ...]) -> npt.NDArray[np.float32]:
    given = np.atleast_1d(np.asarray(value, dtype=np.float32))
    fits = given.size == along[0]
    return given.reshape(along) if fits else np.full(along, given.mean(), dtype=np.float32)
