"""Which column and which lane each item of one row has: the longest path straight, the rest beside.

Skips get lanes of their own above the longest path and branches get lanes below it, the short ones
nearest, so that in a series-parallel net no two lines cross.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Edge", "Lanes", "assign_columns", "assign_lanes"]


@dataclass(frozen=True)
class Edge:
    """A value on its way from one item of a row to another."""

    net: str
    source: str
    target: str


@dataclass
class Lanes:
    """Lane of each item, and of each edge that has a lane to itself; 0 is the longest path's."""

    of: dict[str, int] = field(default_factory=dict)
    edges: dict[Edge, int] = field(default_factory=dict)

    def all(self) -> list[int]:
        """Every lane in use."""
        return [*self.of.values(), *self.edges.values()]


@dataclass
class _Block:
    lanes: Lanes
    start: int
    end: int
    is_edge: bool


def assign_columns(keys: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Put every item right of all it reads; what reads nothing stands just left of its reader."""
    before: dict[str, list[str]] = {key: [] for key in keys}
    after: dict[str, list[str]] = {key: [] for key in keys}
    for edge in edges:
        before[edge.target].append(edge.source)
        after[edge.source].append(edge.target)
    column: dict[str, int] = {}
    for key in keys:
        column[key] = 1 + max((column[source] for source in before[key]), default=0)
    for key in reversed(keys):
        if not before[key] and after[key]:
            column[key] = max(1, min(column[target] for target in after[key]) - 1)
    return column


def assign_lanes(
    keys: Sequence[str], edges: Sequence[Edge], column: Mapping[str, int], weight: Mapping[str, int]
) -> Lanes:
    """Put the longest path on lane 0 and everything else above or below it.

    Args:
        keys: Items in order.
        edges: Connections among them.
        column: Column of each item.
        weight: What decides between paths of the same length.
    """
    here = set(keys)
    inner = [e for e in edges if e.source in here and e.target in here]
    spine = _longest_path(keys, inner, weight)
    on_spine = set(spine)
    lanes = Lanes(of=dict.fromkeys(spine, 0))
    blocks = _skip_blocks(spine, inner, column)
    for part in _components([k for k in keys if k not in on_spine], inner):
        inside = assign_lanes(part, inner, column, weight)
        start, end = _span(part, spine, inner, column)
        blocks.append(_Block(inside, start, end, is_edge=False))
    _stack(lanes, sorted(blocks, key=lambda b: (b.end - b.start, b.start)))
    return lanes


def _longest_path(
    keys: Sequence[str], edges: Sequence[Edge], weight: Mapping[str, int]
) -> list[str]:
    best: dict[str, tuple[int, int, str]] = {}
    into: dict[str, list[str]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge.source)
    for key in keys:
        options = [best[s] for s in into.get(key, ())]
        length, heavy = max(((o[0], o[1]) for o in options), default=(0, 0))
        origin = next((s for s in into.get(key, ()) if best[s][:2] == (length, heavy)), "")
        best[key] = (length + 1, heavy + weight.get(key, 0), origin)
    at = max(keys, key=lambda k: best[k][:2])
    path = []
    while at:
        path.append(at)
        at = best[at][2]
    return path[::-1]


def _skip_blocks(
    spine: Sequence[str], edges: Sequence[Edge], column: Mapping[str, int]
) -> list[_Block]:
    place = {key: i for i, key in enumerate(spine)}
    return [
        _Block(Lanes(edges={edge: 0}), column[edge.source], column[edge.target], is_edge=True)
        for edge in edges
        if edge.source in place
        and edge.target in place
        and place[edge.target] - place[edge.source] > 1
    ]


def _components(keys: Sequence[str], edges: Sequence[Edge]) -> list[list[str]]:
    """Split items into groups that no edge joins, each in order."""
    group = {key: key for key in keys}

    def find(key: str) -> str:
        while group[key] != key:
            key = group[key]
        return key

    for edge in edges:
        if edge.source in group and edge.target in group:
            group[find(edge.target)] = find(edge.source)
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(find(key), []).append(key)
    return list(found.values())


def _span(
    part: Sequence[str], spine: Sequence[str], edges: Sequence[Edge], column: Mapping[str, int]
) -> tuple[int, int]:
    """Return the columns between which a branch leaves the longest path and comes back."""
    inside, main = set(part), set(spine)
    leave = [column[e.source] for e in edges if e.target in inside and e.source in main]
    back = [column[e.target] for e in edges if e.source in inside and e.target in main]
    own = [column[key] for key in part]
    return min([*leave, min(own) - 1]), max([*back, max(own) + 1])


def _stack(lanes: Lanes, blocks: Sequence[_Block]) -> None:
    """Give each block the nearest free lanes: skips above, branches below, many on both sides."""
    taken: dict[int, list[tuple[int, int, int, int]]] = {-1: [], 1: []}
    branches = sum(not block.is_edge for block in blocks)
    for block in blocks:
        used = block.lanes.all()
        low, high = min(used), max(used)
        size = high - low + 1
        levels = {side: _free_level(taken[side], block, size) for side in (-1, 1)}
        side = -1 if block.is_edge or (branches > 2 and levels[-1] < levels[1]) else 1
        level = levels[side]
        taken[side].append((block.start, block.end, level, level + size - 1))

        def shifted(
            lane: int, side: int = side, level: int = level, low: int = low, high: int = high
        ) -> int:
            return level + lane - low if side > 0 else -(level + high - lane)

        lanes.of.update({key: shifted(lane) for key, lane in block.lanes.of.items()})
        lanes.edges.update({edge: shifted(lane) for edge, lane in block.lanes.edges.items()})


def _free_level(taken: Sequence[tuple[int, int, int, int]], block: _Block, size: int) -> int:
    level = 1
    while any(
        start < block.end and block.start < end and low < level + size and level <= high
        for start, end, low, high in taken
    ):
        level += 1
    return level
