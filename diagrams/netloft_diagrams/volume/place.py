"""Volumes to a figure: solids in rows, drawn in an oblique projection.

Thickness follows channels, the side that faces the next step follows height and width; both by
their square root, for else all but the first and the last would be too small to see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from netloft_diagrams.facts import facts_line, flow, heading
from netloft_diagrams.geometry import Point
from netloft_diagrams.scene import Scene
from netloft_diagrams.text_metrics import fit_end, width
from netloft_diagrams.theme import (
    HEADING,
    INK,
    MARGIN,
    PAGE_WIDTH,
    QUIET,
    SKIP,
    SMALL,
    TITLE,
    WIRE,
    family,
)
from netloft_diagrams.volume.figure import Face, Figure, Line, Mark, Part, Words
from netloft_diagrams.volume.steps import Volume

__all__ = ["figure"]

SHORTEST, TALLEST = 12.0, 104.0
THINNEST, THICKEST = 5.0, 46.0
VECTOR_TALLEST, VECTOR_DEEP = 96.0, 5.0
SLANT = 0.36
"""How far the receding side goes right and up, over its length."""
GAP, SLAB_GAP, SLABS = 34.0, 4.0, 3
LINE = 12.0
TOP = 56.0
NAME_ROOM = 90.0
LANE = 9.0

_SHADES = (0.96, 0.84)
"""Of the upper and the receding face, over that of the front."""


@dataclass(frozen=True)
class _Solid:
    """A volume's form in pixels: `thick` along the flow, `high`, and `deep` on the paper.

    `padded` is how much higher the outline is that the next step's padding draws around it.
    """

    volume: Volume
    thick: float
    high: float
    deep: float
    padded: float = 0.0

    @property
    def slabs(self) -> int:
        return min(self.volume.times, SLABS)

    @property
    def wide(self) -> float:
        return self.slabs * self.thick + (self.slabs - 1) * SLAB_GAP + self.deep

    @property
    def under(self) -> list[Words]:
        """What stands below it, the first line at 0 and centred at 0."""
        volume = self.volume
        lines = [Words(0, 0, volume.shape, SMALL, bold=True, colour=INK)]
        name = fit_end(volume.name, SMALL, NAME_ROOM) if volume.name else ""
        for text in filter(None, (name, *volume.after)):
            lines.append(Words(0, len(lines) * LINE, text, SMALL, colour=QUIET))
        return lines

    @property
    def column(self) -> float:
        """Width with what stands below it."""
        words = [width(w.content, w.size, bold=w.bold) for w in self.under]
        return max(self.wide, *words)

    @property
    def gap(self) -> float:
        """Room for what leads to it."""
        return max(GAP, *(width(text, SMALL) + 8 for text in self.volume.arrives), 0.0)


@dataclass(frozen=True)
class _Stood:
    """A solid at its place: `x` is its left side, `axis` the middle of its height."""

    solid: _Solid
    x: float
    axis: float
    row: int

    @property
    def top(self) -> float:
        return self.axis - self.solid.high / 2 + self.solid.deep / 2

    @property
    def right(self) -> float:
        return self.x + self.solid.wide

    def side(self, u: float, v: float) -> Point:
        """Return a place on the receding face of the last slab, from its upper front corner."""
        front = self.right - self.solid.deep
        return front + u * self.solid.deep, self.top + v * self.solid.high - u * self.solid.deep

    def window(self, size: tuple[float, float], middle: float) -> tuple[Point, ...]:
        """Return the corners of a window of so many cells on that face."""
        _, high, wide = self.solid.volume.size
        v, u = size[0] / high / 2, size[1] / max(wide, 1) / 2
        return tuple(
            self.side(0.5 + a * u, middle + b * v) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        )


def figure(scene: Scene, volumes: Sequence[Volume]) -> Figure:
    """Place volumes in rows that a page is wide enough for."""
    solids = [_solid(volume, volumes) for volume in volumes]
    followed = zip(solids, [*volumes[1:], None], strict=True)
    rows = _balanced([_outlined(one, after) for one, after in followed])
    stood, bottom = _stand(rows)
    by_key = {one.solid.volume.key: one for one in stood}
    right = max((one.x + (one.solid.wide + one.solid.column) / 2 for one in stood), default=0)
    facts = f"{flow(scene.facts)} · {facts_line(scene.facts)}"
    wide = max(right + MARGIN, min(width(facts, SMALL) + 2 * MARGIN, PAGE_WIDTH))
    title: tuple[Mark, ...] = (
        Words(MARGIN, 24, heading(scene.facts), HEADING, bold=True, colour=INK, left=True),
        Words(MARGIN, 40, facts, SMALL, colour=INK, left=True),
    )
    parts = [Part("", title)]
    for index, one in enumerate(stood):
        parts.append(Part("", tuple(_arrivals(one, index, stood, by_key))))
        parts.append(Part(_hint(one.solid.volume), tuple(_body(one))))
    legend, bottom = _legend(volumes, wide, bottom)
    steps = "; ".join(_hint(volume) for volume in volumes)
    return Figure(scene.facts.name, f"{facts}. {steps}", wide, bottom, (*parts, legend))


def _root(value: float, most: float, low: float, high: float) -> float:
    return low + (high - low) * math.sqrt(value / most) if most else low


def _solid(volume: Volume, volumes: Sequence[Volume]) -> _Solid:
    planes = [v.size for v in volumes if v.size[2]]
    vectors = [v.size[1] for v in volumes if not v.size[2]]
    channels, high, wide = volume.size
    if not wide:
        length = _root(high, max(vectors), SHORTEST, VECTOR_TALLEST)
        return _Solid(volume, THINNEST + 2, length, VECTOR_DEEP)
    longest = max(n for _, *plane in planes for n in plane)
    thick = _root(channels, max(c for c, *_ in planes), THINNEST, THICKEST)
    tall = partial(_root, most=longest, low=SHORTEST, high=TALLEST)
    return _Solid(volume, thick, tall(high), tall(wide) * SLANT)


def _outlined(solid: _Solid, after: Volume | None) -> _Solid:
    if after is None or not after.padded or not solid.volume.size[2]:
        return solid
    more = after.padded[0] / solid.volume.size[1] - 1
    return replace(solid, padded=max(0.0, more * (solid.high + solid.deep) / 2))


def _balanced(solids: Sequence[_Solid]) -> list[list[_Solid]]:
    """Break into as few rows as a page's width allows, and those of much the same length."""
    room = PAGE_WIDTH - MARGIN
    best = _rows(solids, room)
    while len(rows := _rows(solids, room)) == len(best) and room > MARGIN:
        best, room = rows, room - MARGIN
    return best


