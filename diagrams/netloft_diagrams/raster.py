"""SVG to PNG and PDF, with the font that netloft ships and no other."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from netloft.errors import MissingError
from netloft_diagrams.text_metrics import FONT_FILES, FONT_FOLDER, shown

__all__ = ["pdf", "png"]

FONT_NAME = "DejaVu Sans Condensed"
ZOOM = 2.0
"""Pixels of a PNG for one of the drawing's: sharp in print at 190 dots an inch on A4."""
NO_DATE = b"/CreationDate (D:20000101000000"
LARGEST = 16_000
"""Pixels of a PNG's longer side; viewers refuse more."""


def png(svg: str, width: float, height: float) -> bytes:
    """Return the drawing as PNG.

    Raises:
        MissingError: resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingError(
            "resvg-py is missing, which makes PNG", remedy="pip install resvg-py"
        ) from error
    zoom = min(ZOOM, LARGEST / max(width, height, 1.0))
    image = resvg_py.svg_to_bytes(
        svg_string=shown(svg),
        zoom=zoom,
        skip_system_fonts=True,
        font_files=[str(file) for file in FONT_FILES],
        font_family=FONT_NAME,
        sans_serif_family=FONT_NAME,
    )
    return bytes(image)


def pdf(svg: str) -> bytes:
    """Return the drawing as PDF, with text that can be selected.

    Raises:
        MissingError: CairoSVG, or the cairo library below it, is not installed.
    """
    try:
        with _own_fonts():
            import cairosvg

            made = cairosvg.svg2pdf(bytestring=_for_cairo(shown(svg)).encode("utf-8"))
    except (ImportError, OSError) as error:  # cairocffi raises OSError where libcairo is absent
        raise MissingError(
            "CairoSVG is missing, which makes PDF",
            remedy="pip install cairosvg; on Linux also install the package libcairo2",
        ) from error
    # cairo writes the time of day; a date of the same length keeps the file's offsets right
    return re.sub(rb"/CreationDate \(D:\d{14}", NO_DATE, bytes(made))


def _for_cairo(svg: str) -> str:
    """Name one font: cairo takes a list for the name of a single font."""
    head, _, rest = svg.partition("\n")
    before, _, after = head.partition('font-family="')
    _, _, tail = after.partition('"')
    return f'{before}font-family="{FONT_NAME}"{tail}\n{rest}'


@contextlib.contextmanager
def _own_fonts() -> Iterator[None]:
    """Let fontconfig, which cairo asks, see our folder; it reads this once a process."""
    before = os.environ.get("FONTCONFIG_FILE")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "fonts.conf")
        config.write_text(
            f'<?xml version="1.0"?><fontconfig><dir>{FONT_FOLDER}</dir>'
            f'<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
            f"<cachedir>{folder}</cachedir></fontconfig>",
            encoding="utf-8",
        )
        os.environ["FONTCONFIG_FILE"] = str(config)
        try:
            yield
        finally:
            if before is None:
                del os.environ["FONTCONFIG_FILE"]
            else:
                os.environ["FONTCONFIG_FILE"] = before
