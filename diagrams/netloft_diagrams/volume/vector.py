"""A volume figure as SVG."""

from __future__ import annotations

from netloft_diagrams.geometry import Point
from netloft_diagrams.markup import escape, number, tag
from netloft_diagrams.shapes import text
from netloft_diagrams.theme import FONT
from netloft_diagrams.volume.figure import Face, Figure, Line, Mark

__all__ = ["volume_svg"]

HEAD = 6.0


def volume_svg(figure: Figure) -> str:
    """Return a figure as SVG text; the same figure always gives the same text."""
    wide, high = number(figure.width), number(figure.height)
    body = []
    for part in figure.parts:
        inside = "".join(_mark(mark) for mark in part.marks)
        hint = f"<title>{escape(part.hint)}</title>" if part.hint else ""
        body.append(f"<g>{hint}{inside}</g>\n" if hint else inside)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" role="img" font-family="{FONT}">\n'
        f"<title>{escape(figure.name)}</title>\n<desc>{escape(figure.description)}</desc>\n"
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>\n{"".join(body)}</svg>\n'
    )


def _mark(mark: Mark) -> str:
    if isinstance(mark, Face):
        return tag(
            "path", d=f"{_path(mark.points)}Z", fill=mark.fill or "none", stroke=mark.line,
            stroke_linejoin="round", stroke_dasharray="3 2" if mark.dashed else "",
        )  # fmt: skip
    if isinstance(mark, Line):
        line = tag(
            "path", d=_path(mark.points), fill="none", stroke=mark.colour, stroke_width=mark.weight
        )
        return line + (_head(mark.points, mark.colour) if mark.arrow else "")
    anchor = "" if mark.left else "middle"
    return text(
        mark.x, mark.y, mark.content, mark.size, bold=mark.bold, colour=mark.colour,
        anchor=anchor, halo=not mark.left,
    )  # fmt: skip


def _path(points: tuple[Point, ...]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _head(points: tuple[Point, ...], colour: str) -> str:
    (x0, y0), (x, y) = points[-2:]
    length = max(abs(x - x0), abs(y - y0)) or 1.0
    dx, dy = (x - x0) / length * HEAD, (y - y0) / length * HEAD
    corners = ((x, y), (x - dx - dy / 2, y - dy + dx / 2), (x - dx + dy / 2, y - dy - dx / 2))
    return tag("path", d=f"{_path(corners)}Z", fill=colour)
