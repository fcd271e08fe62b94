"""Limits that a pipeline sets, and whether what was measured keeps them.

A limit is broken where the whole confidence interval lies beyond it, and kept where the whole of it
lies within. Between the two nobody can tell, which is no reason to stop a pipeline.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netloft.defaults import MAX_BATCH, MAX_THREADS
from netloft.errors import UsageError
from netloft.speed.engines import ENGINES
from netloft.speed.stats import PLACE, fewest_for, place_of

__all__ = [
    "BROKEN",
    "LOADING",
    "Budget",
    "Judgement",
    "Place",
    "judge_baseline",
    "judge_budgets",
    "judge_first",
    "parse_budget",
]

BROKEN, KEPT, UNSURE = "broken", "kept", "cannot tell"

_ENGINES = {engine.label: engine.name for engine in ENGINES.values()}
LOADING = ("load_ms", "memory_mb")
"""Metrics of loading a file."""

_METRICS = ("p50_ms", "p95_ms", "p99_ms", "items_per_s", *LOADING)
_WHERE = ("target", "engine", "provider", "batch", "threads")
_MOST = {"batch": MAX_BATCH, "threads": MAX_THREADS}
_COUNT = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Place:
    """What a row is of, or would have been.

    Attributes:
        target: As it was named.
        engine: What it was to run in.
        provider: Where.
        batch: Items in one run.
        threads: For one operation.
        reason: Why it did not run.
        other_batch: Whether that is because the file is for another batch alone.
    """

    target: str
    engine: str
    provider: str
    batch: int
    threads: int
    reason: str = ""
    other_batch: bool = False


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
        percent = {"p95_ms": 95, "p99_ms": 99}.get(self.metric)
        return fewest_for(percent) if percent else 0

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
        engine: The row's.
        provider: The row's.
        batch: The row's.
        threads: The row's.
        value: What was measured.
        low: Lower end of its interval.
        high: Upper end.
        status: `kept`, `broken` or `cannot tell`.
    """

    limit: str
    target: str
    engine: str
    provider: str
    batch: int
    threads: int
    value: float
    low: float
    high: float
    status: str

    def __str__(self) -> str:
        where = (
            f"{self.target} in {self.engine} on {self.provider} at batch {self.batch} with "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )
        found = f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"
        told = "cannot be told" if self.status == UNSURE else f"is {self.status}"
        return f"{where}: {self.limit} {told}, it is {found}"


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
    fits = all(
        _COUNT.fullmatch(facts[key]) and int(facts[key]) <= most
        for key, most in _MOST.items() if key in facts
    )  # fmt: skip
    if limit is None or limit <= 0 or not fits:
        raise UsageError(f"'{text}' is no budget", remedy=remedy)
    return Budget(metrics[0], limit, facts)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


Problems = list[UsageError]
"""What cannot be judged, where that is gathered; else the first is raised."""


def _refuse(error: UsageError, problems: Problems | None) -> None:
    if problems is None:
        raise error
    problems.append(error)


def judge_budgets(
    budgets: Iterable[Budget],
    rows: Sequence[Any],
    missing: Sequence[Place] = (),
    problems: Problems | None = None,
) -> list[Judgement]:
    """Judge each budget at every row that it is for.

    Args:
        budgets: The limits.
        rows: What was measured.
        missing: What was to be measured and did not run.
        problems: Gets what would be raised, and the other rows are judged all the same.

    Raises:
        UsageError: A budget is for no row, for one that cannot be judged, or for what did not run.
    """
    found = list[Judgement]()
    for budget in budgets:
        meant = [row for row in rows if _is_meant(budget, row)]
        for place in missing:
            # a file for another batch is not missed, unless it is asked for at this one
            if _is_meant(budget, place) and not (place.other_batch and budget.batch is None):
                _refuse(_not_measured(f"the budget {budget}", place), problems)
        if not meant:
            error = UsageError(
                f"the budget {budget} is for nothing that was measured",
                remedy="name a target, a provider and a batch that are in the table",
            )
            _refuse(error, problems)
        found += [one for row in meant for one in _judged(budget, row, problems)]
    return found


def _is_meant(budget: Budget, row: Any) -> bool:
    where = {key: str(getattr(row, key)) for key in budget.where}
    return all(
        value in (where[key], _ENGINES.get(where[key])) for key, value in budget.where.items()
    )


def _not_measured(limit: str, place: Place) -> UsageError:
    return UsageError(
        f"{limit} is for {place.target} in {place.engine} on {place.provider} at batch "
        f"{place.batch}, which did not run: {place.reason}",
        remedy="mend that, or leave it out of what is measured",
    )


def _judged(budget: Budget, row: Any, problems: Problems | None) -> list[Judgement]:
    interval = _interval(budget.metric, row)
    if interval is None:
        error = UsageError(
            f"{budget.metric} of {row.target} at batch {row.batch} was not measured",
            remedy="leave out --quick; load_ms and memory_mb are of files: add engine=onnxruntime, "
            "or engine=deployed",
        )
        _refuse(error, problems)
        return []
    value, low, high = interval
    at_least = budget.metric == "items_per_s"
    status = _status(-high, -low, -budget.limit) if at_least else _status(low, high, budget.limit)
    return [_judgement(str(budget), row, (value, low, high), status)]


