"""Frames without sizes: columns, lanes and lines, which hold whether items are open or closed.

The page adds up the sizes of what is shown; it decides nothing about the order of things.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from netloft_diagrams.geometry import Placed
from netloft_diagrams.lanes import Edge
from netloft_diagrams.measure import box_label
from netloft_diagrams.row import RowMaker, RowStyle
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of
from netloft_diagrams.series import atoms, borders_of
from netloft_diagrams.summary import summarise

__all__ = ["Planner"]

SKIP, IDENTITY = 1, 2
"""What a line is: a jump into a sum; one that carries the value itself."""


class Planner:
    """Plans the frames of one scene.

    Args:
        scene: All boxes and frames.
        down: Whether the flow runs downwards.
    """

    def __init__(self, scene: Scene, down: bool) -> None:
        boxes = list(boxes_of(scene.root))
        self._shapes = scene.shapes
        self._skips = scene.skips
        self._projections = frozenset(b.key for b in boxes if "projection" in b.lines)
        self._style = RowStyle(
            label=lambda _: "",
            room=lambda _: 0.0,
            skips=scene.skips,
            merges=frozenset(b.key for b in boxes if b.symbol and not down),
            projections=self._projections,
        )
        self._down = down
        self._nets: dict[str, int] = {}

    def net(self, name: str) -> int:
        """Return the number of a value; the page has no use for its name."""
        return self._nets.setdefault(name, len(self._nets))

    def closed(self, item: Item) -> Box:
        """Return the box that stands for an item as long as it is not opened."""
        return item if isinstance(item, Box) else summarise(item, self._shapes, self._skips)

    def frame(self, frame: Frame) -> list[dict[str, Any]]:
        """Return the plan of each part of a frame; one value alone crosses between two parts."""
        parts = atoms(frame.items, frame.gives)
        borders = borders_of(frame, parts)
        at = {item.key: i for i, item in enumerate(frame.items)}
        return [
            self._part(part, borders[k], borders[k + 1], at, frame.path)
            for k, part in enumerate(parts)
        ]

    def _part(
        self,
        part: Sequence[Item],
        reads: tuple[str, ...],
        gives: tuple[str, ...],
        at: Mapping[str, int],
        above: str,
    ) -> dict[str, Any]:
        plan = _Plan([self._measured(i, above) for i in part], reads, gives, self._style)
        keys = plan.keys
        place = {key: i for i, key in enumerate(keys)}
        edges = [
            [self.net(e.net), place[e.source], place[e.target], list(lanes), self._kind(e, lanes)]
            for e, lanes in plan.travel.items()
        ]
        return {
            "in": [self.net(n) for n in reads],
            "it": [at[key] for key in keys if key in at],
            "out": [self.net(n) for n in gives],
            "at": [[plan.column[key], plan.lane[key]] for key in keys],
            "e": edges,
        }

    def _measured(self, item: Item, above: str) -> Placed:
        box = self.closed(item)
        label = box_label(box, above)
        long, across = label.width, label.height
        if self._down:
            long, across = across, long
        ports = dict.fromkeys(item.reads, across / 2)
        return Placed(item, 0, 0, long, across, ports, dict.fromkeys(item.gives, across / 2))

    def _kind(self, edge: Edge, lanes: Sequence[int]) -> int:
        projected = {edge.source, edge.target} & self._projections
        into = edge.net in self._skips.get(edge.target, ())
        if not into and edge.target not in projected:
            return 0
        return SKIP | (0 if projected or not lanes else IDENTITY)


class _Plan(RowMaker):
    """The first steps of a row: what does not depend on the sizes of its items."""

    def __init__(
        self, items: Sequence[Placed], reads: Sequence[str], gives: Sequence[str], style: RowStyle
    ) -> None:
        super().__init__(items, reads, gives, style)
        self.keys = self._keys
        self.column = self._column
        lanes, travel = self._lanes()
        self.lane: Mapping[str, int] = lanes.of
        self.travel: dict[Edge, tuple[int, ...]] = {
            edge: (lane or 0,) * (self._column[edge.target] - self._column[edge.source] - 1)
            for edge, lane in travel.items()
        }
        if None in travel.values():
            self._take_lanes_of_graphviz()

    def _take_lanes_of_graphviz(self) -> None:
        """Number the heights that Graphviz gives: each is a lane."""
        self._place_by_graphviz()
        heights = (*self._y.values(), *itertools.chain(*self._travel.values()))
        number = {y: i for i, y in enumerate(sorted({round(y) for y in heights}))}
        self.lane = {key: number[round(y)] for key, y in self._y.items()}
        self.travel = {e: tuple(number[round(y)] for y in ys) for e, ys in self._travel.items()}
