"""How a difference is marked: by a sign, an outline and a colour, never by colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from netloft_diagrams.mark import Mark
from netloft_diagrams.shapes import rect, text
from netloft_diagrams.theme import SMALL, TITLE

__all__ = ["LOOKS", "PALE", "Look", "outline", "sign", "swatch"]


@dataclass(frozen=True)
class Look:
    """How a mark looks.

    Attributes:
        words: What the legend says.
        colour: Of its outline and its sign.
        sign: What says the same without colour.
        dash: Of its outline.
    """

    words: str
    colour: str
    sign: str
    dash: str = ""


LOOKS = {
    "added": Look("added", "#0b7a3b", "+"),
    "removed": Look("removed", "#b3161c", "\N{MINUS SIGN}", "5 3"),
    "changed": Look("changed", "#b06f00", "~"),
}
"""By the kind of the change; what is the same is pale."""

PALE = 0.6
"""Opacity of what is the same."""


def outline(mark: Mark, x: float, y: float, wide: float, high: float) -> str:
    """Return the line around a box that a mark is, to stand behind the box."""
    look = LOOKS.get(mark.kind)
    if look is None:
        return ""
    return rect(
        x - 2.5, y - 2.5, wide + 5, high + 5, fill="none", line=look.colour, corner=6, weight=2.2,
        dash=look.dash,
    )  # fmt: skip


def sign(mark: Mark, x: float, low: float) -> str:
    """Return a mark's sign at the lower left corner of a box: a frame's title stands above."""
    look = LOOKS.get(mark.kind)
    if look is None:
        return ""
    spot = rect(x - 9, low - 7, 15, 15, fill=look.colour, line="#ffffff", corner=7.5)
    return spot + text(
        x - 1.5, low + 4.6, look.sign, TITLE, bold=True, colour="#ffffff", anchor="middle"
    )


def swatch(kind: str, x: float, y: float) -> str:
    """Return a mark as the legend shows it."""
    look = LOOKS[kind]
    ground = rect(
        x, y, 15, 13, fill="#ffffff", line=look.colour, corner=3, weight=2, dash=look.dash
    )
    return ground + text(
        x + 7.5, y + 10, look.sign, SMALL, bold=True, colour=look.colour, anchor="middle"
    )
