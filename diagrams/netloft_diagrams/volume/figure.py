"""The few kinds of marks that a volume figure is made of, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass

from netloft_diagrams.geometry import Point

__all__ = ["Face", "Figure", "Line", "Mark", "Part", "Words"]


@dataclass(frozen=True)
class Face:
    """A polygon.

    Attributes:
        points: Corners.
        fill: Colour; empty for none.
        line: Colour of its edge.
        dashed: Whether its edge is.
    """

    points: tuple[Point, ...]
    fill: str
    line: str
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """A line, with an arrow at its end or none.

    Attributes:
        points: Corners.
        colour: Of the line.
        weight: Its width in pixels.
        arrow: Whether it ends in an arrow.
    """

    points: tuple[Point, ...]
    colour: str
    weight: float = 1.0
    arrow: bool = False


@dataclass(frozen=True)
class Words:
    """One line of text.

    Attributes:
        x: Its middle, or its left end where `left` says so.
        y: Its base line.
        content: What it says.
        size: Of the letters, in pixels.
        bold: Whether they are heavier.
        colour: Of the letters.
        left: Whether `x` is the left end.
    """

    x: float
    y: float
    content: str
    size: float
    bold: bool = False
    colour: str = ""
    left: bool = False


Mark = Face | Line | Words


@dataclass(frozen=True)
class Part:
    """Marks that belong together.

    Attributes:
        hint: What they are, for a tooltip.
        marks: In the order in which they are drawn.
    """

    hint: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Figure:
    """A whole figure.

    Attributes:
        name: Of the network.
        description: What it shows, for those who cannot see it.
        width: In pixels.
        height: In pixels.
        parts: In the order in which they are drawn.
    """

    name: str
    description: str
    width: float
    height: float
    parts: tuple[Part, ...]
