"""A map laid over the picture that it is of, in colours that every reader can put in order.

The colours are those of inferno, by Smith and van der Walt: lightness and hue change evenly, for
common colour blindness and in grey too. Where the map is low the picture stays as it is; where it
is high the picture loses its own colours first, so that none of them is taken for the map's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from netloft.explain.seen import Seen
from netloft_diagrams.seen.tiles import Pixels, enlarged, png_bytes

__all__ = ["LOOKED_AT", "legend", "overlay", "overlay_png"]

LOOKED_AT = 224
"""Pixels of the side that a small picture is enlarged to, at least, by a whole factor."""

# inferno from 0.15 to 1: what is darker would hide the picture
_CONTROL = np.array(
    [(0x34, 0x0A, 0x5F), (0x56, 0x10, 0x6E), (0x78, 0x1C, 0x6D), (0x9B, 0x29, 0x64),
     (0xBC, 0x37, 0x54), (0xD8, 0x4C, 0x3E), (0xED, 0x69, 0x25), (0xF9, 0x8E, 0x09),
     (0xFB, 0xB6, 0x1A), (0xF4, 0xDF, 0x53), (0xFC, 0xFF, 0xA4)],
    dtype=np.float64,
)  # fmt: skip
_LUMINANCE = np.array((0.2126, 0.7152, 0.0722))
_GREY = 190
_FAINT = 0.2
"""Below it a map covers less and less: there it is mostly what is left of rounding and noise."""


def overlay(
    pixels: Pixels, map: npt.NDArray[np.float32], strength: float = 0.5
) -> npt.NDArray[np.uint8]:
    """Return a picture with a map over it.

    Args:
        pixels: uint8 of shape (height, width, 3).
        map: Of shape (h, w), in [0, 1]; of another size than the picture, it is resized smoothly.
            What lies outside is cut, and what is no number counts as 0.
        strength: How far the colours cover the picture where the map is 0.5, from 0 to 1; they
            cover nothing where it is 0, and more where it is 1.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        ValueError: A shape or the strength is another one.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or map.ndim != 2 or not map.size:
        raise ValueError(f"a map of {map.shape} cannot lie over pixels of {pixels.shape}")
    if not 0 <= strength <= 1:
        raise ValueError(f"a strength of {strength} is not between 0 and 1")
    heat = _resized(map, pixels.shape[1], pixels.shape[0])[..., None]
    cover = (1 - (1 - strength) ** (2 * heat)) * np.minimum(heat / _FAINT, 1)
    picture = pixels.astype(np.float64)
    grey = (picture @ _LUMINANCE)[..., None]
    below = picture + np.minimum(1.5 * cover, 1) * (grey - picture)
    mixed = below + cover * (_coloured(heat[..., 0]) - below)
    return np.asarray(np.rint(np.clip(mixed, 0, 255)), dtype=np.uint8)


def overlay_png(seen: Seen) -> bytes:
    """Return the picture with its map as PNG, small ones enlarged so that each pixel is a square.

    Raises:
        ValueError: The shapes are not those that `Seen` tells.
    """
    factor = max(LOOKED_AT // max(seen.pixels.shape[:2]), 1)
    return png_bytes(overlay(enlarged(seen.pixels, factor), seen.map))


def legend(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return what a map from 0 to 1 looks like over plain grey.

    Returns:
        uint8 of shape (height, width, 3).
    """
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    return overlay(np.full((height, width, 3), _GREY, dtype=np.uint8), ramp)


def _resized(map: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float64]:
    known = np.nan_to_num(map.astype(np.float32), nan=0.0)
    known = np.ascontiguousarray(np.clip(known, 0, 1))
    if known.shape != (height, width):
        resized = Image.fromarray(known).resize((width, height), Image.Resampling.BICUBIC)
        known = np.clip(np.asarray(resized), 0, 1)
    return known.astype(np.float64)


def _coloured(heat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the colour of each place, of shape (height, width, 3)."""
    at = np.linspace(0, 1, len(_CONTROL))
    return np.stack([np.interp(heat, at, _CONTROL[:, i]) for i in range(3)], axis=-1)
