"""Numbers that a network takes or holds, as pixels that a person can look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["as_pixels"]

_GREY = 128


def as_pixels(
    values: npt.NDArray[np.float32],
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    symmetric: bool = False,
) -> npt.NDArray[np.uint8]:
    """Return an input or a filter as a picture.

    What is no number counts as 0, and an infinite one as the furthest that is finite.

    Args:
        values: float32 of shape (channels, height, width). Three channels are red, green and blue;
            of another number, the mean is shown in grey.
        mean: Of each channel or of all, in values of [0, 1], where the values were normalised by
            it; taken back, and cut to [0, 1].
        std: As `mean`; 0 and 1 stand in where only one of the two is given.
        symmetric: Show 0 as mid-grey, and the largest magnitude as black or white; for weights.
            With neither this nor `mean` nor `std`, the values are stretched, smallest to largest.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        ValueError: The values have another number of axes, or none at all; or `mean` or `std` does
            not go with the channels.
    """
    if values.ndim != 3 or not values.size:
        raise ValueError(f"values of shape {values.shape} are not (channels, height, width)")
    planes = _finite(values.astype(np.float64))
    scaled = mean is not None or std is not None
    if scaled:
        planes = planes * _each(std, 1.0, len(planes)) + _each(mean, 0.0, len(planes))
    if len(planes) != 3:
        planes = planes.mean(axis=0, keepdims=True)
    if symmetric:
        bytes_ = _GREY + 127 * planes / (np.abs(planes).max() or 1.0)
    elif scaled:
        bytes_ = 255 * planes
    else:
        low, high = planes.min(), planes.max()
        flat = np.full_like(planes, _GREY)
        bytes_ = 255 * (planes - low) / (high - low) if high > low else flat
    picture = np.rint(np.clip(bytes_, 0, 255)).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def _finite(planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = planes[np.isfinite(planes)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    return np.nan_to_num(planes, nan=0.0, posinf=high, neginf=low)


def _each(
    value: float | Sequence[float] | None, missing: float, channels: int
) -> npt.NDArray[np.float64]:
    """Return one number a channel, along the first axis."""
    given = np.atleast_1d(np.asarray(missing if value is None else value, dtype=np.float64))
    if given.shape not in ((1,), (channels,)):
        raise ValueError(f"{given.size} numbers for {channels} channels")
    return given.reshape(-1, 1, 1)
