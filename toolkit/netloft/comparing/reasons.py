"""Differences that are no surprise: what exporters and passes do on purpose, checked by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from netloft.comparing.compiled import FOLDED, WORDS
from netloft.comparing.difference import Change
from netloft.comparing.entry import Entry
from netloft.comparing.idle import does_nothing
from netloft.comparing.side import Side
from netloft.comparing.weights import Array, as_numpy
from netloft.comparing.written_out import parts_of, written_as
from netloft.errors import InputError

__all__ = ["explained"]

_CLOSE = 1e-5
"""Folding is done in float32 or better: its rounding stays below this part of the largest value."""


def explained(
    changes: list[Change], left: Side, right: Side, pairs: Mapping[int, int]
) -> list[Change]:
    """Return the changes with the reasons that are known.

    Given:
        conv1 changed, bn1 removed

    Result:
        conv1 changed: bn1 folded in; bn1 removed: folded into conv1. That is said only where the
        new weights are those that the fold gives.
    """
    found = _Reasons(left, right, pairs)
    back = _Reasons(right, left, {there: here for here, there in pairs.items()})
    gone = [c.a for c in changes if c.kind == "removed" and c.a]
    new = [c.b for c in changes if c.kind == "added" and c.b]
    found.look(gone, new)
    back.look(new, gone)
    found.of |= {at: reason for at, reason in back.parts.items() if at not in found.of}
    back.of |= {at: reason for at, reason in found.parts.items() if at not in back.of}
    return [_told(change, found, back) for change in changes]


def _told(change: Change, found: _Reasons, back: _Reasons) -> Change:
    reason = found.of.get(change.a.position) if change.a else None
    if reason is None and change.b:
        reason = back.of.get(change.b.position)
        reason = reason and replace(reason, words=_before(reason.words))
    if reason is None:
        return change
    what = tuple(row for row in change.what if row[0].split(" ")[0] not in reason.covers)
    whole = change.whole and reason.whole
    if what or change.kind == "same":  # the reason does not tell all that differs
        return replace(change, whole=whole, kind=change.kind if whole else _open(change.kind))
    return replace(change, what=(), reason=reason.words, whole=whole)


def _open(kind: str) -> str:
    return "uncompared" if kind == "same" else kind


_FOLDED = "folded in"


def _before(words: str) -> str:
    return f"before, {words}" if words.endswith(_FOLDED) or " into " in words else words


@dataclass(frozen=True)
class _Reason:
    """Why something differs.

    Attributes:
        words: To be told.
        covers: The rows of a changed operation that it explains, by the first word of their names.
        whole: Whether that was found by looking at all that there is.
    """

    words: str
    covers: tuple[str, ...] = ()
    whole: bool = True


class _Reasons:
    """Look from one side at the other.

    Attributes:
        of: Reasons by position on this side.
        parts: Reasons by position on the other side, for what this one has as one layer.
    """

    def __init__(self, here: Side, there: Side, pairs: Mapping[int, int]) -> None:
        self._here, self._there, self._pairs = here, there, pairs
        self.of: dict[int, _Reason] = {}
        self.parts: dict[int, _Reason] = {}

    def look(self, gone: list[Entry], new: list[Entry]) -> None:
        """Find reasons for what the other side does not have."""
        for entry in gone:
            if self._taken_away(entry):
                continue
            if _may_be_idle(entry) and does_nothing(entry, self._here):
                self.of[entry.position] = _Reason("does nothing when a network is evaluated")
            elif entry.op == "batch_norm" and self._folded(entry):
                continue
            elif entry.op == "pad":
                self._padded(entry)
            else:
                self._written_out(entry, new)
        if self._there.is_file and not self._here.is_file:
            self._written_otherwise(new)
            self._with_folded_weights()

    def _taken_away(self, entry: Entry) -> bool:
        """What netloft's passes take away, or put in its place."""
        by = self._here.taken.by.get(entry.position)
        if by is not None and (by != FOLDED or self._folds_hold):
            self.of[entry.position] = _Reason(WORDS[by])
            return True
        name = next((name for _, name in entry.weights), "")
        if name in self._there.taken.folded and _is_worked_out(name, self._there, self._here):
            self.of[entry.position] = _Reason("worked out beforehand")
            return True
        return False

    def _with_folded_weights(self) -> None:
        """Layers whose weight, or bias, is worked out of several."""
        folded = self._here.taken.folded
        for here, there in self._pairs.items() if folded and self._folds_hold else ():
            roles = [r for r, name in self._there.entries[there].weights if name in folded]
            if roles and here not in self.of:
                told = f"{' and '.join(roles)} worked out beforehand"
                self.of[here] = _Reason(told, tuple(roles))

    @cached_property
    def _folds_hold(self) -> bool:
        here, there = self._here, self._there
        return all(_is_worked_out(name, here, there) for name in here.taken.folded)

    def _readers(self, position: int) -> list[Entry]:
        return [e for e in self._here.entries if position in [r.position for r in e.reads]]

    def _folded(self, norm: Entry) -> bool:
        before = [self._here.entries[r.position] for r in norm.reads]
        if len(before) != 1 or before[0].position not in self._pairs:
            return False
        layer = before[0]
        other = self._there.entries[self._pairs[layer.position]]
        fits = layer.family in ("conv", "linear") and len(self._readers(layer.position)) == 1
        if not fits or not self._is_fold(norm, layer, other):
            return False
        self.of[norm.position] = _Reason(f"folded into {layer.path}")
        covers = ("weight", "bias", "module")
        self.of[layer.position] = _Reason(f"{norm.path} {_FOLDED}", covers)
        return True

    def _is_fold(self, norm: Entry, layer: Entry, other: Entry) -> bool:
        weights = self._here.weights
        own, folded, scales = dict(layer.weights), dict(other.weights), dict(norm.weights)
        if "weight" not in own or "weight" not in folded:
            return False
        if "bias" not in folded and len(other.numbers) != 1:
            return False
        if not {"running_mean", "running_var"} <= set(scales):
            return False
        mean, variance = (_wide(weights[scales[n]]) for n in ("running_mean", "running_var"))
        eps = norm.attributes.get("eps", 1e-5)
        scale = 1 / np.sqrt(variance + (eps if isinstance(eps, float) else 1e-5))
        scale *= _wide(weights[scales["weight"]]) if "weight" in scales else 1
        weight = _wide(weights[own["weight"]])
        bias = _wide(weights[own["bias"]]) if "bias" in own else 0
        shift = _wide(weights[scales["bias"]]) if "bias" in scales else 0
        axis = 1 if layer.op.startswith("conv_transpose") else 0
        if weight.shape[axis] != scale.size:
            return False
        shape = [1] * weight.ndim
        shape[axis] = -1
        results = (weight * scale.reshape(shape), (bias - mean) * scale + shift)
        names = [folded[role] for role in ("weight", "bias") if role in folded]
        given = [_wide(self._there.weights[name]) for name in names]
        given += [np.asarray(other.numbers)] if len(given) < 2 else []
        return all(_close(x, y) for x, y in zip(results, given, strict=True))

    def _padded(self, pad: Entry) -> None:
        """A padding in zeros that the convolution behind it now does itself."""
        readers = self._readers(pad.position)
        facts = pad.form.facts
        if len(readers) != 1 or readers[0].position not in self._pairs:
            return
        if facts.get("mode") != "constant" or facts.get("value") != 0:
            return
        layer = readers[0]
        other = self._there.entries[self._pairs[layer.position]]
        if layer.op != other.op or layer.op not in ("conv1d", "conv2d", "conv3d"):
            return
        rank = int(layer.op[-2])
        sizes = facts.get("pad")
        if not isinstance(sizes, tuple) or len(sizes) > 2 * rank:
            return
        added = (*sizes[::2], *sizes[1::2])
        half = len(sizes) // 2
        around = [
            (0,) * (rank - half) + tuple(reversed(end)) for end in (added[:half], added[half:])
        ]
        old, new = (_ends(e.form.facts.get("padding"), rank) for e in (layer, other))
        if old and new and new == [o + n for o, n in zip(old, sum(around, ()), strict=True)]:
            self.of[pad.position] = _Reason(f"folded into {layer.path}")
            self.of[layer.position] = _Reason(f"a padding {_FOLDED}", ("padding",))

    def _written_out(self, entry: Entry, new: list[Entry]) -> None:
        """An operation that a file has as others of the same module, or in the same place."""
        if self._here.is_file or not self._there.is_file:
            return
        free = [e for e in new if e.position not in self.parts]
        parts = parts_of(entry, self._here, self._pairs, free)
        if parts:
            self.of[entry.position] = _Reason(_out(len(parts), parts[0]), whole=False)
            self._part(entry, parts)

    def _part(self, entry: Entry, parts: list[Entry]) -> None:
        told = _Reason(f"a part of {entry.path or entry.op}, written out", whole=False)
        self.parts |= {e.position: told for e in parts}

    def _written_otherwise(self, new: list[Entry]) -> None:
        """Layers that the file has as another one, or as one and some more."""
        for here, there in self._pairs.items():
            entry, other = self._here.entries[here], self._there.entries[there]
            allowed = written_as(entry)
            if allowed and other.op in {entry.op, *allowed}:
                free = [e for e in new if e.position not in self.parts]
                parts = parts_of(entry, self._here, self._pairs, free)
                parts = [e for e in parts if e.op == "parameter" or e.path in ("", other.path)]
                if parts or entry.op != other.op:
                    covers = ("operation", "module", "weight", "bias")
                    self.of[here] = _Reason(_out(len(parts) + 1, other), covers, whole=False)
                    self._part(entry, parts)


