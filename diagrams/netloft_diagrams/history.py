"""What contestants took over time, as a picture: a panel for each, all with the same runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netloft.errors import UsageError
from netloft.speed.history import Point, Series
from netloft_diagrams.chart import chart, check_chart, write_chart
from netloft_diagrams.markup import number, tag
from netloft_diagrams.shapes import text
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import INK, MARGIN, PAGE_WIDTH, QUIET, SMALL, family

__all__ = ["check_plot", "plot_history", "render_history"]

LEFT, RIGHT, TOP = 64.0, 78.0, 46.0
HIGH, GAP = 78.0, 34.0
"""Height of a panel, and what lies between two."""

_LEAST = 0.2
"""What a panel spans at the least, as a share of its times: jitter is not to look like change."""


def check_plot(path: Path) -> None:
    """Check that a history can be drawn into a file; see `chart.check_chart` for the errors."""
    check_chart(path, "a history")


def plot_history(series: Sequence[Series], path: Path) -> None:
    """Draw what contestants took over time into an SVG or PNG file.

    Raises:
        UsageError: There is nothing to draw, or the file's suffix is another one.
        OutputError: The file cannot be written.
        MissingError: PNG is asked for, and resvg-py is not installed.
    """
    check_plot(path)
    if not series:
        raise UsageError("the history is empty", remedy="measure something with --history first")
    drawn, height = render_history(series)
    write_chart(drawn, height, path)


def render_history(series: Sequence[Series]) -> tuple[str, float]:
    """Return SVG text and its height, in pixels.

    Args:
        series: One for each contestant, with at least one point.
    """
    times = sorted({point.time for one in series for point in one.points})
    height = TOP + len(series) * (HIGH + GAP) + MARGIN
    panels = [
        part
        for row, one in enumerate(series)
        for part in _panel(one, times, TOP + row * (HIGH + GAP))
    ]
    heading = "Time of a run: median, and its 99 % interval"
    return chart("Time of a run", _described(series), heading, panels, height), height


def _described(series: Sequence[Series]) -> str:
    return "; ".join(
        f"{one.name}: {', '.join(f'{p.p50_ms:g} ms' for p in one.points)}" for one in series
    )


def _panel(series: Series, times: Sequence[str], top: float) -> list[str]:
    """Return the elements of one contestant; its scale is its own."""
    least, most = _span(series.points)
    base, across = top + HIGH, PAGE_WIDTH - LEFT - RIGHT
    step = across / max(1, len(times) - 1)

    def place(point: Point, value: float) -> tuple[float, float]:
        return LEFT + step * times.index(point.time), base - (value - least) / (most - least) * (
            HIGH - 18
        )

    colour = family("conv").band
    room = PAGE_WIDTH - 2 * MARGIN
    parts = [text(MARGIN, top + 10, series.name, SMALL, bold=True, room=room)]
    parts += [
        tag("line", x1=LEFT, x2=PAGE_WIDTH - RIGHT, y1=base, y2=base, stroke=QUIET),
        _ending_at(LEFT - 8, base + 3, f"{least:.3g} ms"),
        _ending_at(LEFT - 8, top + 21, f"{most:.3g}"),
    ]
    spans = [(*place(p, p.low), place(p, p.high)[1]) for p in series.points]
    parts += [
        tag("line", x1=x, x2=x, y1=low, y2=high, stroke=colour, stroke_width=7, opacity="0.3")
        for x, low, high in spans
    ]
    middles = [place(point, point.p50_ms) for point in series.points]
    path = " ".join(f"{number(x)},{number(y)}" for x, y in middles)
    parts.append(tag("polyline", points=path, fill="none", stroke=colour, stroke_width=1.5))
    parts += [tag("circle", cx=x, cy=y, r=2, fill=colour) for x, y in middles]
    last, (_, y) = series.points[-1], middles[-1]
    parts.append(text(PAGE_WIDTH - RIGHT + 8, y + 3, f"{last.p50_ms:.3g} ms", SMALL, colour=INK))
    parts.append(text(LEFT, base + 13, _minute(times[0]), SMALL, colour=QUIET))
    if len(times) > 1:
        parts.append(_ending_at(PAGE_WIDTH - RIGHT, base + 13, _minute(times[-1])))
    return parts


def _span(points: Sequence[Point]) -> tuple[float, float]:
    """Return the ends of a scale that holds all intervals."""
    low, high = min(point.low for point in points), max(point.high for point in points)
    more = max(0.0, _LEAST * (low + high) / 2 - (high - low)) / 2
    return max(0.0, low - more), high + more


def _minute(time: str) -> str:
    """Return `2026-01-31 12:59`."""
    return time[:16].replace("T", " ")


def _ending_at(x: float, y: float, content: str) -> str:
    return text(x - width(content, SMALL), y, content, SMALL, colour=QUIET)
