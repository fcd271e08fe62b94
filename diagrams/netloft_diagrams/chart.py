"""What pictures of measurements have in common: a page with a heading, written as SVG or PNG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from netloft.errors import UsageError
from netloft_diagrams.files import check_writable, write_all
from netloft_diagrams.markup import escape, number
from netloft_diagrams.raster import png
from netloft_diagrams.shapes import text
from netloft_diagrams.theme import FONT, HEADING, MARGIN, PAGE_WIDTH

__all__ = ["chart", "check_chart", "write_chart"]


def check_chart(path: Path, what: str) -> None:
    """Check that a picture can be drawn into a file, before anything is measured for it.

    Args:
        path: The file.
        what: It is drawn, such as `a history`.

    Raises:
        UsageError: Its suffix is not `.svg` or `.png`.
        OutputError: It cannot be written.
    """
    if path.suffix not in (".svg", ".png"):
        raise UsageError(
            f"{what} is drawn as SVG or PNG, not as '{path.suffix}'",
            remedy="name a .svg or .png file",
        )
    check_writable(path)


def chart(
    title: str, description: str, heading: str, elements: Iterable[str], height: float
) -> str:
    """Return SVG text as wide as a page.

    Args:
        title: Of the file.
        description: For who cannot see it.
        heading: Above the elements.
        elements: Below it.
        height: Of all, in pixels.
    """
    size = f'width="{number(PAGE_WIDTH)}" height="{number(height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {number(PAGE_WIDTH)} '
        f'{number(height)}" role="img" font-family="{FONT}">\n',
        f"<title>{title}</title>\n<desc>{escape(description)}</desc>\n",
        f'<rect {size} fill="#ffffff"/>\n',
        text(MARGIN, 24, heading, HEADING, bold=True),
    ]
    return "".join([*parts, *elements]) + "</svg>\n"


def write_chart(drawn: str, height: float, path: Path) -> None:
    """Write SVG text into an SVG or PNG file.

    Raises:
        OutputError: The file cannot be written.
        MissingError: PNG is asked for, and resvg-py is not installed.
    """
    data = png(drawn, PAGE_WIDTH, height) if path.suffix == ".png" else drawn.encode("utf-8")
    write_all({path: data})
