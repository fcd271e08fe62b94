"""Differences that are no surprise: what exporters and passes do on purpose, checked by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from netloft.comparing.side import Side
from netloft.comparing.difference import Change
from netloft.comparing.entry import Entry
from netloft.comparing.weights import Array

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
    if change.kind in ("same", "uncompared"):
        return change
    reason = found.of.get(change.a.position, "") if change.a else ""
    if not reason and change.b:
        reason = back.of.get(change.b.position, "")
        reason = f"before, {reason}" if reason.endswith(_FOLDED) or " into " in reason else reason
    if not reason:
        return change
    folded = change.kind == "changed"
    what = tuple(row for row in change.what if not (folded and _follows(row[0])))
    return replace(change, what=what, reason=reason)


_FOLDED = "folded in"


def _follows(name: str) -> bool:
    """Tell whether a row is what a fold does to a layer, and so is told by its reason."""
    return name.split(" ")[0] in ("weight", "bias", "padding", "module")


class _Reasons:
    """Look from one side at the other.

    Attributes:
        of: Reasons by position on this side.
        parts: Reasons by position on the other side, for what this one has as one layer.
    """

    def __init__(self, here: Side, there: Side, pairs: Mapping[int, int]) -> None:
        self._here, self._there, self._pairs = here, there, pairs
        self.of: dict[int, str] = {}
        self.parts: dict[int, str] = {}

    def look(self, gone: list[Entry], new: list[Entry]) -> None:
        """Find reasons for what the other side does not have."""
        for entry in gone:
            if entry.family == "identity":
                self.of[entry.position] = "does nothing when a network is evaluated"
            elif entry.op == "batch_norm":
                self._folded(entry)
            elif entry.op == "pad":
                self._padded(entry)
            else:
                self._written_out(entry, new)

    def _folded(self, norm: Entry) -> None:
        before = [self._here.entries[r.position] for r in norm.reads]
        if len(before) != 1 or before[0].position not in self._pairs:
            return
        layer = before[0]
        other = self._there.entries[self._pairs[layer.position]]
        if layer.family in ("conv", "linear") and self._is_fold(norm, layer, other):
            self.of[norm.position] = f"folded into {layer.path}"
            self.of[layer.position] = f"{norm.path} folded in"

    def _is_fold(self, norm: Entry, layer: Entry, other: Entry) -> bool:
        weights = self._here.weights
        own, folded, scales = dict(layer.weights), dict(other.weights), dict(norm.weights)
        if not {"weight"} <= set(own) or not {"weight", "bias"} <= set(folded):
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
        names = (folded["weight"], folded["bias"])
        given = [_wide(self._there.weights[name]) for name in names]
        return all(_close(x, y) for x, y in zip(results, given, strict=True))

    def _padded(self, pad: Entry) -> None:
        """A padding in zeros that the convolution behind it now does itself."""
        readers = [e for e in self._here.entries if pad.position in [r.position for r in e.reads]]
        if len(readers) != 1 or readers[0].position not in self._pairs:
            return
        layer = readers[0]
        other = self._there.entries[self._pairs[layer.position]]
        old, new = layer.attributes.get("padding"), other.attributes.get("padding")
        sizes = pad.attributes.get("pad")
        if layer.family not in ("conv", "pool") or not isinstance(sizes, tuple | int):
            return
        same = {sizes} if isinstance(sizes, int) else set(sizes)
        if len(same) == 1 and isinstance(old, int) and new == old + next(iter(same)):
            self.of[pad.position] = f"folded into {layer.path}"
            self.of[layer.position] = "a padding folded in"

    def _written_out(self, entry: Entry, new: list[Entry]) -> None:
        """A layer that the other side has as several operations of the same module."""
        parts = [e for e in new if e.path == entry.path or e.path.startswith(f"{entry.path}.")]
        if entry.is_layer and len(parts) > 1:
            self.of[entry.position] = f"written out as {len(parts)} operations"
            self.parts |= {e.position: f"a part of {entry.path}, written out" for e in parts}


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _close(x: Array, y: Array) -> bool:
    if x.shape != y.shape:
        x, y = (x.T, y) if x.T.shape == y.shape else (x, y)
    if x.shape != y.shape:
        return False
    largest = float(np.abs(x).max(initial=0))
    return bool(np.abs(x - y).max(initial=0) <= _CLOSE * max(largest, 1e-12))
