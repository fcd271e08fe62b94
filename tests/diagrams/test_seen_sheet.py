"""Contact sheets, and numbers as pixels: a reader sees every pixel of a tiny picture."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.diagrams.reading import SVG, images, noise, opened, size, texts

from netloft.errors import UsageError
from netloft.explain.pixels import as_pixels
from netloft.explain.seen import Sheet, Tile
from netloft_diagrams.seen import sheet_svg, svg_png
from netloft_diagrams.seen.sheet import columns_for

Floats = npt.NDArray[np.float32]


def sheet(n: int, side: int, caption: str = "unit {}", note: str = "") -> Sheet:
    tiles = (Tile(noise(side, side, i), caption.format(i), note) for i in range(n))
    return Sheet("What units look for", "conv1", tuple(tiles))


@pytest.mark.parametrize(
    ("n", "side", "columns"),
    [
        (25, 7, 5),
        (50, 11, 10),
        (64, 11, 8),
        (100, 28, 10),
        (96, 11, 12),
        (10, 28, 5),
        (100, 224, 10),
    ],
)
def test_sheets_are_as_wide_as_a_page(n: int, side: int, columns: int) -> None:
    svg = sheet_svg(sheet(n, side, "a unit with a long caption {}", "and a note that is long"))
    wide, high = size(svg)
    assert wide <= 1100
    found = images(svg)
    assert len(found) == n
    assert len({image.attrib["x"] for image in found}) == columns
    for image in found:
        x, y, across, down = (float(image.attrib[k]) for k in ("x", "y", "width", "height"))
        assert x + across <= wide
        assert y + down <= high
        assert across >= 60 or across == side


def test_each_pixel_of_a_tiny_tile_is_a_square_of_whole_pixels() -> None:
    for side in (7, 11, 28):
        (image, *_) = images(sheet_svg(sheet(25, side)))
        factor, rest = divmod(float(image.attrib["width"]), side)
        assert rest == 0
        assert factor >= 4
        shown = opened(image.attrib["href"])
        assert (shown[:: int(factor), :: int(factor)] == noise(side, side)).all()
        assert (shown[: int(factor), : int(factor)] == shown[0, 0]).all()


def test_squares_are_sharp_in_the_png() -> None:
    grid = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    svg = sheet_svg(Sheet("", "", (Tile(np.repeat(grid[..., None], 3, axis=2), ""),)))
    (image,) = images(svg)
    left, top, wide = (int(2 * float(image.attrib[key])) for key in ("x", "y", "width"))
    drawn = np.asarray(Image.open(io.BytesIO(svg_png(svg))).convert("L"))
    inside = drawn[top + 4 : top + wide - 4, left + 4 : left + wide - 4]
    assert set(np.unique(inside)) == {0, 255}


def test_a_long_caption_is_cut_and_kept_as_a_tooltip() -> None:
    long = "golden retriever that goes on and on and on"
    svg = sheet_svg(sheet(100, 28, f"{{}} {long}"))
    assert f"7 {long}" not in texts(svg)
    assert any(text.startswith("7 golden") and text.endswith("…") for text in texts(svg))
    titles = [found.text for found in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert f"7 {long}" in titles


def test_columns_may_be_asked_for_and_fill_the_rows_otherwise() -> None:
    assert len({i.attrib["x"] for i in images(sheet_svg(sheet(6, 7), columns=2))}) == 2
    assert [columns_for(n) for n in (1, 4, 7, 10, 12, 25, 50, 64, 96, 100)] == [
        1, 4, 3, 5, 4, 5, 10, 8, 12, 10,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="0 columns"):
        sheet_svg(sheet(6, 7), columns=0)
    with pytest.raises(UsageError, match="no tile"):
        sheet_svg(Sheet("", "", ()))
    with pytest.raises(ValueError, match="not uint8"):
        sheet_svg(Sheet("", "", (Tile(noise(4, 4)[..., 0], ""),)))


def test_normalised_values_become_the_pixels_that_they_were() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = noise(6, 5)
    planes = (pixels.transpose(2, 0, 1) / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(
        std, (3, 1, 1)
    )
    assert (as_pixels(planes.astype(np.float32), mean=mean, std=std) == pixels).all()
    bright = np.full((1, 2, 2), 9, np.float32)
    assert (as_pixels(bright, mean=0.5, std=0.5) == 255).all()
    assert (as_pixels(-bright, std=0.5) == 0).all()


def test_other_values_are_stretched_or_set_about_grey() -> None:
    values = np.array([[[-1.0, 0.0, 3.0]]], np.float32)
    assert as_pixels(values)[0, :, 0].tolist() == [0, 64, 255]
    assert as_pixels(values, symmetric=True)[0, :, 1].tolist() == [86, 128, 255]
    assert (as_pixels(np.zeros((3, 2, 2), np.float32), symmetric=True) == 128).all()
    assert (as_pixels(np.full((1, 2, 2), 5, np.float32)) == 128).all()
    two = np.stack([values[0], 3 * values[0]])
    assert (as_pixels(two) == as_pixels(values)).all()
    odd = np.array([[[np.nan, -np.inf, 1.0, np.inf, -1.0]]], np.float32)
    assert as_pixels(odd, symmetric=True)[0, :, 0].tolist() == [128, 1, 255, 255, 1]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        (np.zeros((2, 2), np.float32), None),
        (np.zeros((3, 0, 2), np.float32), None),
        (np.zeros((3, 2, 2), np.float32), (0.5, 0.5)),
    ],
)
def test_values_of_another_shape_are_refused(
    values: Floats, mean: tuple[float, ...] | None
) -> None:
    with pytest.raises(ValueError, match=r"are not|numbers for"):
        as_pixels(values, mean=mean)


def test_the_same_gives_the_same_bytes() -> None:
    svg = sheet_svg(sheet(25, 7))
    assert svg == sheet_svg(sheet(25, 7))
    assert svg_png(svg) == svg_png(svg)
