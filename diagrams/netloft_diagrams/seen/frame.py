"""What the pictures of this package are made of: a page, lines that are cut to fit, images."""

from __future__ import annotations

import re

from netloft_diagrams import raster
from netloft_diagrams.markup import clean, escape, number
from netloft_diagrams.seen.tiles import Pixels, data_uri
from netloft_diagrams.shapes import text
from netloft_diagrams.text_metrics import fit, fit_end, width
from netloft_diagrams.theme import FONT, INK

__all__ = [
    "EDGE",
    "GAP",
    "MARGIN",
    "WIDEST",
    "document",
    "fit_middle",
    "image",
    "line",
    "svg_png",
    "tidy",
]

WIDEST = 1100.0
"""Pixels across: a page that is read on a screen, or an A4 page on its side."""
MARGIN, GAP = 24.0, 18.0
EDGE = "#cfd6de"

_SIZE = re.compile(r'<svg [^>]*?width="([0-9.]+)" height="([0-9.]+)"')


def document(title: str, description: str, wide: float, high: float, body: str) -> str:
    """Return SVG text.

    Args:
        title: Of the file, not yet escaped.
        description: For who cannot see it, not yet escaped.
        wide: In pixels.
        high: In pixels.
        body: The elements.
    """
    size = f'width="{number(wide)}" height="{number(high)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {number(wide)} {number(high)}" role="img" font-family="{FONT}">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n"
        f'<rect {size} fill="#ffffff"/>\n{body}</svg>\n'
    )


def svg_png(svg: str) -> bytes:
    """Return a picture of this package as PNG, with twice as many pixels across.

    Raises:
        ValueError: The SVG does not tell its size in pixels.
        MissingError: resvg-py is not installed.
    """
    found = _SIZE.match(svg)
    if found is None:
        raise ValueError("the SVG does not begin with its width and height")
    return raster.png(svg, float(found[1]), float(found[2]))


def tidy(content: str) -> str:
    """Return text on one line, without what XML cannot hold or what turns the letters around."""
    return " ".join(clean(content).split())


def line(
    x: float,
    y: float,
    content: str,
    size: float,
    room: float,
    *,
    bold: bool = False,
    colour: str = INK,
    right: bool = False,
    kind: str = "",
) -> str:
    """Return a line of text, cut off with `…` where it is too long; then a tooltip has all of it.

    Args:
        x: Left end, or the right one where `right` says so.
        y: Base line.
        content: Any text, a hostile one too.
        size: Font size in pixels.
        room: Widest that it may be, in pixels.
        bold: Heavier letters.
        colour: Of the letters.
        right: Whether it ends at `x`.
        kind: What is cut: `module` for the front, as with the path of a module, `file` for the
            middle, as with a file's name; empty for the end.
    """
    whole = tidy(content)
    cut = {"module": fit_end, "file": fit_middle}.get(kind, fit)
    shown = cut(whole, size, room, bold=bold)
    left = x - width(shown, size, bold=bold) if right else x
    return text(
        left, y, shown, size, bold=bold, colour=colour, hint=whole if shown != whole else ""
    )


def fit_middle(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return `text`, its middle cut out with `…` where it is wider than `room` pixels."""
    if width(text, size, bold=bold) <= room:
        return text
    left = room - width("…", size, bold=bold)
    front, back, used = 0, 0, 0.0
    while front + back < len(text):
        letter = text[front] if front <= back else text[-1 - back]
        used += width(letter, size, bold=bold)
        if used > left:
            break
        front, back = (front + 1, back) if front <= back else (front, back + 1)
    return f"{text[:front].rstrip()}…{text[len(text) - back :].lstrip()}"


def image(
    pixels: Pixels, x: float, y: float, wide: float, high: float, hint: str, *, squares: bool
) -> str:
    """Return an image with a thin edge.

    Args:
        pixels: uint8 of shape (height, width, 3).
        x: Left, in pixels.
        y: Top.
        wide: What the width is shown as.
        high: What the height is shown as.
        hint: What it shows, for who cannot see it, and as a tooltip.
        squares: Whether a renderer has to keep the corners of its pixels.
    """
    look = ' style="image-rendering:pixelated"' if squares else ""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}"'
    edge = (
        f'x="{number(x - 0.5)}" y="{number(y - 0.5)}" '
        f'width="{number(wide + 1)}" height="{number(high + 1)}"'
    )
    # not by way of `tag`, whose `escape` would keep every picture in memory
    return (
        f'<image {place} preserveAspectRatio="none"{look} href="{data_uri(pixels)}">'
        f"<title>{escape(tidy(hint))}</title></image>\n"
        f'<rect {edge} fill="none" stroke="{EDGE}"/>\n'
    )
