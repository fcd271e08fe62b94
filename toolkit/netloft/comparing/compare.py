"""Two operations that were found to be one: what differs between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netloft.comparing.entry import Entry
from netloft.comparing.form import COMMUTES
from netloft.comparing.form import known as known_shape
from netloft.comparing.side import Compared, Row, Side
from netloft.comparing.tensors import compare_weights
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import Value

__all__ = ["compare_ends", "compare_pair"]


def compare_pair(a: Entry, b: Entry, left: Side, right: Side) -> Compared:
    """Return what differs between two operations, weights by their values."""
    rows: list[Row] = []
    if a.path != b.path and not _is_function_in(a, b, left, right):
        rows.append(("module", a.path or "the network", b.path or "the network"))
    if a.op != b.op:
        rows.append(("operation", a.op, b.op))
    found = _arguments(a, b, left, right)
    weights = compare_weights(a, b, left, right)
    return Compared((*rows, *found.rows, *weights.rows), found.whole and weights.whole)


def _is_function_in(a: Entry, b: Entry, left: Side, right: Side) -> bool:
    """A function with the weights of a layer is called after the layer; a file names the caller."""
    traced, filed = (a, b) if right.is_file else (b, a)
    if left.is_file == right.is_file or traced.calls == traced.path:
        return False
    return filed.path == traced.calls and traced.path.startswith(f"{traced.calls}.")


def _arguments(a: Entry, b: Entry, left: Side, right: Side) -> Compared:
    """Compare all that two operations are called with beside values and weights."""
    if left.is_file and right.is_file:
        return _in_files(a, b)
    old, new = a.arguments, b.arguments
    if old and new and a.types != b.types and a.op == b.op:
        return Compared((("type", ", ".join(a.types), ", ".join(b.types)),))
    if old and new and old.spelling == new.spelling:
        rows = _differing(_commuted(a, old.named), _commuted(b, new.named))
        return Compared(rows, whole=bool(rows) or (old.complete and new.complete))
    if a.op != b.op:
        return Compared(_shared(a.attributes, b.attributes) if old and new else ())
    shared = {name for name in a.form.facts if name in b.form.facts}
    whole = a.form.whole and b.form.whole
    names = {*a.form.facts, *b.form.facts} if whole else shared
    facts = [{k: v for k, v in e.form.facts.items() if k in names} for e in (a, b)]
    rows = _differing(*(_known_lengths(*facts) if not whole else facts))
    return Compared(rows, whole=whole or bool(rows))


def _in_files(a: Entry, b: Entry) -> Compared:
    """Compare two nodes by all that their files say of them."""
    rows = _differing(a.attributes, b.attributes) if a.op == b.op else ()
    if not rows and a.op == b.op and a.exact is not None and b.exact is not None:
        rows = () if a.exact == b.exact else (("attributes", "", "differ"),)
    return Compared(rows)


def _known_lengths(*facts: dict[str, object]) -> list[dict[str, object]]:
    """Leave shapes out that one side does not know, or tells in other words."""
    known = all("shape" not in f or known_shape(f["shape"]) for f in facts)  # type: ignore[arg-type]
    return [f if known else {k: v for k, v in f.items() if k != "shape"} for f in facts]


def _commuted(entry: Entry, named: Mapping[str, object]) -> Mapping[str, object]:
    """Put the operands of a sum in one order, whichever stands first."""
    if entry.op not in COMMUTES or set(named) != {"input", "other"}:
        return named
    sides = sorted(named.values(), key=lambda v: (not isinstance(v, tuple), repr(v)))
    return dict(zip(("input", "other"), sides, strict=True))


def _shared(a: Mapping[str, object], b: Mapping[str, object]) -> tuple[Row, ...]:
    return _differing(
        {k: v for k, v in a.items() if k in b}, {k: v for k, v in b.items() if k in a}
    )


def _differing(a: Mapping[str, object], b: Mapping[str, object]) -> tuple[Row, ...]:
    return tuple(
        (_called(name, a.get(name), b.get(name)), _spelled(a.get(name)), _spelled(b.get(name)))
        for name in dict.fromkeys((*a, *b))
        if _typed(a.get(name)) != _typed(b.get(name))
    )


def _typed(value: object) -> object:
    """Tell True from 1."""
    if isinstance(value, tuple):
        return tuple(map(_typed, value))
    return ("bool", value) if isinstance(value, bool) else value


def _called(name: str, *values: object) -> str:
    is_side = name in ("other", "input", "argument 0", "argument 1")
    return "constant" if is_side and all(isinstance(v, int | float) for v in values) else name


def _spelled(value: object) -> str:
    if isinstance(value, tuple):
        if value and value[0] in ("value", "weight") and len(value) == 2:
            return f"{value[0]} {value[1]}"
        if value and value[0] == "slice":
            return ":".join("" if v is None else str(v) for v in value[1:])
        plain = all(isinstance(v, int | str) for v in value)
        return ("×" if plain else ", ").join(map(_spelled, value)) or "none"
    return "none" if value is None else str(value)


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
