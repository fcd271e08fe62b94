"""Two operations that were found to be one: what differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from netloft.comparing.entry import Entry, comparable
from netloft.comparing.weights import Array, Weights, gap
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import Graph, Value

__all__ = ["Row", "Side", "compare_ends", "compare_pair"]

Row = tuple[str, str, str]
"""What changed, before, and after."""


@dataclass(frozen=True)
class Side:
    """One graph with what there is to compare of it.

    Attributes:
        graph: The graph.
        entries: Its operations.
        weights: Its tensors.
        seen: Tensors that were compared: a tied one is told of once.
    """

    graph: Graph
    entries: Sequence[Entry]
    weights: Weights
    seen: set[object] = field(default_factory=set)


def compare_pair(a: Entry, b: Entry, left: Side, right: Side) -> tuple[Row, ...]:
    """Return what differs between two operations, weights by their values."""
    rows: list[Row] = []
    if a.path != b.path:
        rows.append(("module", a.path or "the network", b.path or "the network"))
    if a.op != b.op:
        rows.append(("operation", a.op, b.op))
    alike = (left.graph.file is None) == (right.graph.file is None)
    rows += [
        (name, "none" if old is None else _spelled(old), "none" if new is None else _spelled(new))
        for name, old, new in comparable(a, b, alike=alike)
    ]
    return (*rows, *_weights(a, b, left, right))


def _spelled(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value)) or "none"
    return str(value)


def _weights(a: Entry, b: Entry, left: Side, right: Side) -> list[Row]:
    before, after = dict(a.weights), dict(b.weights)
    rows: list[Row] = []
    for role in dict.fromkeys((*before, *after)):
        if role not in before or role not in after:
            side, name = (left, before[role]) if role in before else (right, after[role])
            told = f"of {_size(side.weights.shape(name))}"
            rows.append((role, told, "none") if role in before else (role, "none", told))
            continue
        key = (left.weights.identity(before[role]), right.weights.identity(after[role]))
        if key not in left.seen:
            left.seen.add(key)
            x, y = left.weights[before[role]], right.weights[after[role]]
            rows += _tensors(role, x, y, turns=a.family == "linear")
    return rows


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one"


def _tensors(role: str, x: Array, y: Array, *, turns: bool) -> list[Row]:
    """Compare two tensors; a matrix may stand in a file the other way round."""
    rows: list[Row] = []
    if x.dtype != y.dtype:
        rows.append((f"{role} type", str(x.dtype), str(y.dtype)))
    other = y.T if turns and x.ndim == y.ndim == 2 else None
    ways = [way for way in (y, other) if way is not None and way.shape == x.shape]
    if not ways:
        if x.size == y.size and x.size and np.array_equal(x.reshape(-1), y.reshape(-1)):
            return rows  # a bias of (1, 8, 1, 1) and one of (8,)
        return [*rows, (f"{role} shape", _size(x.shape), _size(y.shape))]
    gaps = [gap(x, way) for way in ways]
    best = min(gaps, key=lambda g: g.count)
    return [*rows, (f"{role} differs in", "", str(best))] if best.count else rows


def compare_ends(a: Sequence[Value], b: Sequence[Value], what: str) -> list[Row]:
    """Compare the inputs or the outputs of two graphs: names, shapes and types."""
    rows: list[Row] = []
    if len(a) != len(b):
        rows.append((f"number of {what}s", str(len(a)), str(len(b))))
    for old, new in zip(a, b, strict=False):
        if old.name != new.name:
            rows.append((f"{what} name", old.name, new.name))
        if old.info.dtype != new.info.dtype:
            rows.append((f"{what} type", old.info.dtype, new.info.dtype))
        if not _same_shape(old.info.shape, new.info.shape):
            rows.append((f"{what} shape", _size_of(old), _size_of(new)))
    return rows


def _same_shape(a: Sequence[object], b: Sequence[object]) -> bool:
    if (UNKNOWN,) in (tuple(a), tuple(b)):
        return True
    return len(a) == len(b) and all(x == y or UNKNOWN in (x, y) for x, y in zip(a, b, strict=True))


def _size_of(value: Value) -> str:
    return "×".join(map(str, value.info.shape)) or "scalar"