def _rows(solids: Sequence[_Solid], room: float) -> list[list[_Solid]]:
    """Break where the room ends; a row's first solid has its arrow too."""
    rows: list[list[_Solid]] = [[]]
    x = MARGIN
    for solid in solids:
        step = (solid.gap if solid.volume.arrives else 0) + solid.column
        if rows[-1] and x + step > room:
            rows.append([])
            x = MARGIN
        rows[-1].append(solid)
        x += step
    return rows


def _stand(rows: Sequence[Sequence[_Solid]]) -> tuple[list[_Stood], float]:
    stood: list[_Stood] = []
    y = TOP
    for number, row in enumerate(rows):
        above = max((s.high + s.deep) / 2 + s.padded for s in row) + 22 + LANE * _lanes(row)
        axis, x = y + above, MARGIN
        for solid in row:
            x += solid.gap if solid.volume.arrives else 0
            inset = (solid.column - solid.wide) / 2
            stood.append(_Stood(solid, x + inset, axis, number))
            x += solid.column
        below = max((s.high + s.deep) / 2 + s.padded + LINE * len(s.under) for s in row)
        y = axis + max(below, *(LINE * (len(s.volume.arrives) + 1) for s in row)) + 16
    return stood, y


def _lanes(row: Sequence[_Solid]) -> int:
    return sum(max(0, len(solid.volume.sources) - 1) for solid in row)


def _hint(volume: Volume) -> str:
    times = f" ×{volume.times}" if volume.times > 1 else ""
    said = ", ".join((*volume.arrives, *volume.after))
    return " ".join(filter(None, (volume.name, f"{said}{times}:" if said else "", volume.shape)))


# a solid, and what leads to it


