"""What kernels reached of what the machine can do, told of one operation or of several together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netloft.speed.roofline import BYTES_ALONE

__all__ = ["reached", "teller"]

Row = Mapping[str, Any]
"""A kernel, as in the JSON of `netloft bench --profile`; older ones lack some keys."""


def teller(rows: Mapping[str, Sequence[Row]]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return what tells of nodes what their kernels reached together.

    Args:
        rows: By name of the node.
    """
    return lambda nodes: reached([row for node in nodes for row in rows.get(node, ())])


def reached(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what kernels reached together, line by line; nothing where there are none.

    Work, times and limits are added up; what is not counted, or has no limit, is left out of the
    speed and of the limit, and its share of the time is told.
    """
    told = (_kernels(rows), _speed(rows), _gap(rows), _unlimited(rows), _elsewhere(rows))
    return tuple(filter(None, told))


def _kernels(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(str(row["kernel"]) for row in rows))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"in ONNX Runtime: {', '.join(names[:3])}{more}" if names else ""


def _speed(rows: Sequence[Row]) -> str:
    counted = [row for row in rows if row["macs"]]
    ms, macs = _sum(counted, "ms"), _sum(counted, "macs")
    types = dict.fromkeys(str(row.get("precision") or "float32") for row in counted)
    floats = all("float" in kind for kind in types)
    parts = []
    if ms and macs:
        unit = "GFLOP/s" if floats else "Gop/s"
        parts.append(f"{2 * macs / ms / 1e6:.3g} {unit} in {' and '.join(types)}")
    if _sum(rows, "ms"):
        parts.append(f"{_sum(rows, 'bytes') / _sum(rows, 'ms') / 1e6:.3g} GB/s")
    return ", ".join(parts)


def _gap(rows: Sequence[Row]) -> str:
    limited = [row for row in rows if row["limit_ms"] is not None]
    ms, limit = _sum(limited, "ms"), _sum(limited, "limit_ms")
    if not ms or not limit:
        return ""
    by: dict[str, float] = defaultdict(float)
    for row in limited:
        by[str(row.get("limit_by", ""))] += float(row["limit_ms"])
    main = max(by, key=lambda kind: by[kind])  # what most of the limit is of
    why = f" by its {main}" if main else ""
    if BYTES_ALONE in by:  # then the true one may be far above
        others = dict.fromkeys(str(r["precision"]) for r in limited if r["limit_by"] == BYTES_ALONE)
        why = f" by bytes alone, as no peak of {' and '.join(others)} is known"
    return f"{_times(ms / limit)} times the limit of {_shown(limit)} ms{why}"


def _unlimited(rows: Sequence[Row]) -> str:
    ms = _sum([row for row in rows if row["limit_ms"] is None], "ms")
    whole = _sum(rows, "ms")
    return f"no limit is known for {ms / whole:.0%} of its time" if ms else ""


def _elsewhere(rows: Sequence[Row]) -> str:
    others = [row for row in rows if row.get("ran_on", row["provider"]) != row["provider"]]
    where = ", ".join(dict.fromkeys(str(row["ran_on"]) for row in others))
    share = _sum(others, "ms") / (_sum(rows, "ms") or 1.0)
    return f"{share:.0%} of its time on {where}, not {others[0]['provider']}" if others else ""


def _shown(ms: float) -> str:
    return f"{ms:.3g}" if ms >= 1e-3 else "less than 0.001"


def _times(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def _sum(rows: Sequence[Row], key: str) -> float:
    return sum(float(row[key]) for row in rows)
