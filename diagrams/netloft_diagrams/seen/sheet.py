"""Contact sheets: many small pictures side by side, each pixel of a tiny one as a square."""

from __future__ import annotations

import math

from netloft.errors import UsageError
from netloft.explain.seen import Sheet, Tile
from netloft_diagrams.seen.frame import MARGIN, WIDEST, document, image, line
from netloft_diagrams.seen.tiles import check_pixels, enlarged, shrunk
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import QUIET

__all__ = ["sheet_svg"]

_HEADING, _TEXT, _SMALL = 19.0, 12.0, 11.0
_TOP, _LINE = 52.0, 14.0
_BETWEEN, _BELOW = 14.0, 16.0
_LARGEST, _SMALLEST = 200, 88
"""Pixels of a tile's longer side, unless the tiles themselves are smaller."""
_HIGH = 860.0
"""Pixels that all rows together take, where the tiles do not become too small for it."""
_MOST_COLUMNS = 12


def sheet_svg(sheet: Sheet, columns: int | None = None) -> str:
    """Return a contact sheet as SVG text, at most 1100 pixels wide for up to 12 columns.

    Args:
        sheet: What it shows.
        columns: How many tiles stand side by side; None for a number that fills the rows.

    Raises:
        UsageError: There is no tile, or no column.
        ValueError: A tile's pixels are not uint8 of shape (height, width, 3).
    """
    if not sheet.tiles:
        raise UsageError("the sheet has no tile", remedy="name at least one unit")
    for tile in sheet.tiles:
        check_pixels(tile.pixels)
    if columns is not None and columns < 1:
        raise UsageError(f"{columns} columns hold no tile", remedy="ask for one or more")
    return _Grid(sheet, columns or columns_for(len(sheet.tiles))).drawn()


def columns_for(n: int) -> int:
    """Return how many of `n` tiles stand side by side: no row is left half empty, if one can."""
    if n <= 4:
        return n
    least = min(math.ceil(math.sqrt(n)), _MOST_COLUMNS)
    most = min(2 * least - 1, _MOST_COLUMNS)
    return next((found for found in range(least, most + 1) if n % found == 0), least)


class _Grid:
    """Sizes that all tiles share."""

    def __init__(self, sheet: Sheet, columns: int) -> None:
        self._sheet = sheet
        self._columns = min(columns, len(sheet.tiles))
        rows = -(-len(sheet.tiles) // self._columns)
        notes = any(tile.note for tile in sheet.tiles)
        captions = any(tile.caption for tile in sheet.tiles)
        self._lines = _LINE * (captions + notes) + (4 if captions or notes else 0)
        across = (WIDEST - 2 * MARGIN + _BETWEEN) / self._columns - _BETWEEN
        down = max(_HIGH / rows - self._lines - _BELOW, _SMALLEST)
        self._most = max(math.floor(min(across, down, _LARGEST)), 1)
        sizes = [self._size(tile) for tile in sheet.tiles]
        self._high = max(high for _, high in sizes)
        shown = max(wide for wide, _ in sizes)
        self._wide = max(float(shown), min(across, self._written()))
        self._step = math.floor(self._wide + _BETWEEN)

    def _written(self) -> float:
        """Return how wide the captions would like to be, in reason."""
        tiles = self._sheet.tiles
        caption = max(width(tile.caption, _TEXT) for tile in tiles)
        note = max(width(tile.note, _SMALL) for tile in tiles)
        return min(max(caption, note), 1.4 * self._most)

    def _factor(self, tile: Tile) -> int:
        """Return the side of the square that a pixel becomes, or 0 for a tile that is too large."""
        high, wide = tile.pixels.shape[:2]
        return int(self._most // max(high, wide))

    def _size(self, tile: Tile) -> tuple[int, int]:
        """Return the width and height that a tile is shown in."""
        high, wide = tile.pixels.shape[:2]
        if factor := self._factor(tile):
            return factor * wide, factor * high
        scale = self._most / max(wide, high)
        return max(round(scale * wide), 1), max(round(scale * high), 1)

    def drawn(self) -> str:
        """Return the SVG text."""
        sheet, rows = self._sheet, -(-len(self._sheet.tiles) // self._columns)
        titled = max(width(sheet.title, _HEADING, bold=True), width(sheet.subtitle, _TEXT))
        grid = self._columns * self._step - _BETWEEN
        room = max(grid, min(titled + 1, WIDEST - 2 * MARGIN))
        parts = [
            line(MARGIN, 34, sheet.title, _HEADING, room, bold=True),
            line(MARGIN, 54, sheet.subtitle, _TEXT, room, colour=QUIET),
        ]
        top = _TOP + (22 if sheet.subtitle else 0)
        step = self._high + self._lines + _BELOW
        for place, tile in enumerate(sheet.tiles):
            row, column = divmod(place, self._columns)
            parts.append(self._tile(tile, MARGIN + column * self._step, top + row * step))
        high = top + rows * step - _BELOW + MARGIN
        told = "; ".join(f"{tile.caption} {tile.note}".strip() for tile in sheet.tiles)
        described = f"{sheet.subtitle}. {len(sheet.tiles)} tiles: {told}"
        return document(sheet.title, described, room + 2 * MARGIN, high, "".join(parts))

    def _tile(self, tile: Tile, x: float, y: float) -> str:
        wide, high = self._size(tile)
        factor = self._factor(tile)
        shown = enlarged(tile.pixels, factor) if factor else shrunk(tile.pixels, 2 * self._most)
        drawn = image(shown, x, y, wide, high, tile.caption, squares=factor > 1)
        below = y + self._high
        drawn += line(x, below + _LINE + 2, tile.caption, _TEXT, self._wide)
        return drawn + line(x, below + 2 * _LINE + 2, tile.note, _SMALL, self._wide, colour=QUIET)