def _is_worked_out(name: str, traced: Side, file: Side) -> bool:
    """Tell whether the file has the value that the passes worked out of the traced graph."""
    try:
        found = file.weights[name]
    except InputError:
        return False
    return _close(_wide(as_numpy(traced.taken.folded[name])), _wide(found))


def _may_be_idle(entry: Entry) -> bool:
    return entry.family == "identity" or (entry.op == "cat" and len(entry.reads) == 1)


def _out(count: int, one: Entry) -> str:
    if count == 1:
        return f"written out as {one.op}, which is not compared"
    return f"written out as {count} operations, which are not compared"


def _ends(padding: object, rank: int) -> list[int]:
    """Return what is padded at all begins, then at all ends."""
    if isinstance(padding, int):
        return [padding] * (2 * rank)
    if isinstance(padding, tuple) and len(padding) in (rank, 2 * rank):
        return list(padding) * (2 * rank // len(padding))
    return []


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _close(x: Array, y: Array) -> bool:
    if x.shape != y.shape:
        x, y = (x.T, y) if x.T.shape == y.shape else (x, y)
    if x.shape != y.shape:
        return False
    largest = float(np.abs(x).max(initial=0))
    return bool(np.abs(x - y).max(initial=0) <= _CLOSE * max(largest, 1e-12))
