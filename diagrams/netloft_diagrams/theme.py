"""Sizes, colours and forms.

Each family has a colour and an icon of its own, so a drawing can be read in grey. The hues are
those of Okabe and Ito, which readers with any common colour blindness can tell apart, made lighter
for the ground and darker for the band.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAMILIES", "Family", "family"]

SMALL, TITLE, HEADING = 10.0, 11.5, 15.0
"""Font sizes, in pixels."""
LINE = 12.5
BAND = 12.0
"""Width of the coloured band at a box's left, which holds the icon."""

MARGIN = 12.0
PAGE_WIDTH = 750.0
PAGE_HEIGHT = 1150.0
"""What a drawing has to fit: scaled to A4's text block of 454 × 700 pt, the small font is 6 pt."""

INK, QUIET, WIRE, SKIP, WARN = "#1b2430", "#566070", "#3b4656", "#b8480e", "#a3161c"
FONT = "'DejaVu Sans Condensed','DejaVu Sans',Verdana,Arial,Helvetica,sans-serif"


@dataclass(frozen=True)
class Family:
    """How boxes of one family look.

    Attributes:
        words: What the legend says.
        fill: Colour of the ground.
        band: Colour of the band and the border.
        icon: Path of the form in the band, in a field of 10 × 10.
    """

    words: str
    fill: str
    band: str
    icon: str


_RINGS = "M5 1A4 4 0 1 0 5 9A4 4 0 1 0 5 1M5 3.6A1.4 1.4 0 1 0 5 6.4A1.4 1.4 0 1 0 5 3.6"
_TURN = "M8.5 4A4 4 0 1 0 8 7.5M8.6 1.2V4.2H5.8"
_GROW = "M1.5 8.5L8.5 1.5M5 1.5H8.5V5M1.5 5V8.5H5"
_GRID = "M1 1H9V9H1ZM1 3.7H9M1 6.3H9M3.7 1V9M6.3 1V9"
FAMILIES = {
    "input": Family("input, output", "#eef1f5", "#566070", ""),
    "conv": Family("convolution", "#dcebf8", "#0a5a94", _GRID),
    "linear": Family("linear, matrix product", "#e6e0f5", "#54389c",
                     "M1.5 1.5L8.5 5L1.5 8.5M1.5 5L8.5 1.5M1.5 5L8.5 8.5M1.5 5H8.5"),
    "norm": Family("normalisation", "#fbf3cf", "#86690a", "M1 8.5C4 8.5 3.6 1.5 5 1.5S6 8.5 9 8.5"),
    "activation": Family("activation", "#fde8d4", "#a64f00", "M1 8H5L9 2"),
    "pool": Family("pooling, reduction", "#d5f0e7", "#04704f", "M1 2H9L6 6V9L4 8V6Z"),
    "merge": Family("sum, product, concat", "#ffffff", "#3b4656", "M5 1.5V8.5M1.5 5H8.5"),
    "attention": Family("attention", "#f8e0ee", "#a0306f",
                        _RINGS),
    "recurrent": Family("recurrent", "#e3e7fb", "#3646a6", _TURN),
    "embedding": Family("embedding", "#e4f1d8", "#436f14", "M1 2H9M1 5H9M1 8H9M3 2V8"),
    "pad": Family("padding", "#eceff3", "#5a6472", "M1 1H9V9H1ZM3.4 3.4H6.6V6.6H3.4Z"),
    "resample": Family("resampling", "#d7f1f5", "#0b6878", _GROW),
    "parameter": Family("free parameter", "#f0e6da", "#7a4a1e", "M5 1L9 5L5 9L1 5Z"),
    "shape": Family("reshape, slice", "#eceff3", "#5a6472", "M3.5 2L1 5L3.5 8M6.5 2L9 5L6.5 8"),
    "identity": Family("dropout, identity", "#f4f5f7", "#7b8593", "M1.5 5H8.5"),
    "other": Family("other", "#f1ece4", "#6d5c42", "M5 1.5V5.8M5 7.4V8.6"),
    "summary": Family("module, not opened", "#f3f5f8", "#3b4656", "M1 1H9V9H1ZM5 3V7M3 5H7"),
}  # fmt: skip
_SAME = {"output": "input", "reduce": "pool"}


def family(kind: str) -> Family:
    """Return the look of a family; an unknown one looks like `other`."""
    return FAMILIES.get(_SAME.get(kind, kind), FAMILIES["other"])
