"""Kernels under the roof of what a machine can do, as a picture: a panel for each file and batch.

The roofline model of Williams, Waterman and Patterson, 2009: across, how many operations a kernel
does for each byte; upwards, how many it does in a second. Both axes are logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from netloft.errors import UsageError
from netloft.speed.peak import Peak
from netloft.speed.profile import ProfileRow
from netloft.speed.roofline import BYTES_ALONE
from netloft_diagrams.chart import chart, check_chart, write_chart
from netloft_diagrams.markup import escape, number, tag
from netloft_diagrams.shapes import text
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import INK, MARGIN, PAGE_WIDTH, QUIET, SMALL, family

__all__ = ["check_roofline", "plot_roofline", "render_roofline"]

LEFT, RIGHT, TOP = 64.0, 24.0, 46.0
HIGH, GAP = 300.0, 60.0
"""Height of a panel, and what lies between two."""

_GRID = "#e4e8ee"
_NAMED = 6
"""Kernels that are named: those that take the longest."""
_LEAST, _MOST = 2.0, 14.0
"""Radius of a dot; its area follows the share of the time."""


def check_roofline(path: Path) -> None:
    """Check that a roofline can be drawn into a file; see `chart.check_chart` for the errors."""
    check_chart(path, "a roofline")


def plot_roofline(rows: Sequence[ProfileRow], peak: Peak, path: Path) -> None:
    """Draw the kernels that do multiply-adds into an SVG or PNG file.

    Raises:
        UsageError: There is none, or the file's suffix is another one.
        OutputError: The file cannot be written.
        MissingError: PNG is asked for, and resvg-py is not installed.
    """
    check_roofline(path)
    if not _computing(rows):
        raise UsageError(
            "no kernel does multiply-adds in float32, so there is nothing under the roof",
            remedy="measure a float32 file",
        )
    drawn, height = render_roofline(rows, peak)
    write_chart(drawn, height, path)


def render_roofline(rows: Sequence[ProfileRow], peak: Peak) -> tuple[str, float]:
    """Return SVG text and its height, in pixels.

    Args:
        rows: Of one machine; those of one file and batch stand together.
        peak: What the machine can do.
    """
    panels = [list(found) for _, found in groupby(rows, key=_panel)]
    panels = [panel for panel in panels if _computing(panel)]
    height = TOP + len(panels) * (HIGH + GAP) + MARGIN
    drawn = [
        part
        for place, panel in enumerate(panels)
        for part in _Panel(panel, peak, TOP + place * (HIGH + GAP)).drawn()
    ]
    heading = "Kernels under the roof of this machine"
    return chart("Roofline", _described(panels, peak), heading, drawn, height), height


def _panel(row: ProfileRow) -> tuple[str, str, int]:
    return row.target, row.provider, row.batch


def _described(panels: Sequence[Sequence[ProfileRow]], peak: Peak) -> str:
    told = [
        f"{panel[0].target} at batch {panel[0].batch}: "
        + ", ".join(f"{_name(row)} {row.gflops:g} GFLOP/s" for row in _computing(panel))
        for panel in panels
    ]
    return f"{_roof(peak)}. " + "; ".join(told)


def _roof(peak: Peak) -> str:
    threads = f"{peak.threads} thread{'s' * (peak.threads > 1)}"
    return f"{peak.gflops:g} GFLOP/s and {peak.gbs:g} GB/s with {threads}"


def _computing(rows: Sequence[ProfileRow]) -> list[ProfileRow]:
    """Return the kernels that do multiply-adds in float32, those that take the longest first."""
    found = [row for row in rows if row.gflops and row.macs and row.bytes and _under(row)]
    return sorted(found, key=lambda row: -row.ms)


def _under(row: ProfileRow) -> bool:
    """Tell whether the roof is that of a kernel: int8 has another one, and so has a GPU."""
    return row.limit_ms is not None and row.limit_by != BYTES_ALONE


def _name(row: ProfileRow) -> str:
    return row.module or row.node or row.kernel


def _intensity(row: ProfileRow) -> float:
    """Return operations for each byte; a multiply-add is two."""
    return 2 * (row.macs or 0) / row.bytes


class _Panel:
    """One file at one batch."""

    def __init__(self, rows: Sequence[ProfileRow], peak: Peak, top: float) -> None:
        self._rows, self._all, self._peak, self._top = _computing(rows), rows, peak, top + 16
        ridge = peak.gflops / peak.gbs
        across = [ridge / 4, ridge * 4, *map(_intensity, self._rows)]
        # what is in the caches, or was measured in a quiet moment, lies above the roof
        upwards = [peak.gflops / 30, peak.gflops, *(row.gflops or 0.0 for row in self._rows)]
        self._x = math.floor(math.log10(min(across))), math.ceil(math.log10(max(across)))
        self._y = math.floor(math.log10(min(upwards))), math.log10(max(upwards)) + 0.15

    def drawn(self) -> list[str]:
        """Return the elements."""
        first = self._all[0]
        named = f"{first.target}, batch {first.batch}: {_roof(self._peak)}"
        rest = sum(row.share for row in self._all) - sum(row.share for row in self._rows)
        note = (
            "blue: convolutions, violet: matrix products, as large as their share of the time; "
            f"the rest takes {rest:.0%}"
        )
        return [
            text(MARGIN, self._top - 6, named, SMALL, bold=True, room=PAGE_WIDTH - 2 * MARGIN),
            *self._axes(),
            *self._roofs(),
            *self._dots(),
            text(LEFT, self._top + HIGH + 32, note, SMALL, colour=QUIET),
        ]

    def _at(self, intensity: float, gflops: float) -> tuple[float, float]:
        (left, right), (low, high) = self._x, self._y
        across = (math.log10(intensity) - left) / (right - left)
        upwards = (math.log10(gflops) - low) / (high - low)
        return LEFT + across * (PAGE_WIDTH - LEFT - RIGHT), self._top + HIGH - upwards * HIGH

    def _axes(self) -> list[str]:
        parts = []
        for power in range(self._x[0], self._x[1] + 1):
            x, _ = self._at(10.0**power, 1)
            parts.append(tag("line", x1=x, x2=x, y1=self._top, y2=self._top + HIGH, stroke=_GRID))
            label = f"{10.0**power:g}"
            y = self._top + HIGH + 14
            parts.append(text(x, y, label, SMALL, colour=QUIET, anchor="middle"))
        for power in range(self._y[0], math.floor(self._y[1]) + 1):
            _, y = self._at(1, 10.0**power)
            parts.append(tag("line", x1=LEFT, x2=PAGE_WIDTH - RIGHT, y1=y, y2=y, stroke=_GRID))
            label = f"{10.0**power:g}"
            parts.append(text(LEFT - 8 - width(label, SMALL), y + 3, label, SMALL, colour=QUIET))
        parts.append(text(MARGIN, self._top + 8, "GFLOP/s", SMALL, colour=QUIET))
        words = "operations for each byte"
        x = PAGE_WIDTH - RIGHT - width(words, SMALL)
        parts.append(text(x, self._top + HIGH + 32, words, SMALL, colour=QUIET))
        return parts

    def _roofs(self) -> list[str]:
        peak = self._peak
        start = max(10.0 ** self._x[0], 10.0 ** self._y[0] / peak.gbs)
        corners = [
            self._at(start, start * peak.gbs),
            self._at(peak.gflops / peak.gbs, peak.gflops),
            self._at(10.0 ** self._x[1], peak.gflops),
        ]
        points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
        return [tag("polyline", points=points, fill="none", stroke=INK, stroke_width=1.5)]

    def _dots(self) -> list[str]:
        most = max((row.share for row in self._rows), default=1.0)
        dots, names, taken = [], [], list[tuple[float, float, float]]()
        for place, row in enumerate(self._rows):
            x, y = self._at(_intensity(row), row.gflops or 1.0)
            radius = max(_LEAST, _MOST * math.sqrt(row.share / most))
            reached = f", {row.limit_ms / row.ms:.0%} of the limit" if row.limit_ms else ""
            hint = f"{_name(row)}: {row.kernel}, {row.ms:.3g} ms, {row.share:.0%}{reached}"
            look = family("conv" if "Conv" in row.kernel else "linear")
            dots.append(
                tag("circle", f"<title>{escape(hint)}</title>", cx=x, cy=y, r=radius,
                    fill=look.band, opacity="0.45")
            )  # fmt: skip
            if place < _NAMED:
                names += self._named(row, x, y, radius, taken)
        return [*reversed(dots), *names]

    def _named(
        self,
        row: ProfileRow,
        x: float,
        y: float,
        radius: float,
        taken: list[tuple[float, float, float]],
    ) -> list[str]:
        """Return a name below or beside a dot, where there is room for one."""
        label = f"{_name(row)} {row.share:.0%}"
        wide = width(label, SMALL)
        left = min(max(LEFT, x - wide / 2), PAGE_WIDTH - RIGHT - wide)
        for step in range(12):
            base = y + radius + 11 + 12 * step
            free = all(
                abs(base - other) >= 11 or left + wide < start or left > end
                for start, end, other in taken
            )
            if free and base < self._top + HIGH - 2:
                taken.append((left, left + wide, base))
                return [text(left, base, label, SMALL, halo=True)]
        return []