def _body(one: _Stood) -> Iterator[Mark]:
    solid, look = one.solid, family(one.solid.volume.kind)
    upper, receding = (_darker(look.fill, shade) for shade in _SHADES)
    for number in range(solid.slabs):
        x = one.x + number * (solid.thick + SLAB_GAP)
        y, deep = one.top, solid.deep
        right, bottom = x + solid.thick, one.top + solid.high
        yield Face(
            ((x, y), (x + deep, y - deep), (right + deep, y - deep), (right, y)), upper, look.band
        )
        yield Face(
            ((right, y), (right + deep, y - deep), (right + deep, bottom - deep), (right, bottom)),
            receding,
            look.band,
        )
        yield Face(((x, y), (right, y), (right, bottom), (x, bottom)), look.fill, look.band)
    if solid.volume.times > 1:
        yield Words(
            one.x + solid.wide / 2, one.top - solid.deep - 5, f"×{solid.volume.times}", TITLE,
            bold=True, colour=INK,
        )  # fmt: skip
    middle, base = one.x + solid.wide / 2, one.top + solid.high + solid.padded + LINE
    for line in solid.under:
        yield Words(
            middle, base + line.y, line.content, line.size, bold=line.bold, colour=line.colour
        )


def _arrivals(
    one: _Stood, index: int, stood: Sequence[_Stood], by_key: Mapping[str, _Stood]
) -> Iterator[Mark]:
    volume = one.solid.volume
    sources = [by_key[key] for key in volume.sources]
    before = stood[index - 1] if index else None
    for lane, source in enumerate(s for s in sources if s is not before):
        yield from _jump(source, one, lane)
    if before in sources:
        assert before is not None
        yield from _step(before, one)
    for number, text in enumerate(volume.arrives):
        # below the arrow, in the gap before the solid
        left = one.x - (one.solid.column - one.solid.wide) / 2 - one.solid.gap / 2
        yield Words(left, one.axis + LINE * (number + 1.2), text, SMALL, colour=INK)


def _step(before: _Stood, one: _Stood) -> Iterator[Mark]:
    volume, end = one.solid.volume, (one.x, one.axis)
    if before.row != one.row:  # from the left, in a new row
        yield Line(((one.x - one.solid.gap + 4, one.axis), end), WIRE, arrow=True)
        yield Line(((before.right + 4, before.axis), (before.right + 18, before.axis)), WIRE)
        return
    if volume.padded and before.solid.volume.size[2]:
        corners = before.window(volume.padded, 0.5)
        yield Face(corners, "", WIRE, dashed=True)
        (x, y), text = corners[1], "×".join(map(str, volume.padded))
        yield Words(x, y - 4, text, SMALL, colour=QUIET)
    if not volume.kernel or not before.solid.volume.size[2]:
        yield Line(((before.right + 2, one.axis), end), WIRE, arrow=True)
        return
    patch = before.window(volume.kernel, 0.42)
    for corner in patch:
        yield Line((corner, end), WIRE, weight=0.6)
    yield Face(patch, family(volume.kind).band, WIRE)


def _jump(source: _Stood, one: _Stood, lane: int) -> Iterator[Mark]:
    if source.row != one.row:
        yield Words(
            one.x + one.solid.wide / 2, one.top - one.solid.deep - 5 - LINE * lane,
            f"and {source.solid.volume.name or source.solid.volume.shape}", SMALL, colour=SKIP,
        )  # fmt: skip
        return
    x0, x1 = source.x + source.solid.wide / 2, one.x + one.solid.wide / 2
    down, top = source.top - source.solid.deep, one.top - one.solid.deep
    y = min(down, top) - 14 - LANE * lane
    yield Line(((x0, down - 2), (x0, y), (x1, y), (x1, top - 2)), SKIP, weight=1.6, arrow=True)


def _legend(volumes: Sequence[Volume], wide: float, y: float) -> tuple[Part, float]:
    looks = dict.fromkeys(family(volume.kind) for volume in volumes)
    marks: list[Mark] = []
    x = MARGIN
    for look in looks:
        step = width(look.words, SMALL) + 34
        if x > MARGIN and x + step > wide:
            x, y = MARGIN, y + LINE + 4
        box = ((x, y), (x + 11, y), (x + 11, y + 11), (x, y + 11))
        marks += [Face(box, look.fill, look.band)]
        marks += [Words(x + 16, y + 9, look.words, SMALL, colour=INK, left=True)]
        x += step
    return Part("", tuple(marks)), y + LINE + 14


def _darker(colour: str, share: float) -> str:
    parts = (round(int(colour[i : i + 2], 16) * share) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)
