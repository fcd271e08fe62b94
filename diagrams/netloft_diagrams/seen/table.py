"""Class predicted against class assigned: a row for each picture, a column for each network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netloft.explain.seen import Ranked, Seen
from netloft_diagrams.markup import number, tag
from netloft_diagrams.seen.frame import EDGE, GAP, MARGIN, WIDEST, document, image, line
from netloft_diagrams.seen.grid import (
    Grid,
    Row,
    agreement,
    described,
    grid_of,
    how,
    named,
    other,
    ranks,
    share,
    weights,
)
from netloft_diagrams.seen.heat import legend, overlay
from netloft_diagrams.seen.tiles import Pixels, sharp
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import INK, QUIET, SKIP, WARN

__all__ = ["comparison_svg"]

TITLE = "Class predicted against class assigned"

_HEADING, _NAME, _TEXT, _SMALL = 19.0, 13.5, 12.0, 11.0
_LARGEST, _SMALLEST = 280.0, 150.0
"""Pixels of a column."""
_TALLEST = 1.25
"""Height of an image in widths of its column; a taller one is made narrower."""
_HEAD, _BAND, _STEP, _BAR = 139.0, 40.0, 25.0, 4.0
_SECOND, _RANKED, _FOOT = 38.0, 63.0, 40.0
"""Below an image: the second line of words, the first class with a bar, what follows the last."""
_BARS = {"predicted": "#0a5a94", "assigned": SKIP, "": "#8fa3b8"}
_TRACK = "#e6ebf1"
_LEGEND = 180.0
_SIGN = 18.0
_SIGNS = {
    "agree": ("M1 -4.5L4.5 -1L11 -9", "#04704f"),
    "differ": ("M1 -6.5H11M1 -2.5H11M8.5 -9.5L3.5 .5", WARN),
}


def comparison_svg(rows: Sequence[Seen]) -> str:
    """Return what networks saw in pictures as SVG text, at most 1100 pixels wide for five networks.

    Args:
        rows: In any order; a network that was not asked about a picture leaves its place free.

    Raises:
        UsageError: There is nothing.
        ValueError: Pixels or a map have not the shapes that `Seen` tells.
    """
    return _Table(grid_of(rows)).drawn()


class _Table:
    """Sizes that all cells share."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        n = len(grid.models) + 1
        room = (WIDEST - 2 * MARGIN - (n - 1) * GAP) / n
        self._column = float(math.floor(min(max(room, _SMALLEST), _LARGEST)))
        self._room = n * (self._column + GAP) - GAP

    def drawn(self) -> str:
        """Return the SVG text."""
        parts, y = [self._head()], _HEAD
        for row in self._grid.rows:
            drawn, y = self._row(row, y)
            parts.append(drawn)
        told = "; ".join(
            [f"{row.picture}: {agreement(row).words}" for row in self._grid.rows]
            + [described(seen) for row in self._grid.rows for seen in row.seen]
        )
        return document(TITLE, told, self._room + 2 * MARGIN, y + 4, "".join(parts))

    def _x(self, column: int) -> float:
        return MARGIN + column * (self._column + GAP)

    def _head(self) -> str:
        models = len(dict.fromkeys(self._grid.models))
        counts = f"{_counted(models, 'network')}, {_counted(len(self._grid.rows), 'picture')}"
        parts = [
            line(MARGIN, 34, TITLE, _HEADING, self._room, bold=True),
            line(MARGIN, 54, counts, _TEXT, self._room, colour=QUIET),
            self._legend(66),
            line(self._x(0), _HEAD - 27, "picture", _TEXT, self._column, colour=QUIET),
        ]
        columns = zip(self._grid.models, weights(self._grid), strict=True)
        for place, (model, told) in enumerate(columns, 1):
            x, y = self._x(place), _HEAD - 27
            parts.append(line(x, y, model, _NAME, self._column, bold=True, kind="file"))
            parts.append(line(x, y + 15, told, _SMALL, self._column, colour=QUIET))
        return "".join(parts)

    def _legend(self, y: float) -> str:
        """Return what the colours of a map mean."""
        before, after = "how much a place speaks for the class assigned: not at all", "most"
        x = MARGIN + width(before, _SMALL) + 8
        strip = legend(2 * int(_LEGEND), 2)
        return (
            line(MARGIN, y + 11, before, _SMALL, self._room, colour=QUIET)
            + image(strip, x, y + 2, _LEGEND, 10, "the colours of a map from 0 to 1", squares=False)
            + line(x + _LEGEND + 8, y + 11, after, _SMALL, self._room, colour=QUIET)
        )

    def _row(self, row: Row, y: float) -> tuple[str, float]:
        """Return one picture with all its cells, and where the next begins."""
        parts = [
            tag("line", x1=MARGIN, x2=MARGIN + self._room, y1=y, y2=y, stroke=EDGE),
            self._band(row, y),
        ]
        top = y + _BAND
        high = max(self._size(seen.pixels)[1] for seen in row.seen)
        below = _RANKED + _STEP * max(len(ranks(seen)) for seen in row.seen)
        parts.append(self._bare(row.clearest, top, high))
        for place, seen in enumerate(row.cells, 1):
            x = self._x(place)
            if seen is None:
                words = "not asked"
                parts.append(line(x, top + 14, words, _TEXT, self._column, colour=QUIET))
                continue
            parts += [
                self._mapped(seen, x, top),
                self._words(seen, x, top + high),
                self._how(seen, x, top + high + below),
            ]
        return "".join(parts), top + high + below + _FOOT

    def _band(self, row: Row, y: float) -> str:
        """Return the picture's name, and what the networks say of it."""
        found, x = agreement(row), self._x(1)
        name = line(MARGIN, y + 25, row.picture, _NAME, self._column, bold=True, kind="file")
        indent = _SIGN if found.sign else 0.0
        room = self._room - self._column - GAP - indent
        words = line(x + indent, y + 25, found.words, _NAME, room, bold=True)
        return name + _sign(found.sign, x, y + 25) + words

    def _size(self, pixels: Pixels) -> tuple[float, float]:
        """Return the width and height that an image is shown in."""
        height, wide = pixels.shape[:2]
        scale = min(self._column / wide, _TALLEST * self._column / height)
        return float(max(round(wide * scale), 1)), float(max(round(height * scale), 1))

    @property
    def _most(self) -> int:
        """Pixels of a side that a sharp print has room for."""
        return int(2 * _TALLEST * self._column)

    def _bare(self, seen: Seen, top: float, high: float) -> str:
        height, wide = seen.pixels.shape[:2]
        x = self._x(0)
        drawn = image(
            sharp(seen.pixels, self._most),
            x,
            top,
            *self._size(seen.pixels),
            seen.picture,
            squares=False,
        )
        told = (f"as {seen.model} saw it", f"{wide} × {height} pixels")
        for place, words in enumerate(told):
            y = top + high + 20 + 17 * place
            drawn += line(x, y, words, _SMALL, self._column, colour=QUIET)
        return drawn

    def _mapped(self, seen: Seen, x: float, top: float) -> str:
        heated = overlay(sharp(seen.pixels, self._most), seen.map)
        return image(heated, x, top, *self._size(seen.pixels), described(seen), squares=False)

    def _words(self, seen: Seen, x: float, y: float) -> str:
        """Return what stands below an image whose lower edge is at `y`."""
        column, indent = self._column, width("predicted", _SMALL) + 8
        assigned, room = other(seen), self._column - indent
        words = named(assigned) if assigned else "the same"
        colour = SKIP if assigned else QUIET
        parts = [
            line(x, y + 20, "predicted", _SMALL, column, colour=QUIET),
            line(x + indent, y + 20, named(seen.predicted), _TEXT, room, bold=True),
            line(x, y + _SECOND, "assigned", _SMALL, column, colour=QUIET),
            line(x + indent, y + _SECOND, words, _TEXT, room, bold=bool(assigned), colour=colour),
        ]
        for place, (ranked, kind) in enumerate(ranks(seen)):
            parts.append(self._bar(ranked, kind, x, y + _RANKED + place * _STEP))
        return "".join(parts)

    def _how(self, seen: Seen, x: float, y: float) -> str:
        """Return which layer the map is of, and how it was found."""
        return line(x, y + 3, seen.layer, _SMALL, self._column, colour=QUIET, kind="module") + line(
            x, y + 18, how(seen), _SMALL, self._column, colour=QUIET
        )

    def _bar(self, ranked: Ranked, kind: str, x: float, y: float) -> str:
        told = share(ranked.share)
        beside = width(told, _SMALL) + 8
        ink = SKIP if kind == "assigned" else INK
        parts = [
            line(x, y, named(ranked), _SMALL, self._column - beside, colour=ink),
            line(x + self._column, y, told, _SMALL, beside, colour=ink, right=True),
            self._strip(x, y, self._column, _TRACK),
        ]
        if ranked.share > 0:
            filled = max(self._column * min(ranked.share, 1.0), 1.0)
            parts.append(self._strip(x, y, filled, _BARS[kind]))
        return "".join(parts)

    def _strip(self, x: float, y: float, wide: float, colour: str) -> str:
        """Return a bar below the words whose base line is at `y`."""
        return tag("rect", x=x, y=y + 4, width=wide, height=_BAR, rx=_BAR / 2, fill=colour)


def _sign(kind: str, x: float, y: float) -> str:
    """Return a tick or an unequal sign on a base line; the font has no tick."""
    if not kind:
        return ""
    path, colour = _SIGNS[kind]
    return tag(
        "path", d=path, transform=f"translate({number(x)} {number(y)})", fill="none",
        stroke=colour, stroke_width=2, stroke_linecap="round", stroke_linejoin="round",
    )  # fmt: skip


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
