"""Operations that do nothing when a network is evaluated."""

from __future__ import annotations

from netloft.comparing.entry import Entry
from netloft.comparing.side import Side
from netloft.errors import InputError

__all__ = ["does_nothing"]

_PLAIN = (
    "module Identity", "function contiguous", "function clone", "function detach",
    "function requires_grad", "function share_memory", "function pos", "function positive",
    "module Dropout", "module Dropout1d", "module Dropout2d", "module Dropout3d",
    "module AlphaDropout", "module FeatureAlphaDropout", "module StochasticDepth",
    "function dropout", "function dropout1d", "function dropout2d", "function dropout3d",
    "function alpha_dropout", "function feature_dropout", "function stochastic_depth",
)  # fmt: skip

_WIDTHS = {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3}

_WITH_MODES = 7
"""From this operator set on a Dropout of a file is one of evaluation, unless an operand says no."""


def does_nothing(entry: Entry, side: Side) -> bool:
    """Tell whether an operation gives what it is given: a dropout, an identity, a wider cast."""
    if entry.op == "cat":
        return len(entry.reads) == 1 and not entry.weights and not entry.reads[0].parts
    if entry.op == "to":
        return _widens(entry, side)
    if entry.arguments is not None:
        trains = any(entry.arguments.named.get(name) is True for name in ("training", "train"))
        return entry.arguments.spelling in _PLAIN and not trains
    if entry.op == "identity":
        return True
    readers = side.weights.readers
    if entry.op != "dropout" or readers is None or readers.opset < _WITH_MODES:
        return False
    try:
        return not any(bool(side.weights[name].any()) for name in readers.modes())
    except InputError:
        return False  # it is worked out when the file is run


def _widens(entry: Entry, side: Side) -> bool:
    before = [t for read in entry.reads[:1] for t in side.entries[read.position].types]
    if len(before) != 1 or len(entry.types) != 1:
        return False
    old, new = before[0], entry.types[0]
    return old == new or _WIDTHS.get(old, 9) < _WIDTHS.get(new, 0)
