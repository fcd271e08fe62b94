"""The shapes that a drawing is made of, as SVG text: words, rectangles, icons, badges, lines."""

from __future__ import annotations

from collections.abc import Sequence

from netloft_diagrams.geometry import Point
from netloft_diagrams.markup import escape, number, tag
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import INK, TITLE

__all__ = ["arrow", "badge", "icon", "pile", "rect", "rounded", "text"]

CORNER = 5.0


def text(
    x: float,
    y: float,
    content: str,
    size: float,
    *,
    bold: bool = False,
    colour: str = INK,
    anchor: str = "",
    room: float = 0.0,
    halo: bool = False,
    hint: str = "",
) -> str:
    """Return one line of text; its width is written down, so every font gives the same layout.

    Args:
        x: Left end, or the middle where `anchor` says so.
        y: Base line.
        content: The words.
        size: Font size in pixels.
        bold: Heavier letters.
        colour: Of the letters.
        anchor: `middle` or empty.
        room: Widest that it may be; a longer text is set smaller. 0 for any width.
        halo: Set it off from lines that pass behind, by a ground: a rim around the letters takes
            `paint-order`, without which CairoSVG and others hide the letters under their rim.
        hint: Tooltip.
    """
    if not content:
        return ""
    wide = width(content, size, bold=bold)
    if room and wide > room:
        size, wide = size * room / wide, room
    ground = _ground(x - wide / 2 if anchor else x, y, wide, size) if halo else ""
    return ground + tag(
        "text",
        escape(content) + (f"<title>{escape(hint)}</title>" if hint else ""),
        x=x,
        y=y,
        font_size=size,
        font_weight="bold" if bold else "",
        fill=colour,
        text_anchor=anchor,
        textLength=wide,
        lengthAdjust="spacingAndGlyphs",
    )


def _ground(x: float, y: float, wide: float, size: float) -> str:
    """Return what stands behind a label; it ends above the line that the label stands on."""
    return tag(
        "rect", x=x - 1.5, y=y - 0.9 * size, width=wide + 3, height=1.1 * size, rx=2,
        fill="#ffffff", fill_opacity=0.8,
    )  # fmt: skip


def rect(
    x: float,
    y: float,
    wide: float,
    high: float,
    *,
    fill: str,
    line: str,
    corner: float = 4.0,
    weight: float = 1.0,
    dash: str = "",
) -> str:
    """Return a rectangle with round corners."""
    return tag(
        "rect", x=x, y=y, width=wide, height=high, rx=corner, fill=fill, stroke=line,
        stroke_width=weight if weight != 1.0 else "", stroke_dasharray=dash,
    )  # fmt: skip


def pile(x: float, y: float, wide: float, high: float, fill: str, line: str) -> str:
    """Return two more edges to stand behind what stands for several."""
    return "".join(
        rect(x + d, y + d, wide, high, fill=fill, line=line, corner=5) for d in (5.0, 2.5)
    )


def icon(path: str, x: float, y: float) -> str:
    """Return a family's form, white, in a field of 10 × 10."""
    if not path:
        return ""
    return tag(
        "path", d=path, transform=f"translate({number(x)} {number(y)})", fill="none",
        stroke="#ffffff", stroke_width=1.3, stroke_linecap="round", stroke_linejoin="round",
    )  # fmt: skip


def badge(times: int, right: float, top: float) -> str:
    """Return `×N` on the upper right corner of a box or a frame."""
    content = f"×{times}"
    wide = width(content, TITLE, bold=True) + 10
    x, y = right - wide + 9, top - 11
    words = text(x + wide / 2, y + 12, content, TITLE, bold=True, colour="#ffffff", anchor="middle")
    return rect(x, y, wide, 16, fill=INK, line="#ffffff", corner=8) + words


def rounded(points: Sequence[Point]) -> str:
    """Return the path of a line through `points` with round corners."""
    kept = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    path = f"M{number(kept[0][0])} {number(kept[0][1])}"
    for (x0, y0), (x1, y1), (x2, y2) in zip(kept, kept[1:], kept[2:], strict=False):
        before = abs(x1 - x0) + abs(y1 - y0)
        after = abs(x2 - x1) + abs(y2 - y1)
        r = min(CORNER, before / 2, after / 2)
        ax, ay = x1 - r * _sign(x1 - x0), y1 - r * _sign(y1 - y0)
        bx, by = x1 + r * _sign(x2 - x1), y1 + r * _sign(y2 - y1)
        path += f"L{number(ax)} {number(ay)}Q{number(x1)} {number(y1)} {number(bx)} {number(by)}"
    return f"{path}L{number(kept[-1][0])} {number(kept[-1][1])}"


def arrow(before: Point, end: Point, colour: str) -> str:
    """Return the head of a line that comes from `before` and ends at `end`."""
    dx, dy = _sign(end[0] - before[0]), _sign(end[1] - before[1])
    if dx:
        dy = 0
    (x, y), length, half = end, 6.0, 3.2
    corners = (
        (x, y),
        (x - dx * length - dy * half, y - dy * length - dx * half),
        (x - dx * length + dy * half, y - dy * length + dx * half),
    )
    return tag(
        "path", d=f"M{'L'.join(f'{number(a)} {number(b)}' for a, b in corners)}Z", fill=colour
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
