"""Places and lines: what a layout gives and a drawing draws. Pixels, y downwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from netloft_diagrams.scene import Box, Item

__all__ = ["Placed", "Point", "Wire", "transposed", "walk", "with_boxes"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Wire:
    """One drawn connection inside one frame.

    Attributes:
        net: The value it carries.
        source: Key of the item it leaves; empty for the frame's own side.
        target: Key of the item it enters; empty for the frame's own side.
        points: Corners, relative to the frame.
        arrow: Whether it ends at a box; at a frame's side the line goes on inside.
        label: Shape, or what kind of skip it is.
        label_at: Middle of the label's lower side.
        beside: Whether the label stands right of a line that runs down.
        skip: Whether it jumps over layers into a sum.
        forks: Places where another wire of the same value leaves.
    """

    net: str
    source: str
    target: str
    points: tuple[Point, ...]
    arrow: bool = True
    label: str = ""
    label_at: Point = (0.0, 0.0)
    beside: bool = False
    skip: bool = False
    forks: tuple[Point, ...] = ()

    def through(
        self, points: tuple[Point, ...], label: str, label_at: Point, forks: tuple[Point, ...]
    ) -> Wire:
        """Return the same connection along other points, with another label."""
        # `replace` takes three times as long, and every layout moves everything
        return Wire(
            self.net, self.source, self.target, points, self.arrow, label, label_at, self.beside,
            self.skip, forks,
        )  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """An item with its place in the frame around it.

    Attributes:
        item: What is placed.
        x: Left side, relative to the frame around it.
        y: Upper side.
        ins: Where each value enters, along the side, from its start.
        outs: Where each value leaves.
        children: What is inside a frame.
        wires: Connections inside a frame.
        heading: Where a frame's title begins, from its left side.
    """

    item: Item
    x: float
    y: float
    width: float
    height: float
    ins: Mapping[str, float] = field(default_factory=dict)
    outs: Mapping[str, float] = field(default_factory=dict)
    children: tuple[Placed, ...] = ()
    wires: tuple[Wire, ...] = ()
    heading: float = 8.0

    def at(self, x: float, y: float) -> Placed:
        """Return the same in another place."""
        size, inside = (self.width, self.height), (self.children, self.wires)
        return Placed(self.item, x, y, *size, self.ins, self.outs, *inside, self.heading)

    @cached_property
    def base(self) -> float:
        """Where the main line passes: the first entry, or the middle."""
        return next(iter(self.ins.values()), next(iter(self.outs.values()), self.height / 2))


def walk(placed: Placed) -> Iterator[Placed]:
    """Yield a placed item and all inside it, outermost first."""
    yield placed
    for child in placed.children:
        yield from walk(child)


def with_boxes(placed: Placed, change: Callable[[Box], Box]) -> Placed:
    """Return a layout with other boxes of the same size in the places of its own."""
    if isinstance(placed.item, Box):
        return replace(placed, item=change(placed.item))
    return replace(placed, children=tuple(with_boxes(child, change) for child in placed.children))


def transposed(placed: Placed) -> Placed:
    """Swap the two axes, in an item and all inside it."""
    return replace(
        placed,
        x=placed.y,
        y=placed.x,
        width=placed.height,
        height=placed.width,
        children=tuple(transposed(child) for child in placed.children),
        wires=tuple(_transposed_wire(wire) for wire in placed.wires),
    )


def _transposed_wire(wire: Wire) -> Wire:
    return replace(
        wire,
        points=tuple((y, x) for x, y in wire.points),
        label_at=(wire.label_at[1], wire.label_at[0]),
        beside=True,
        forks=tuple((y, x) for x, y in wire.forks),
    )
