"""Two graphs in, what differs between them out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from netloft.comparing.align import align
from netloft.comparing.compare import Row, Side, compare_ends, compare_pair
from netloft.comparing.difference import KINDS, Change, Difference
from netloft.comparing.entry import Entry, entries_of
from netloft.comparing.reasons import explained
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
    left, right = _side(a), _side(b)
    pairs = _pairs(left, right)
    changes = list(_changes(left, right, pairs))
    return Difference(left.graph, right.graph, tuple(explained(changes, left, right, pairs)))


def file_of(path: Path) -> Path:
    """Return an ONNX file, which for a bundle is the model in its folder."""
    return path / "model.onnx" if path.is_dir() else path


def _side(given: Graph | str | os.PathLike[str]) -> Side:
    graph = given if isinstance(given, Graph) else read_onnx(file_of(Path(given)))
    return Side(graph, entries_of(graph), Weights(graph))


def _pairs(left: Side, right: Side) -> dict[int, int]:
    """Align two sides, the same way whichever comes first."""
    if _rank(left) <= _rank(right):
        return align(left.entries, right.entries, (_shapes(left), _shapes(right)))
    turned = align(right.entries, left.entries, (_shapes(right), _shapes(left)))
    return {here: there for there, here in turned.items()}


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
            rows = _rows(old, entry, left, right, pairs)
            yield Change("changed" if rows else "same", old, entry, rows)
        else:
            yield Change("added", None, entry)
        yield from (Change("removed", gone, None) for gone in after.get(entry.position, ()))


def _rows(a: Entry, b: Entry, left: Side, right: Side, pairs: Mapping[int, int]) -> tuple[Row, ...]:
    if a.op == b.op == "input":
        ends = [
            [v for v in side.graph.inputs if v.node == entry.node[0]]
            for side, entry in ((left, a), (right, b))
        ]
        return tuple(compare_ends(ends[0], ends[1], "input"))
    rows = compare_pair(a, b, left, right) if a.op != "output" else ()
    if a.op == b.op == "output":
        rows = tuple(compare_ends(left.graph.outputs, right.graph.outputs, "output"))
    old = [pairs[i] for i in _sources(a, left, set(pairs))]
    new = list(_sources(b, right, set(pairs.values())))
    if a.op in _EITHER_WAY:
        old, new = sorted(old), sorted(new)
    if old != new:
        before, after = (", ".join(str(right.entries[i]) for i in found) for found in (old, new))
        rows = (*rows, ("reads", before or "nothing", after or "nothing"))
    return rows


_EITHER_WAY = ("add", "mul", "maximum", "minimum", "and", "or", "xor", "eq")


def _sources(entry: Entry, side: Side, known: set[int]) -> Iterator[int]:
    """Return what an operation reads, through what the other side does not have."""
    for position in entry.reads:
        seen = position
        while seen not in known and side.entries[seen].reads:
            seen = side.entries[seen].reads[0]
        if seen in known:
            yield seen
