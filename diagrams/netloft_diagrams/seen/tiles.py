"""Pixels made larger or smaller, and written down where a picture or a page can hold them."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from netloft.explain.pixels import as_pixels

__all__ = ["as_pixels", "check_pixels", "data_uri", "enlarged", "png_bytes", "sharp", "shrunk"]

Pixels = npt.NDArray[np.uint8]

_COMPRESSION = 9


def enlarged(pixels: Pixels, factor: int) -> Pixels:
    """Return a picture with each pixel as a square.

    Args:
        pixels: uint8 of shape (height, width, 3).
        factor: Side of the square, in pixels; 1 or more.

    Returns:
        uint8 of shape (factor × height, factor × width, 3).
    """
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def shrunk(pixels: Pixels, longest: int) -> Pixels:
    """Return a picture whose longer side has at most `longest` pixels; a smaller one as it is.

    Args:
        pixels: uint8 of shape (height, width, 3).
        longest: In pixels.
    """
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def check_pixels(pixels: Pixels) -> None:
    """Check that a picture is one.

    Raises:
        ValueError: The pixels are not uint8 of shape (height, width, 3), or there is none.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"{pixels.dtype} of {pixels.shape} is not uint8 of (height, width, 3)")


def png_bytes(pixels: Pixels) -> bytes:
    """Return a picture as PNG: no date, no name, the same bytes every time.

    Args:
        pixels: uint8 of shape (height, width, 3).

    Raises:
        ValueError: They have another type or shape, or there is none.
    """
    check_pixels(pixels)
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, format="PNG", compress_level=_COMPRESSION)
    return file.getvalue()


def data_uri(pixels: Pixels) -> str:
    """Return a picture as an address that holds the picture itself; see `png_bytes`."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(pixels)).decode('ascii')}"


_TINY = 80
"""Pixels of a side below which each is shown as a square."""


def sharp(pixels: Pixels, most: int) -> Pixels:
    """Return as many pixels as a sharp print needs, those of a tiny picture as squares.

    Args:
        pixels: uint8 of shape (height, width, 3).
        most: Pixels of the longer side that a print has room for.
    """
    longer = max(pixels.shape[:2])
    return enlarged(pixels, -(-most // longer)) if longer < _TINY else shrunk(pixels, most)
