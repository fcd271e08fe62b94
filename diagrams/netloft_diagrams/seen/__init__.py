"""What networks saw in pictures: maps over them, tables of several networks, contact sheets."""

from netloft_diagrams.seen.frame import svg_png
from netloft_diagrams.seen.heat import overlay, overlay_png
from netloft_diagrams.seen.page import comparison_html
from netloft_diagrams.seen.sheet import sheet_svg
from netloft_diagrams.seen.table import comparison_svg
from netloft_diagrams.seen.tiles import as_pixels

__all__ = [
    "as_pixels",
    "comparison_html",
    "comparison_svg",
    "overlay",
    "overlay_png",
    "sheet_svg",
    "svg_png",
]
