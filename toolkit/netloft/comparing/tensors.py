"""Weights of two operations, compared by value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netloft.comparing.entry import Entry
from netloft.comparing.side import Compared, Row, Side
from netloft.comparing.weights import Array, gap

__all__ = ["compare_weights"]

_ROLES = ("weight", "bias", "running_mean", "running_var")


def compare_weights(a: Entry, b: Entry, left: Side, right: Side) -> Compared:
    """Compare the weights of two operations, by what they are to them."""
    before, after = dict(a.weights), dict(b.weights)
    crossed = left.is_file != right.is_file
    if crossed and not {*before, *after} <= set(_ROLES):
        return Compared(whole=False)  # such as an LSTM's, whose gates stand in another order
    rows: list[Row] = []
    whole = True
    for role in dict.fromkeys((*before, *after)):
        if role not in before or role not in after:
            found = _one_sided(role, a, b, left, right)
            rows += found.rows
            whole = whole and found.whole
            continue
        key = (left.weights.identity(before[role]), right.weights.identity(after[role]))
        if key not in left.seen:
            left.seen.add(key)
            x, y = left.weights[before[role]], right.weights[after[role]]
            if role == "weight" and x.ndim == y.ndim == 2 and a.family == b.family == "linear":
                sides = _turned(a, left, before[role]), _turned(b, right, after[role])
                whole = whole and (None not in sides or x.shape != x.shape[::-1])
                y = y.T if _turns(sides, x, y) else y
            rows += _tensors(role, x, y, loose=_loose(role, a, left, right))
    return Compared(tuple(rows), whole)


def _turned(entry: Entry, side: Side, name: str) -> bool | None:
    """Tell whether a matrix stands as (inputs, outputs)."""
    readers = side.weights.readers
    return entry.turned if readers is None else readers.turned(name)


def _turns(sides: tuple[bool | None, bool | None], x: Array, y: Array) -> bool:
    """Tell whether one of two matrices stands the other way round."""
    if None not in sides:
        return sides[0] != sides[1]
    return x.shape != y.shape and x.shape == y.shape[::-1]


def _loose(role: str, entry: Entry, left: Side, right: Side) -> bool:
    """Tell where two spellings write a vector with axes of length one or without.

    A bias of (8,) is one of (1, 8, 1, 1) in a file, and so are the slopes of a PReLU.
    """
    is_vector = role == "bias" or (entry.op == "prelu" and role == "weight")
    return is_vector and (left.is_file or right.is_file)


def _one_sided(role: str, a: Entry, b: Entry, left: Side, right: Side) -> Compared:
    """Look for a weight that one side alone has as a tensor."""
    owner, side, other, far = (
        (a, left, b, right) if role in dict(a.weights) else (b, right, a, left)
    )
    name = dict(owner.weights)[role]
    shape = side.weights.shape(name)
    if far.is_file and not side.is_file and np.prod(shape) == 1 and other.numbers:
        missing = [r for r, n in owner.weights if r not in dict(other.weights)]
        if len(missing) != len(other.numbers):
            return Compared(whole=False)
        own = np.asarray(side.weights[name]).reshape(-1)[:1]
        given = np.asarray([other.numbers[missing.index(role)]]).astype(own.dtype)
        rows = _tensors(role, own, given, loose=False)
        return Compared(tuple(rows))
    if side.is_file and not far.is_file and owner.family == "norm":
        plain = {"weight": 1, "bias": 0}.get(role)
        if plain is not None and bool((side.weights[name] == plain).all()):
            return Compared()  # a file writes the scale of a norm that has none
    told = f"of {_size(shape)}"
    return Compared((((role, told, "none") if side is left else (role, "none", told)),))


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one"


def _tensors(role: str, x: Array, y: Array, *, loose: bool) -> list[Row]:
    """Compare two tensors; where `loose`, axes of length one do not count."""
    rows: list[Row] = []
    if x.dtype != y.dtype:
        rows.append((f"{role} type", str(x.dtype), str(y.dtype)))
    if loose and x.shape != y.shape and _lengths(x) == _lengths(y) and len(_lengths(x)) < 2:
        x, y = x.reshape(-1), y.reshape(-1)
    if x.shape != y.shape:
        return [*rows, (f"{role} shape", _size(x.shape), _size(y.shape))]
    found = gap(x, y)
    return [*rows, (f"{role} differs in", "", str(found))] if found.count else rows


def _lengths(array: Array) -> list[int]:
    return [length for length in array.shape if length != 1]
