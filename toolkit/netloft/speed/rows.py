"""Samples as the rows of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from netloft.defaults import JSON_FORMAT
from netloft.runtime.providers import NotRun
from netloft.speed.budgets import Judgement, Place
from netloft.speed.contestants import Contestant
from netloft.speed.footprint import Footprint
from netloft.speed.measure import Samples, ratio_between
from netloft.speed.profile import ProfileRow
from netloft.speed.stats import (
    median,
    median_interval,
    percentile,
    tail_interval,
    verdict,
)

__all__ = ["BenchResult", "SpeedRow", "TargetResult", "TargetRow", "speed_row", "target_row"]


@dataclass(frozen=True)
class _Row:
    """Speed of one contestant at one batch. Intervals are of 99 %.

    Attributes:
        engine: `PyTorch eager`, `torch.compile` or `ONNX Runtime`.
        provider: Where it ran.
        batch: Items in one run.
        threads: For one operation.
        n: Number of samples.
        p50_ms: Median wall time of a run, in milliseconds.
        p50_low: Lower end of its interval.
        p50_high: Upper end.
        p95_ms: 95th percentile; None from fewer than 104 samples.
        p99_ms: 99th percentile; None from fewer than 528.
        items_per_s: Batch over median.
        cpu_ms: Median CPU time of a run over all threads, in milliseconds; None where another
            process does the work.
        precision: What it computes in, read back; empty where nothing is known.
    """

    engine: str
    provider: str
    batch: int
    threads: int
    n: int
    p50_ms: float
    p50_low: float
    p50_high: float
    p95_ms: float | None
    p99_ms: float | None
    items_per_s: float
    cpu_ms: float | None
    precision: str

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SpeedRow(_Row):
    """Speed of one engine at one batch, beside PyTorch eager.

    Attributes:
        ratio_to_eager: Median over the rounds of its time over that of PyTorch eager on the same
            device; below 1 is faster. None where eager did not run.
        ratio_low: Lower end of its interval.
        ratio_high: Upper end.
        verdict: `faster` or `slower` than eager, or `cannot tell`; empty of eager itself, and where
            it did not run.
    """

    ratio_to_eager: float | None
    ratio_low: float | None
    ratio_high: float | None
    verdict: str


@dataclass(frozen=True)
class TargetRow(_Row):
    """Speed of one of several targets at one batch, beside the first.

    Attributes:
        target: As it was named.
        sessions: How many of it were started, one after the other, and measured: several where
            runs are short.
        p95_low: Lower end of the interval of `p95_ms`.
        p95_high: Upper end.
        p99_low: Lower end of the interval of `p99_ms`.
        p99_high: Upper end.
        ratio_to_first: Median over the rounds of its time over that of the first target on the same
            device, of several sessions the mean of their medians; below 1 is faster. None where
            that did not run.
        ratio_low: Lower end of its interval.
        ratio_high: Upper end.
        verdict: `faster` or `slower` than the first target, or `cannot tell`.
        load_ms: To start a session for the file in a fresh process, or to compile it in OpenVINO,
            in milliseconds; None for a module in PyTorch, and where it was not asked for.
        load_low: The shortest of the three whose median that is; of several processes the least of
            their medians.
        load_high: The longest, or the most.
        first_ms: First run in that process; of `torch.compile` the first in this one, which
            compiles.
        memory_mb: Most memory that loading and running it took there, in 10^6 bytes.
        memory_low: The least of several processes; None of one.
        memory_high: The most.
    """

    target: str
    sessions: int
    p95_low: float | None
    p95_high: float | None
    p99_low: float | None
    p99_high: float | None
    ratio_to_first: float | None
    ratio_low: float | None
    ratio_high: float | None
    verdict: str
    load_ms: float | None = None
    load_low: float | None = None
    load_high: float | None = None
    first_ms: float | None = None
    memory_mb: float | None = None
    memory_low: float | None = None
    memory_high: float | None = None


@dataclass(frozen=True)
class BenchResult:
    """Speed of a network in several engines.

    Attributes:
        rows: By batch and device.
        not_run: What did not run, with the reason.
        environment: The machine: the fields of `Environment`, and `conditions`.
    """

    rows: tuple[SpeedRow, ...]
    not_run: tuple[NotRun, ...]
    environment: Mapping[str, object]


@dataclass(frozen=True)
class TargetResult:
    """Speed of several targets side by side.

    Attributes:
        rows: By batch and provider, targets in the order they were given.
        not_run: What did not run, with the reason.
        environment: The machine: the fields of `Environment`.
        nodes: Where the time of the files goes, if that was asked for.
        budgets: What was judged against a limit.
        missing: What was to run and did not.
    """

    rows: tuple[TargetRow, ...]
    not_run: tuple[NotRun, ...]
    environment: Mapping[str, object]
    nodes: tuple[ProfileRow, ...] = ()
    budgets: tuple[Judgement, ...] = ()
    missing: tuple[Place, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return everything, ready for JSON."""
        return {
            "format": JSON_FORMAT,
            "speed": [asdict(row) for row in self.rows],
            **({"nodes": [asdict(row) for row in self.nodes]} if self.nodes else {}),
            **({"budgets": [asdict(one) for one in self.budgets]} if self.budgets else {}),
            "not_run": [entry._asdict() for entry in self.not_run],
            "environment": dict(self.environment),
        }


