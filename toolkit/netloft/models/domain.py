"""Inputs for a model: noise of the right shapes, and real-looking ones of its domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netloft.defaults import MAX_ELEMENTS
from netloft.errors import InputError
from netloft.models.go import positions
from netloft.models.inputs import bind_names
from netloft.models.photographs import describe_photographs, photographs, pictures

if TYPE_CHECKING:
    from netloft.models.loaded import InputSpec, LoadedModel

__all__ = ["domain_inputs", "noise_inputs"]

_INTEGERS = 8
"""Integer noise lies below this, or below the number of rows of the smallest embedding."""
_BYTES = 256
"""Bytes without an embedding are pixels, and their noise takes all values."""
_SMALLEST_PHOTOGRAPH = 16
_FRAMES, _FEATURES = 11, 39
_DIGIT = 28


def noise_inputs(model: LoadedModel, batch: int, seed: int) -> dict[str, torch.Tensor]:
    """Return noise of the right shapes.

    Args:
        model: Says the shapes.
        batch: Items; the first axis of every input.
        seed: Of the noise.

    Returns:
        By name of `forward`'s argument: N(0, 1) for real numbers, small integers, bytes, or bits.

    Raises:
        InputError: They are too large for this machine, or for any.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = [m.num_embeddings for m in model.module.modules() if isinstance(m, nn.Embedding)]

    def noise(spec: InputSpec) -> torch.Tensor:
        high = min(rows, default=_BYTES if spec.dtype == "uint8" else _INTEGERS)
        return _fitting(spec.name, (batch, *spec.shape[1:]), spec.dtype, max(high, 1), generator)

    return {spec.name: noise(spec) for spec in bind_names(model.module, model.inputs)}


def _fitting(
    name: str, shape: tuple[int, ...], dtype: str, high: int, generator: torch.Generator
) -> torch.Tensor:
    size = "x".join(map(str, shape))
    remedy = "give a smaller --input or --batch"
    if math.prod(shape) > MAX_ELEMENTS:
        raise InputError(f"input '{name}' of {size} has too many elements", remedy=remedy)
    try:
        return _noise(shape, getattr(torch, dtype), high, generator)
    except RuntimeError as error:  # torch has no kind of its own for this
        if "allocate" not in str(error):
            raise
        raise InputError(
            f"input '{name}' of {size} does not fit in this machine's memory", remedy=remedy
        ) from error


def _noise(
    shape: tuple[int, ...], dtype: torch.dtype, high: int, generator: torch.Generator
) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) > 0.5
    return torch.randint(0, high, shape, generator=generator).to(dtype)


def domain_inputs(
    model: LoadedModel, batch: int, seed: int
) -> tuple[dict[str, torch.Tensor], str] | None:
    """Return real-looking inputs and what they are; None where nothing is known of the domain.

    A model of no stated domain whose inputs have the shape of pictures gets photographs. Bytes are
    pictures as they are, channels first or last; other numbers are prepared as the model states.

    Args:
        model: Says the domain, the shapes and the preprocessing.
        batch: Items; the first axis of every input.
        seed: Of what varies: crops and flips, games, drawings, speech.
    """
    inputs = bind_names(model.module, model.inputs)
    make, describe = _DOMAINS.get(model.domain, _DOMAINS["photo"])
    found: dict[str, torch.Tensor] = {}
    for index, spec in enumerate(inputs):
        tensor = make(spec, batch, seed + index, model.preprocess)
        dtype = getattr(torch, spec.dtype)
        if tensor is None or tensor.is_floating_point() != dtype.is_floating_point:
            return None
        found[spec.name] = tensor.to(dtype)
    return (found, describe(batch)) if found else None


def _photo(
    spec: InputSpec, batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor | None:
    shape, last = _planes_of(spec)
    is_picture = len(shape) in (3, 4) and shape[0] in (1, 3)
    if not is_picture or min(shape[-2:]) < _SMALLEST_PHOTOGRAPH:
        return None
    make = pictures if spec.dtype == "uint8" else photographs
    made = make(shape, batch, seed, preprocess)
    return made.permute(0, 2, 3, 1).contiguous() if last else made


def _planes_of(spec: InputSpec) -> tuple[tuple[int, ...], bool]:
    """Return the shape of an item with its channels first, and whether it has them last."""
    shape = spec.shape[1:]
    last = spec.dtype == "uint8" and len(shape) == 3 and shape[-1] in (1, 3)
    return ((shape[-1], *shape[:-1]) if last else shape), last


def _go(
    spec: InputSpec, batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor | None:
    return positions(batch, seed) if spec.shape[1:] == (48, 19, 19) else None


def _digit(
    spec: InputSpec, batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor | None:
    if _planes_of(spec)[0] != (1, _DIGIT, _DIGIT):
        return None
    random = np.random.default_rng(seed)
    drawn = [_draw_digit(int(random.integers(10)), random) for _ in range(batch)]
    made = torch.from_numpy(np.stack(drawn)).reshape(batch, *spec.shape[1:])
    return made if spec.dtype == "uint8" else made.float() / 255


def _draw_digit(digit: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (_DIGIT, _DIGIT))
    font = ImageFont.load_default(size=22)
    centre = (_DIGIT / 2, _DIGIT / 2)
    ImageDraw.Draw(image).text(centre, str(digit), fill=255, font=font, anchor="mm")
    turned = image.rotate(
        float(random.uniform(-15, 15)),
        resample=Image.Resampling.BILINEAR,
        translate=(int(random.integers(-3, 4)), int(random.integers(-3, 4))),
    )
    return np.asarray(turned, dtype=np.uint8)


def _speech(
    spec: InputSpec, batch: int, seed: int, preprocess: Mapping[str, object]
) -> torch.Tensor | None:
    if spec.shape[1:] != (_FRAMES * _FEATURES,):
        return None
    noise = np.random.default_rng(seed).standard_normal((_FRAMES, batch, _FEATURES))
    keep = 0.9  # of the frame before: features of speech change slowly over 10 ms
    frames = [noise[0]]
    for new in noise[1:]:
        frames.append(keep * frames[-1] + math.sqrt(1 - keep**2) * new)
    window = np.stack(frames, axis=1).reshape(batch, _FRAMES * _FEATURES)
    return torch.from_numpy(window.astype(np.float32))


_Make = Callable[["InputSpec", int, int, Mapping[str, object]], torch.Tensor | None]


def _counted(one: str, many: str) -> Callable[[int], str]:
    return lambda batch: f"1 {one}" if batch == 1 else f"{batch} {many}"


_DOMAINS: Mapping[str, tuple[_Make, Callable[[int], str]]] = {
    "photo": (_photo, describe_photographs),
    "go": (_go, _counted("Go position", "Go positions")),
    "digit": (_digit, _counted("drawn digit", "drawn digits")),
    "speech": (_speech, _counted("window of speech-like frames", "windows of speech-like frames")),
}
