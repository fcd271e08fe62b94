"""Limits that a pipeline sets, and whether what was measured keeps them.

A limit is broken where the whole confidence interval lies beyond it, and kept where the whole of it
lies within. Between the two nobody can tell, which is no reason to stop a pipeline.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from netloft.errors import InputError, UsageError

__all__ = [
    "BROKEN",
    "Budget",
    "Judgement",
    "judge_baseline",
    "judge_budgets",
    "judge_first",
    "parse_budget",
    "read_rows",
]

BROKEN, KEPT, UNSURE = "broken", "kept", "cannot tell"

_METRICS = ("p50_ms", "p95_ms", "p99_ms", "items_per_s", "load_ms", "memory_mb")
_WHERE = ("target", "engine", "provider", "batch", "threads")
_LARGEST = 1 << 28
"""Bytes of a report that are read at most."""


class Row(Protocol):
    """A row of the bench: see `TargetRow`."""

    target: str
    engine: str
    provider: str
    batch: int
    threads: int


@dataclass(frozen=True)
class Budget:
    """A limit for some rows.

    Attributes:
        metric: `items_per_s` is to be at least this, everything else at most.
        limit: In the metric's unit.
        where: What the rows have to be: `batch`, `provider`, `target` …; as text.
    """

    metric: str
    limit: float
    where: Mapping[str, str]

    @property
    def batch(self) -> int | None:
        """The batch that it is for; None for every one that is measured."""
        return int(self.where["batch"]) if "batch" in self.where else None

    @property
    def samples(self) -> int:
        """How many runs the metric needs."""
        return {"p95_ms": 60, "p99_ms": 300}.get(self.metric, 0)

    def __str__(self) -> str:
        sign = ">=" if self.metric == "items_per_s" else "<="
        where = ", ".join(f"{key} {value}" for key, value in self.where.items())
        return f"{self.metric} {sign} {self.limit:g}" + (f" at {where}" if where else "")


@dataclass(frozen=True)
class Judgement:
    """What became of a limit at one row.

    Attributes:
        limit: As it was asked for.
        target: The row's.
        provider: The row's.
        batch: The row's.
        value: What was measured.
        low: Lower end of its interval.
        high: Upper end.
        status: `kept`, `broken` or `cannot tell`.
    """

    limit: str
    target: str
    provider: str
    batch: int
    value: float
    low: float
    high: float
    status: str

    def __str__(self) -> str:
        where = f"{self.target} on {self.provider} at batch {self.batch}"
        found = f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"
        return f"{where}: {self.limit} is {self.status}, it is {found}"


def parse_budget(text: str) -> Budget:
    """Read `p95_ms=20,batch=1`.

    Raises:
        UsageError: It is no such thing.
    """
    remedy = f"write METRIC=NUMBER,batch=N; metrics are {', '.join(_METRICS)}"
    pairs = [part.strip().partition("=") for part in text.split(",")]
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    metrics = [key for key in facts if key not in _WHERE]
    if len(metrics) != 1 or metrics[0] not in _METRICS or len(facts) != len(pairs):
        raise UsageError(f"'{text}' is no budget", remedy=remedy)
    limit = _number(facts.pop(metrics[0]))
    counts = [facts[key] for key in ("batch", "threads") if key in facts]
    if limit is None or limit <= 0 or not all(c.isdecimal() and int(c) for c in counts):
        raise UsageError(f"'{text}' is no budget", remedy=remedy)
    return Budget(metrics[0], limit, facts)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def judge_budgets(budgets: Iterable[Budget], rows: Sequence[Any]) -> list[Judgement]:
    """Judge each budget at every row that it is for.

    Raises:
        UsageError: A budget is for no row, or for one that cannot be judged.
    """
    found = []
    for budget in budgets:
        meant = [row for row in rows if _is_meant(budget, row)]
        if not meant:
            raise UsageError(
                f"the budget {budget} is for nothing that was measured",
                remedy="name a target, a provider and a batch that are in the table",
            )
        found += [_judged(budget, row) for row in meant]
    return found


def _is_meant(budget: Budget, row: Row) -> bool:
    return all(str(getattr(row, key)) == value for key, value in budget.where.items())


def _judged(budget: Budget, row: Any) -> Judgement:
    interval = _interval(budget.metric, row)
    if interval is None:
        raise UsageError(
            f"{budget.metric} of {row.target} at batch {row.batch} was not measured",
            remedy="leave out --quick; a module has no load_ms and no memory_mb",
        )
    value, low, high = interval
    at_least = budget.metric == "items_per_s"
    status = _status(-high, -low, -budget.limit) if at_least else _status(low, high, budget.limit)
    return Judgement(str(budget), row.target, row.provider, row.batch, value, low, high, status)


def _status(low: float, high: float, limit: float) -> str:
    return BROKEN if low > limit else KEPT if high <= limit else UNSURE


def _interval(metric: str, row: Any) -> tuple[float, float, float] | None:
    """Return a metric of a row with its interval; what has none is as it was measured."""
    if metric == "items_per_s":
        return row.items_per_s, row.batch / row.p50_high * 1e3, row.batch / row.p50_low * 1e3
    value = getattr(row, metric)
    if value is None:
        return None
    stem = metric.removesuffix("_ms")
    return value, getattr(row, f"{stem}_low", value), getattr(row, f"{stem}_high", value)


def read_rows(path: str | os.PathLike[str], cpu: str) -> list[dict[str, Any]]:
    """Read the speed rows of an earlier report.

    Args:
        path: The JSON that `netloft bench --json` printed, or a bundle's `report.json`.
        cpu: Model of this machine's, which has to be the report's.

    Raises:
        InputError: It cannot be read, has no such rows, or is of another machine.
    """
    remedy = "name the JSON of netloft bench, or a bundle's report.json"
    try:
        if os.path.getsize(path) > _LARGEST:
            raise InputError(f"{path} is larger than {_LARGEST >> 20} MiB", remedy=remedy)
        facts = json.loads(Path(path).read_bytes())
        rows = [dict(row) for row in facts["speed"]]
        before = str(facts["environment"]["cpu"])
        for row in rows:
            if not 0 < float(row["p50_low"]) <= float(row["p50_high"]):
                raise ValueError("an interval that is none")
            row["batch"], row["threads"] = int(row["batch"]), int(row["threads"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path} holds no rows of speed: {error!r}", remedy=remedy) from error
    if before != cpu:
        raise InputError(
            f"{path} was measured on {before}, and this is {cpu}",
            remedy="measure the baseline on this kind of machine",
        )
    return rows


def judge_baseline(
    rows: Sequence[Any], before: Sequence[Mapping[str, Any]], most: float
) -> list[Judgement]:
    """Judge each row against the one of an earlier report.

    Args:
        rows: What was measured now.
        before: Of `read_rows`.
        most: How much slower it may be: 0.05 for 5 %.

    Raises:
        UsageError: No row was measured before, or it is not clear which.
    """
    found = []
    for row in rows:
        old = _earlier(row, before)
        if old is None:
            continue
        low, high = row.p50_low / old["p50_high"], row.p50_high / old["p50_low"]
        limit = f"p50_ms over the baseline's <= {1 + most:g}"
        value = row.p50_ms / old["p50_ms"]
        status = _status(low, high, 1 + most)
        place = row.target, row.provider, row.batch
        found.append(Judgement(limit, *place, round(value, 4), low, high, status))
    if not found:
        raise UsageError(
            "no row of the baseline is of an engine, provider, batch and number of threads that "
            "were measured now",
            remedy="measure both with the same --batches, --provider and --threads",
        )
    return found


def _earlier(row: Row, before: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the earlier row of a target: the one of its name, or the only one."""
    keys = ("engine", "provider", "batch", "threads")
    others = [other for other in before if all(getattr(row, k) == other.get(k) for k in keys)]
    named = [other for other in others if other.get("target") == row.target] or others
    if len(named) > 1:
        raise UsageError(
            f"the baseline has {len(named)} rows for {row.target} at batch {row.batch}",
            remedy="measure one target for the baseline, or name them alike",
        )
    return named[0] if named else None


def judge_first(rows: Sequence[Any], most: float) -> list[Judgement]:
    """Judge each target against the first one, measured in the same rounds.

    Args:
        rows: What was measured.
        most: How much slower it may be: 0.05 for 5 %.

    Raises:
        UsageError: There is one target only, or the first did not run.
    """
    limit = f"time over the first target's <= {1 + most:g}"
    found = [
        Judgement(
            limit, row.target, row.provider, row.batch, row.ratio_to_first, row.ratio_low,
            row.ratio_high, _status(row.ratio_low, row.ratio_high, 1 + most),
        )
        for row in rows
        if row.ratio_to_first is not None and row.verdict
    ]  # fmt: skip
    if not found:
        raise UsageError(
            "there is nothing to compare the first target with",
            remedy="give two targets that run at the same batch, or --baseline FILE",
        )
    return found