def speed_row(contestant: Contestant, samples: Samples, baseline: Samples | None) -> SpeedRow:
    """Return one contestant's row.

    Args:
        contestant: What ran.
        samples: Its times.
        baseline: PyTorch eager's times in the same rounds; None where it did not run.
    """
    ratio, low, high = _ratio(samples, baseline)
    return SpeedRow(
        **_times(contestant, samples),
        ratio_to_eager=ratio,
        ratio_low=low,
        ratio_high=high,
        verdict="" if samples is baseline else _verdict(low, high),
    )


def target_row(
    contestant: Contestant,
    samples: Samples,
    baseline: Samples | None,
    footprint: Footprint | None = None,
) -> TargetRow:
    """Return one target's row.

    Args:
        contestant: What ran.
        samples: Its times.
        baseline: The first target's times in the same rounds; None where it did not run.
        footprint: What loading it took; None where that was not measured.
    """
    ratio, low, high = _ratio(samples, baseline)
    ends: dict[str, Any] = {**_ends(samples, 95), **_ends(samples, 99)}
    own = samples is baseline  # a target is not compared with itself
    return TargetRow(
        **_times(contestant, samples),
        target=contestant.target,
        sessions=max(len(samples.lives), 1),
        **ends,
        ratio_to_first=ratio,
        ratio_low=low,
        ratio_high=high,
        verdict="" if own else _verdict(low, high),
        **(asdict(footprint) if footprint else {"first_ms": contestant.first_ms}),
    )


def _times(contestant: Contestant, samples: Samples) -> dict[str, Any]:
    wall = samples.wall_ns
    ticked = [max(each, 1) for each in wall]  # of a clock that stood still
    middle = median_interval(ticked, lives=samples.lives)
    tails = {percent: percentile(wall, percent) for percent in (95, 99)}
    return {
        "engine": contestant.engine,
        "provider": contestant.provider,
        "batch": contestant.batch,
        "threads": contestant.threads,
        "n": len(wall),
        "p50_ms": _ms(middle.value),
        "p50_low": _ms(middle.low),
        "p50_high": _ms(middle.high),
        **{f"p{percent}_ms": _ms(t) if t is not None else None for percent, t in tails.items()},
        "items_per_s": round(contestant.batch / middle.value * 1e9, 2),
        "cpu_ms": _ms(median(samples.cpu_ns)) if contestant.own else None,
        "precision": contestant.precision,
    }


def _ends(samples: Samples, percent: int) -> dict[str, float | None]:
    """Return the ends of a percentile's interval; None of too few samples."""
    found = tail_interval(samples.wall_ns, percent, lives=samples.lives)
    ends = (_ms(found.low), _ms(found.high)) if found else (None, None)
    return dict(zip((f"p{percent}_low", f"p{percent}_high"), ends, strict=True))


def _ratio(
    samples: Samples, baseline: Samples | None
) -> tuple[float, float, float] | tuple[None, None, None]:
    if baseline is None:
        return None, None, None
    if samples is baseline:
        return 1.0, 1.0, 1.0
    found = ratio_between(samples, baseline)
    return round(found.value, 4), round(found.low, 4), round(found.high, 4)


def _verdict(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else verdict(low, high)


def _ms(nanoseconds: float) -> float:
    return round(max(nanoseconds, 1.0) / 1e6, 6)  # to the clock's own step, and never zero
