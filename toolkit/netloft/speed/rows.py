"""Samples as the rows of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from netloft.runtime.providers import NotRun
from netloft.speed.contestants import Contestant
from netloft.speed.measure import Samples
from netloft.speed.profile import ProfileRow
from netloft.speed.stats import Ratio, median, percentile, ratio_of_medians, verdict

__all__ = ["BenchResult", "SpeedRow", "TargetResult", "TargetRow", "speed_row", "target_row"]


@dataclass(frozen=True)
class SpeedRow:
    """Speed of one engine at one batch.

    Attributes:
        engine: `PyTorch eager`, `torch.compile` or `ONNX Runtime`.
        provider: Where it ran.
        batch: Items in one run.
        threads: For one operation.
        n: Number of samples.
        p50_ms: Median wall time of a run, in milliseconds.
        p95_ms: 95th percentile; from fewer than 20 samples it is little more than the largest.
        items_per_s: Batch over median.
        ratio_to_eager: Median over that of PyTorch eager on the same device; below 1 is faster.
            None where eager did not run.
        ratio_low: Lower end of its 95 % interval.
        ratio_high: Upper end.
        cpu_ms: Median CPU time of a run over all threads, in milliseconds.
    """

    engine: str
    provider: str
    batch: int
    threads: int
    n: int
    p50_ms: float
    p95_ms: float
    items_per_s: float
    ratio_to_eager: float | None
    ratio_low: float | None
    ratio_high: float | None
    cpu_ms: float

    @property
    def verdict(self) -> str:
        """`faster` or `slower` than eager, `cannot tell`, or empty where eager did not run."""
        if self.ratio_low is None or self.ratio_high is None:
            return ""
        return verdict(self.ratio_low, self.ratio_high)

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class BenchResult:
    """Speed of a network in several engines.

    Attributes:
        rows: By batch and device.
        not_run: What did not run, with the reason.
        environment: The machine: the fields of `Environment`.
    """

    rows: tuple[SpeedRow, ...]
    not_run: tuple[NotRun, ...]
    environment: Mapping[str, object]


@dataclass(frozen=True)
class TargetRow:
    """Speed of one of several targets; times as in `SpeedRow`.

    Attributes:
        target: As it was named.
        engine: As in `SpeedRow`.
        provider: Where it ran.
        batch: Items in one run.
        threads: For one operation.
        n: Number of samples.
        p50_ms: Median wall time of a run.
        p95_ms: 95th percentile.
        items_per_s: Batch over median.
        ratio_to_first: Median over that of the first target on the same device.
        ratio_low: Lower end of its 95 % interval.
        ratio_high: Upper end.
        cpu_ms: Median CPU time of a run.
        verdict: `faster` or `slower` than the first target, or `cannot tell`.
    """

    target: str
    engine: str
    provider: str
    batch: int
    threads: int
    n: int
    p50_ms: float
    p95_ms: float
    items_per_s: float
    ratio_to_first: float | None
    ratio_low: float | None
    ratio_high: float | None
    cpu_ms: float
    verdict: str


@dataclass(frozen=True)
class TargetResult:
    """Speed of several targets side by side.

    Attributes:
        rows: By batch and provider, targets in the order they were given.
        not_run: What did not run, with the reason.
        environment: The machine: the fields of `Environment`.
        nodes: Where the time of the files goes, if that was asked for.
    """

    rows: tuple[TargetRow, ...]
    not_run: tuple[NotRun, ...]
    environment: Mapping[str, object]
    nodes: tuple[ProfileRow, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return everything, ready for JSON."""
        return {
            "speed": [asdict(row) for row in self.rows],
            **({"nodes": [asdict(row) for row in self.nodes]} if self.nodes else {}),
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
    p50_ms = median(samples.wall_ns) / 1e6
    ratio = _ratio(samples, baseline)
    return SpeedRow(
        engine=contestant.engine,
        provider=contestant.provider,
        batch=contestant.batch,
        threads=contestant.threads,
        n=len(samples.wall_ns),
        p50_ms=round(p50_ms, 4),
        p95_ms=round(percentile(samples.wall_ns, 95) / 1e6, 4),
        items_per_s=round(contestant.batch / p50_ms * 1e3, 2),
        ratio_to_eager=round(ratio.value, 4) if ratio else None,
        ratio_low=round(ratio.low, 4) if ratio else None,
        ratio_high=round(ratio.high, 4) if ratio else None,
        cpu_ms=round(median(samples.cpu_ns) / 1e6, 4),
    )


def target_row(contestant: Contestant, samples: Samples, baseline: Samples | None) -> TargetRow:
    """Return one target's row; `baseline` holds the first target's times."""
    row = speed_row(contestant, samples, baseline)
    facts = row.to_dict()
    facts["ratio_to_first"] = facts.pop("ratio_to_eager")
    own = samples is baseline  # a target is not compared with itself
    return TargetRow(target=contestant.target, verdict="" if own else row.verdict, **facts)  # type: ignore[arg-type]


def baseline_of(
    contestants: Sequence[Contestant], samples: Sequence[Samples], engine: str
) -> Samples | None:
    """Return the samples of the first contestant of an engine; None where it did not run."""
    found = (s for c, s in zip(contestants, samples, strict=True) if c.engine == engine)
    return next(found, None)


def _ratio(samples: Samples, baseline: Samples | None) -> Ratio | None:
    return ratio_of_medians(samples.wall_ns, baseline.wall_ns) if baseline else None
