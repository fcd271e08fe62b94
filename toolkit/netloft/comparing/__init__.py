"""Two graphs in, what differs between them out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from netloft.comparing.align import align
from netloft.comparing.compare import compare_ends, compare_pair
from netloft.comparing.compiled import taken_away
from netloft.comparing.difference import KINDS, Change, Difference
from netloft.comparing.entry import Entry, entries_of
from netloft.comparing.form import COMMUTES
from netloft.comparing.reasons import explained
from netloft.comparing.side import Compared, Side
from netloft.comparing.weights import Gap, Weights
from netloft.graph.graph import Graph
from netloft.onnx_graph import read_onnx

__all__ = ["KINDS", "Change", "Difference", "Gap", "diff", "file_of"]


def diff(a: Graph | str | os.PathLike[str], b: Graph | str | os.PathLike[str]) -> Difference:
    """Compare two graphs: their operations, hyper-parameters, wiring and weights.

    Operations are aligned by the path of their layer, then by their order and by what they are, so
    that renamed modules are found. Weights are compared by value; a matrix that stands the other
    way round in a file is the same. A norm that was folded into the layer before it is told as
    such where the new weights are what the fold gives.

    Args:
        a: A traced graph, the path of an ONNX file, or the folder of a bundle.
        b: What to compare with it.

    Returns:
        The record; `equal` tells whether nothing differs, `text()` says what does.

    Raises:
        InputError: A file cannot be read, or its weights lie outside of its folder.
    """
    left, right = _beside(_side(a), _side(b))
    pairs = _pairs(left, right)
    changes = list(_changes(left, right, pairs))
    return Difference(left.graph, right.graph, tuple(explained(changes, left, right, pairs)))


def file_of(path: Path) -> Path:
    """Return an ONNX file, which for a bundle is the model in its folder."""
    return path / "model.onnx" if path.is_dir() else path


def _side(given: Graph | str | os.PathLike[str]) -> Side:
    graph = given if isinstance(given, Graph) else read_onnx(file_of(Path(given)))
    weights = Weights(graph)
    return Side(graph, entries_of(graph, weights.readers), weights)


def _beside(*sides: Side) -> list[Side]:
    """Tell each side what is missing in the other because netloft took it away."""
    made = any(side.weights.is_ours for side in sides)
    return [
        replace(side, taken=taken_away(side.graph, side.entries))
        if made and not side.is_file
        else side
        for side in sides
    ]


def _pairs(left: Side, right: Side) -> dict[int, int]:
    """Align two sides, the same way whichever comes first."""
    if _rank(left) <= _rank(right):
        return _aligned(left, right)
    turned = _aligned(right, left)
    return {here: there for there, here in turned.items()}


def _aligned(a: Side, b: Side) -> dict[int, int]:
    return align(a.entries, b.entries, (_shapes(a), _shapes(b)), (a.taken.by, b.taken.by))


def _rank(side: Side) -> tuple[object, ...]:
    rows = [(e.path, e.op, repr(sorted(map(repr, e.attributes.items())))) for e in side.entries]
    return len(rows), rows


def _shapes(side: Side) -> dict[int, object]:
    """Return the lengths of each operation's first weight, whichever way round it stands."""
    return {
        entry.position: tuple(sorted(side.weights.shape(entry.weights[0][1])))
        for entry in side.entries
        if entry.weights
    }


def _changes(left: Side, right: Side, pairs: Mapping[int, int]) -> Iterator[Change]:
    """Yield every operation in the order of the second graph."""
    there = {b: a for a, b in pairs.items()}
    after: dict[int, list[Entry]] = {}
    last = -1
    for entry in left.entries:
        if entry.position in pairs:
            last = pairs[entry.position]
        else:
            after.setdefault(last, []).append(entry)
    yield from (Change("removed", gone, None) for gone in after.get(-1, ()))
    for entry in right.entries:
        if entry.position in there:
            old = left.entries[there[entry.position]]
            found = _compared(old, entry, left, right, pairs)
            kind = "changed" if found.rows else "same" if found.whole else "uncompared"
            yield Change(kind, old, entry, found.rows, whole=found.whole)
        else:
            yield Change("added", None, entry)
        yield from (Change("removed", gone, None) for gone in after.get(entry.position, ()))


def _compared(a: Entry, b: Entry, left: Side, right: Side, pairs: Mapping[int, int]) -> Compared:
    if a.op == b.op == "input":
        ends = [
            [v for v in side.graph.inputs if v.node == entry.node[0]]
            for side, entry in ((left, a), (right, b))
        ]
        return Compared(tuple(compare_ends(ends[0], ends[1], "input")))
    found = compare_pair(a, b, left, right) if a.op != "output" else Compared()
    if a.op == b.op == "output":
        found = Compared(tuple(compare_ends(left.graph.outputs, right.graph.outputs, "output")))
    old, new = [*_sources(a, left, pairs)], [*_sources(b, right, {p: p for p in pairs.values()})]
    crossed = left.is_file != right.is_file
    if crossed:
        old, new = [s.ranked(right) for s in old], [s.ranked(right) for s in new]
    if a.op in COMMUTES and b.op == a.op:
        old, new = sorted(old, key=repr), sorted(new, key=repr)
    if len(old) == len(new):
        kept = [(o, n) for o, n in zip(old, new, strict=True) if not (o.is_open or n.is_open)]
        old, new = [o for o, _ in kept], [n for _, n in kept]
    if old == new:
        return found
    before, after = (", ".join(s.told(right) for s in seen) for seen in (old, new))
    return Compared((*found.rows, ("reads", before or "nothing", after or "nothing")), found.whole)


@dataclass(frozen=True)
class _Source:
    """What an operation reads, by its place on the second side.

    Attributes:
        position: Of the entry; -1 for one that the other side does not have and that reads
            several: what stands for it is told by its own line.
        part: Which of its results.
        parts: All of its results that are read.
        written: Position of what wrote over it last.
    """

    position: int
    part: tuple[object, ...] = ()
    parts: tuple[object, ...] = ()
    written: int = -1

    @property
    def is_open(self) -> bool:
        return self.position < 0

    def ranked(self, side: Side) -> _Source:
        """Count results among those that are read, as files do; these know no writes in place.

        Those of a recurrent layer stand in another order in a file; it is not compared as a whole.
        """
        if self.written != -1 or self.is_open:
            return _Source(-1)
        if side.entries[self.position].family in ("recurrent", "attention"):
            return _Source(self.position)
        at = (self.parts.index(self.part),) if len(self.parts) > 1 else ()
        return _Source(self.position, at)

    def told(self, side: Side) -> str:
        part = "".join(f" result {i}" for i in self.part)
        return f"{side.entries[self.position]}{part}" if self.position >= 0 else "another"


def _sources(entry: Entry, side: Side, known: Mapping[int, int]) -> Iterator[_Source]:
    """Return what an operation reads, through what the other side does not have."""
    for read in entry.reads:
        if side.taken.is_folded(read.position) and read.position not in known:
            continue
        while read.position not in known and len(side.entries[read.position].reads) == 1:
            read = side.entries[read.position].reads[0]
        if read.position not in known:
            if side.entries[read.position].reads:
                yield _Source(-1)
            continue
        written = known.get(read.written, -2) if read.written >= 0 else -1
        yield _Source(known[read.position], read.part, read.parts, written)
