"""One row: items side by side in columns and lanes, and the lines between them.

The row is computed along the direction of flow, which is called x here; a drawing that runs
downwards swaps the axes at the end.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netloft_diagrams.geometry import Placed, Point, Wire
from netloft_diagrams.graphviz_engine import place_ranks
from netloft_diagrams.lanes import Edge, Lanes, assign_columns, assign_lanes
from netloft_diagrams.row_style import RowStyle
from netloft_diagrams.text_metrics import fit
from netloft_diagrams.theme import LINE, SMALL

__all__ = ["ARROW", "IDENTITY", "LEAD", "ROW_ENDS", "Row", "RowMaker", "RowStyle", "make_row"]

ENTRY, EXIT = "in ", "out "
"""Keys of a row's ends begin so; no item's key holds a space."""
IDENTITY = "identity"
"""The word on a skip that carries the value itself."""
LEAD, ARROW, TRACK, LANE_GAP = 5.0, 9.0, 6.0, 9.0
WIDEST_LABEL = 190.0
"""Room for the shapes of several values on one line."""
STACKED = 3
"""Shapes one below the other: more would leave the row."""
BELOW = 15.0
"""From a word above a line to one below it."""
BESIDE = 5.0
"""More room between lanes where boxes stand side by side, broad as they are."""

ROW_ENDS = 2 * LEAD + ARROW + 2
"""Room that a row needs before its first and after its last item."""


@dataclass
class Row:
    """A laid-out row; `wires` run from x = 0 to `width`."""

    items: list[Placed]
    width: float
    height: float
    ins: dict[str, float]
    outs: dict[str, float]
    wires: list[Wire] = field(default_factory=list)


def make_row(
    items: Sequence[Placed], reads: Sequence[str], gives: Sequence[str], style: RowStyle
) -> Row:
    """Lay out items in one row.

    Args:
        items: In order, already measured; their places are ignored.
        reads: Values that come in from the left.
        gives: Values that go out to the right.
        style: Labels, skips and circles.
    """
    return RowMaker(items, reads, gives, style).run()


class RowMaker:
    """The steps of laying out one row; the explorer takes the first of them, without sizes."""

    def __init__(
        self, items: Sequence[Placed], reads: Sequence[str], gives: Sequence[str], style: RowStyle
    ) -> None:
        self._placed = {p.item.key: p for p in items}
        self._style = style
        self._ins = [ENTRY + name for name in reads]
        self._outs = [EXIT + name for name in gives]
        self._keys = [*self._ins, *self._placed, *self._outs]
        self._edges = self._find_edges(reads, gives)
        self._column = self._columns()
        self._last = max(self._column.values())

    def _find_edges(self, reads: Sequence[str], gives: Sequence[str]) -> list[Edge]:
        maker = {name: ENTRY + name for name in reads}
        maker.update({name: key for key, p in self._placed.items() for name in p.item.gives})
        edges = [
            Edge(name, maker[name], key)
            for key, p in self._placed.items()
            for name in p.item.reads
            if name in maker and maker[name] != key
        ]
        return edges + [Edge(n, maker[n], EXIT + n) for n in gives if n in maker]

    def _columns(self) -> dict[str, int]:
        inner = [e for e in self._edges if not e.source.startswith(ENTRY)]
        column = assign_columns([*self._placed, *self._outs], inner)
        last = max([*column.values(), 1])
        column.update(dict.fromkeys(self._ins, 0))
        column.update(dict.fromkeys(self._outs, last if not self._placed else 0))
        end = max(column[key] for key in self._placed) + 1 if self._placed else 1
        column.update(dict.fromkeys(self._outs, end))
        return column

    def run(self) -> Row:
        """Lay out."""
        self._place_across()
        self._level_exits()
        self._plan_jogs()
        self._place_along()
        items = [p.at(self._x[key], self._y[key] - p.base) for key, p in self._placed.items()]
        return Row(
            items,
            self._width,
            self._height,
            {key[len(ENTRY) :]: self._y[key] for key in self._ins},
            {key[len(EXIT) :]: self._y[key] for key in self._outs},
            self._wires(),
        )

    # across the flow: lanes

    def _lanes(self) -> tuple[Lanes, dict[Edge, int | None]]:
        weight = {key: 1 + p.item.macs // 1000 for key, p in self._placed.items()}
        lanes = assign_lanes(self._keys, self._edges, self._column, weight)
        return lanes, {e: self._travel_lane(e, lanes.of, lanes.edges) for e in self._edges}

    def _place_across(self) -> None:
        lanes, travel = self._lanes()
        if self._style.graphviz or None in travel.values():
            self._place_by_graphviz()
            return
        heights = self._lane_heights(lanes.of, [t for t in travel.values() if t is not None])
        y, lane_y = 0.0, {}
        gap = LANE_GAP + (BESIDE if self._style.aside else 0.0)
        for lane in sorted(heights):
            up, down = heights[lane]
            lane_y[lane] = y + up
            y += up + down + gap
        self._height = y - gap
        self._y = {key: lane_y[lanes.of[key]] for key in self._keys}
        self._travel = {
            e: [lane_y[lane]] * (self._column[e.target] - self._column[e.source] - 1)
            for e, lane in travel.items()
            if lane is not None
        }

    def _travel_lane(
        self, edge: Edge, lane_of: Mapping[str, int], own: Mapping[Edge, int]
    ) -> int | None:
        """Return a lane that is free all the way from source to target; None where none is."""
        if edge in own:
            return own[edge]
        start, end = self._column[edge.source], self._column[edge.target]
        ours = sorted({lane_of[edge.source], lane_of[edge.target]}, key=abs, reverse=True)
        for lane in ours:
            between = (k for k in self._keys if lane_of[k] == lane)
            if not any(start < self._column[k] < end for k in between):
                return lane
        return None

    def _lane_heights(
        self, lane_of: Mapping[str, int], travelled: Sequence[int]
    ) -> dict[int, tuple[float, float]]:
        heights = dict.fromkeys(travelled, (6.0, 4.0))
        for lane in travelled:
            if lane not in lane_of.values():
                # a skip's lane has its label above the line; right of it where the flow runs down
                heights[lane] = (4.0, self._style.aside) if self._style.aside else (13.0, 2.0)
        for key, p in self._placed.items():
            up, down = heights.get(lane_of[key], (0.0, 0.0))
            heights[lane_of[key]] = (max(up, p.base), max(down, p.height - p.base))
        return heights or {0: (0.0, 0.0)}

    def _place_by_graphviz(self) -> None:
        sizes = {key: (p.base, p.height - p.base) for key, p in self._placed.items()}
        self._y, self._travel, self._height = place_ranks(
            self._keys, self._edges, self._column, sizes
        )

    def _level_exits(self) -> None:
        """Let a value leave the row at the height at which it leaves its item."""
        for edge in self._edges:
            beside = self._column[edge.target] - self._column[edge.source] == 1
            if edge.target.startswith(EXIT) and beside and edge.source in self._placed:
                self._y[edge.target] = self._port(edge.source, edge.net, False)

    # along the flow: columns and the gaps between them, where lines change lane

    def _port(self, key: str, net: str, entering: bool) -> float:
        placed = self._placed.get(key)
        if placed is None:
            return self._y[key]
        ports = placed.ins if entering else placed.outs
        return self._y[key] - placed.base + ports.get(net, placed.base)

    def _levels(self, edge: Edge) -> list[float]:
        """Return the edge's height at its source, at each column that it passes, at its target."""
        start, end = (
            self._port(edge.source, edge.net, False),
            self._port(edge.target, edge.net, True),
        )
        return [start, *self._travel[edge], end]

    def _enters_aside(self, edge: Edge) -> bool:
        """Lines from other lanes enter a circle from above or below."""
        levels = self._levels(edge)
        far = len(levels) > 2 or edge.source in self._style.projections
        turns = far and levels[-2] != levels[-1]
        return edge.target in self._style.merges and turns and not self._blocked(edge, levels[-2])

    def _blocked(self, edge: Edge, level: float) -> bool:
        low, high = sorted((level, self._y[edge.target]))
        return any(
            key != edge.target
            and self._column[key] == self._column[edge.target]
            and low < self._y[key] < high
            for key in self._keys
        )

    def _plan_jogs(self) -> None:
        """Give each change of lane its own track in its gap, shared by lines of one value."""
        self._fork_track: dict[tuple[int, str], int] = {}
        self._join_track: dict[tuple[int, str], int] = {}
        self._n_tracks: dict[int, tuple[int, int]] = {}
        self._left: dict[tuple[int, float], set[str]] = defaultdict(set)
        for edge in self._edges:
            for gap, a, b in self._steps(edge):
                if a != b:
                    self._left[gap, a].add(edge.net)
        for edge in self._edges:
            steps = list(self._steps(edge))
            for step, (gap, a, b) in enumerate(steps):
                last = step == len(steps) - 1
                if a == b or (last and self._enters_aside(edge)):
                    continue
                joining = self._joins(edge, step)
                tracks = self._join_track if joining else self._fork_track
                name = edge.target if joining else edge.net
                forks, joins = self._n_tracks.get(gap, (0, 0))
                if (gap, name) not in tracks:
                    tracks[gap, name] = joins if joining else forks
                    forks, joins = (forks, joins + 1) if joining else (forks + 1, joins)
                self._n_tracks[gap] = (forks, joins)

    def _steps(self, edge: Edge) -> Iterator[tuple[int, float, float]]:
        """Yield each gap that an edge passes, with its heights before and after it."""
        column = self._column[edge.source]
        for step, (a, b) in enumerate(itertools.pairwise(self._levels(edge))):
            yield column + step, a, b

    def _joins(self, edge: Edge, step: int) -> bool:
        """Tell whether an edge comes to its target's lane here, behind all that leave that lane.

        A line that came in before another value has left the lane would look like that value.
        """
        levels = self._levels(edge)
        if step < len(levels) - 2:
            return False
        leaving = self._left.get((self._column[edge.source] + step, levels[-1]), set())
        return step > 0 or bool(leaving - {edge.net})

    def _place_along(self) -> None:
        self._x: dict[str, float] = {}
        self._end: dict[str, float] = {}
        self._gap_start: dict[int, float] = {}
        self._gap_end: dict[int, float] = {}
        x = 0.0
        for column in range(0 if self._ins else 1, self._last + 1):
            keys = [k for k in self._keys if self._column[k] == column]
            widths = {k: self._placed[k].width if k in self._placed else 0.0 for k in keys}
            wide = max(widths.values(), default=0.0)
            for key in keys:
                self._x[key] = x + (wide - widths[key]) / 2
                self._end[key] = self._x[key] + widths[key]
            self._gap_start[column] = x + wide
            x += wide + (self._gap(column, keys) if column < self._last else 0.0)
            self._gap_end[column] = x
        self._width = x
        self._centre_short_branches()

    def _gap(self, column: int, keys: Sequence[str]) -> float:
        labels = (self._label_room(key) for key in keys if key in self._placed)
        forks, joins = self._n_tracks.get(column, (0, 0))
        lines = TRACK * (forks + joins)
        arrow = 2.0 if column + 1 == self._last and self._outs else ARROW
        room = max(labels, default=0.0)
        return LEAD + room + lines + arrow

    def _label_room(self, key: str) -> float:
        targets = {e.net for e in self._edges if e.source == key and not e.target.startswith(EXIT)}
        return max((self._style.room(net) for net in targets), default=0.0)

    def _centre_short_branches(self) -> None:
        """Move an item that is alone in its lane to the middle between its fork and its join."""
        for key, p in self._placed.items():
            alone = [k for k in self._keys if self._y[k] == self._y[key]] == [key]
            before = [e.source for e in self._edges if e.target == key]
            after = [e.target for e in self._edges if e.source == key]
            if not alone or len(before) != 1 or len(after) != 1:
                continue
            low = self._gap_end[self._column[before[0]]]
            high = self._gap_start[self._column[after[0]] - 1]
            if high - low > p.width:
                self._x[key] = (low + high - p.width) / 2
                self._end[key] = self._x[key] + p.width

    # the lines themselves

    def _wires(self) -> list[Wire]:
        wires = [self._wire(edge) for edge in self._edges]
        inner = {
            edge.net: i
            for i, (edge, wire) in reversed([*enumerate(zip(self._edges, wires, strict=True))])
            if not (edge.source.startswith(ENTRY) or edge.target.startswith(EXIT) or wire.skip)
        }
        for net, i in inner.items():
            text, below = self._label(net, self._edges[i].source, inner)
            if text:
                wire = wires[i]
                x, y = wire.points[0]
                at = (x + 3 + self._style.room(net) / 2, y + below)
                wires[i] = wire.through(wire.points, text, at, wire.forks)
        return [self._with_forks(wire, wires) for wire in wires]

    def _label(self, net: str, source: str, inner: Container[str]) -> tuple[str, float]:
        """Return the words on the first line of a value, and how far below it they stand.

        Of several values that leave one box the first few are told, one below the other; where the
        flow runs down, and they stand side by side, all are told at the last one.
        """
        placed = self._placed[source]
        if placed.children:
            return self._style.label(net), 0.0
        if not self._style.aside:
            number, starts = list(placed.outs).index(net), list(placed.outs.values())
            lower = LINE * (number - 1) - (starts[number] - starts[1]) if number else 0.0
            text = self._style.label(net) if number < STACKED else ""
            return text, BELOW + lower if number else 0.0
        told = [other for other in placed.outs if other in inner and self._style.label(other)]
        joined = fit(", ".join(map(self._style.label, told)), SMALL, WIDEST_LABEL)
        return (joined if net in told[-1:] else ""), 0.0

    def _wire(self, edge: Edge) -> Wire:
        points = self._points(edge)
        projected = {edge.source, edge.target} & self._style.projections
        skip = edge.net in self._style.skips.get(edge.target, ()) or edge.target in projected
        direct = skip and not projected and len(self._travel[edge]) > 0
        middle = max(itertools.pairwise(points), key=lambda ab: ab[1][0] - ab[0][0])
        at = ((middle[0][0] + middle[1][0]) / 2, middle[0][1])
        return Wire(
            edge.net,
            "" if edge.source.startswith(ENTRY) else edge.source,
            "" if edge.target.startswith(EXIT) else edge.target,
            tuple(points),
            arrow=edge.target in self._placed and not self._placed[edge.target].children,
            label=IDENTITY if direct else "",
            label_at=at,
            skip=skip,
        )

    def _points(self, edge: Edge) -> list[Point]:
        levels = self._levels(edge)
        column = self._column[edge.source]
        points = [(self._end.get(edge.source, 0.0), levels[0])]
        for step, (a, b) in enumerate(itertools.pairwise(levels)):
            last = step == len(levels) - 2
            if a == b:
                continue
            if last and self._enters_aside(edge):
                centre = self._x[edge.target] + 10.0
                top = self._y[edge.target] + (-10.0 if a < b else 10.0)
                return [*points, (centre, a), (centre, top)]
            x = self._jog_x(edge, column + step, joining=self._joins(edge, step))
            points += [(x, a), (x, b)]
        return [*points, (self._x[edge.target], levels[-1])]

    def _jog_x(self, edge: Edge, gap: int, joining: bool) -> float:
        if joining:
            arrow = 2.0 if gap + 1 == self._last and self._outs else ARROW
            return self._gap_end[gap] - arrow - TRACK * self._join_track[gap, edge.target]
        forks, joins = self._n_tracks[gap]
        arrow = 2.0 if gap + 1 == self._last and self._outs else ARROW
        end = self._gap_end[gap] - arrow - TRACK * joins
        return end - TRACK * (forks - 1 - self._fork_track[gap, edge.net])

    def _with_forks(self, wire: Wire, wires: Sequence[Wire]) -> Wire:
        """Mark where this line leaves the one that another line of its value goes on along."""
        others = [
            w
            for w in wires
            if w.net == wire.net and w is not wire and w.points[0] == wire.points[0]
        ]
        if len(wire.points) < 3 or not others:
            return wire
        # the part that both share is drawn once, in the colour of the plain line
        points = wire.points[1:] if wire.skip else wire.points
        return wire.through(points, wire.label, wire.label_at, (wire.points[1],))