def _judgement(limit: str, row: Any, found: tuple[float, float, float], status: str) -> Judgement:
    place = row.target, row.engine, row.provider, row.batch, row.threads
    return Judgement(limit, *place, *found, status)


def _status(low: float, high: float, limit: float) -> str:
    return BROKEN if low > limit else KEPT if high <= limit else UNSURE


def _interval(metric: str, row: Any) -> tuple[float, float, float] | None:
    """Return a metric of a row with its interval; memory of one process is as it was measured."""
    if metric == "items_per_s":
        return row.items_per_s, row.batch / row.p50_high * 1e3, row.batch / row.p50_low * 1e3
    value = getattr(row, metric)
    if value is None:
        return None
    stem = metric.removesuffix("_ms").removesuffix("_mb")
    low, high = getattr(row, f"{stem}_low"), getattr(row, f"{stem}_high")
    return value, value if low is None else low, value if high is None else high


def judge_baseline(
    rows: Sequence[Any],
    before: Sequence[Mapping[str, Any]],
    most: float,
    missing: Sequence[Place] = (),
    problems: Problems | None = None,
) -> list[Judgement]:
    """Judge each row against the one of an earlier report.

    Args:
        rows: What was measured now.
        before: Of `read_rows`.
        most: How much slower it may be: 0.05 for 5 %.
        missing: What was to be measured and did not run.
        problems: As of `judge_budgets`.

    Raises:
        UsageError: A row was not measured before, it is not clear which it is, or something did not
            run.
    """
    _require_all("the baseline", missing, problems)
    found = []
    alone = len({row.target for row in rows}) == len({row["target"] for row in before}) == 1
    for row in rows:
        same = [other for other in rows if _run(other) == _run(row)]
        try:
            old = _earlier(row, before, alone=alone, only=len(same) == 1)
        except UsageError as error:
            _refuse(error, problems)
            continue
        ends = (row.p50_ms, row.sessions), (old["p50_ms"], old["sessions"])
        place = max(PLACE, *(place_of(ms * 1e6, sessions) for ms, sessions in ends))
        low = row.p50_low / old["p50_high"] * (1 - place)
        high = row.p50_high / old["p50_low"] * (1 + place)
        limit = f"p50_ms over the baseline's <= {1 + most:g}"
        value = row.p50_ms / old["p50_ms"]
        status = _status(low, high, 1 + most)
        found.append(_judgement(limit, row, (round(value, 4), low, high), status))
    return found


def _require_all(limit: str, missing: Sequence[Place], problems: Problems | None) -> None:
    """Refuse what was to run and did not; a file for another batch alone is not missed."""
    for place in missing:
        if not place.other_batch:
            _refuse(_not_measured(limit, place), problems)


_RUN = ("engine", "provider", "batch", "threads")


def _run(row: Any) -> tuple[object, ...]:
    return tuple(getattr(row, key) for key in _RUN)


def _earlier(
    row: Any, before: Sequence[Mapping[str, Any]], *, alone: bool, only: bool
) -> Mapping[str, Any]:
    """Return the earlier row of a target.

    Args:
        row: Of it.
        before: All earlier ones.
        alone: Whether there is one target alone, then as now, whatever its name.
        only: Whether no other row is of the same engine and so on: the rows of an export's report
            name no target.
    """
    others = [other for other in before if tuple(other[key] for key in _RUN) == _run(row)]
    named = [
        other for other in others
        if alone or other["target"] == row.target or (only and not other["target"])
    ]  # fmt: skip
    if len(named) > 1:
        raise UsageError(
            f"the baseline has {len(named)} rows for {row.target} at batch {row.batch}",
            remedy="measure one target for the baseline, or name them alike",
        )
    if not named:
        raise UsageError(
            f"the baseline has no row of {row.target} in {row.engine} on {row.provider} at batch "
            f"{row.batch} with {row.threads} threads",
            remedy="measure both with the same --batches, --provider, --engine and --threads, and "
            "several targets under the same names",
        )
    return named[0]


def judge_first(
    rows: Sequence[Any],
    most: float,
    missing: Sequence[Place] = (),
    problems: Problems | None = None,
) -> list[Judgement]:
    """Judge each other target against the first one, measured in the same rounds.

    Of several engines, each target's first counts.

    Args:
        rows: What was measured.
        most: How much slower it may be: 0.05 for 5 %.
        missing: What was to be measured and did not run.
        problems: As of `judge_budgets`.

    Raises:
        UsageError: There is one target only, or something did not run.
    """
    _require_all("the limit of a regression", missing, problems)
    # the first target alone has a ratio to itself, and no verdict; it need not run at every batch
    first = {row.target for row in rows if row.ratio_to_first is not None and not row.verdict}
    others = [row for row in rows if row.target not in first and row.ratio_to_first is not None]
    engines = dict[str, str]()
    for row in others:
        engines.setdefault(row.target, row.engine)
    limit = f"time over the first target's <= {1 + most:g}"
    found = []
    for row in others:
        if row.engine == engines[row.target]:
            ratio = row.ratio_to_first, row.ratio_low, row.ratio_high
            found.append(_judgement(limit, row, ratio, _status(*ratio[1:], 1 + most)))
    if not found:
        error = UsageError(
            "there is nothing to compare the first target with",
            remedy="give two targets, by two names, that run at the same batch, or --baseline FILE",
        )
        _refuse(error, problems)
    return found
