"""Medians, percentiles, and how sure they and their ratios are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "NORMAL",
    "Interval",
    "interval",
    "median",
    "paired_ratio",
    "percentile",
    "verdict",
]

RESAMPLES = 2000
CONFIDENCE = 0.99
"""Of every interval: a table has many rows, and one wrong verdict in twenty would be in each."""

NORMAL = 2.5758293035489
"""The normal distribution's quantile for that: 99 % lie within so many standard deviations."""

PLACE = 0.01
"""By how much two sessions of one file may differ, for where their weights lie in memory: more
rounds do not bring it down (Mytkowycz and others, 2009)."""

BEYOND = 3
"""Samples that have to lie beyond a percentile, or it is told of too few."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A number and its confidence interval.

    Attributes:
        value: Of the samples.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(samples))


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """Return a percentile, linear between the two nearest samples; None from too few samples.

    Of the samples, `BEYOND` have to lie above it: 60 for the 95th, 300 for the 99th.
    """
    if round(len(samples) * (100 - percent), 6) < BEYOND * 100:
        return None
    return float(np.percentile(samples, percent, method="linear"))


def interval(samples: Sequence[float], percent: float, *, seed: int = 0) -> Interval:
    """Return a percentile with a bootstrap interval.

    Args:
        samples: In the order in which they were taken.
        percent: 50 for the median.
        seed: Of the draws; the same samples give the same interval.
    """
    given = np.asarray(samples, float)
    low, high = _ends(given, lambda drawn: np.percentile(drawn, percent, axis=1), seed)
    return Interval(float(np.percentile(given, percent)), low, high)


def paired_ratio(samples: Sequence[float], baseline: Sequence[float], *, seed: int = 0) -> Interval:
    """Return the median over the rounds of sample over baseline, with a bootstrap interval.

    What slows the machine down for a while is on both sides of a round's ratio, so that it moves
    neither the median nor the interval, as it would if two medians were divided. The interval is
    wider by `PLACE` on both sides.

    Args:
        samples: One time for each round, in order.
        baseline: The baseline's times in the same rounds.
        seed: Of the draws; the same samples give the same interval.

    Raises:
        ValueError: The lists are empty, or not of the same rounds.
    """
    if len(samples) != len(baseline) or not samples:
        raise ValueError(f"{len(samples)} samples against {len(baseline)} are not of one run")
    logs: Floats = np.log(np.asarray(samples, float) / np.asarray(baseline, float))
    low, high = _ends(logs, lambda drawn: np.median(drawn, axis=1), seed)
    return Interval(
        math.exp(np.median(logs)), math.exp(low) * (1 - PLACE), math.exp(high) * (1 + PLACE)
    )


def _ends(samples: Floats, statistic: Callable[[Floats], Floats], seed: int) -> tuple[float, float]:
    """Return both ends of a statistic's interval, by a circular block bootstrap.

    Neighbouring rounds are alike: a processor that is hot stays so for a while. Blocks of
    neighbours are drawn, whose length grows as n^(1/3) (Politis and Romano, 1992); single samples
    would give an interval that is too narrow. Few blocks give one as well: its ends are moved out
    as Student's distribution says for their number.
    """
    n = len(samples)
    length = max(1, round(1.5 * n ** (1 / 3)))
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, n, (RESAMPLES, -(-n // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n] % n
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(statistic(samples[places]), [tail, 100 - tail])
    value = float(statistic(samples[None, :])[0])
    wider = _student(max(2.0, n / length - 1)) / NORMAL
    return value + wider * (float(low) - value), value + wider * (float(high) - value)


def _student(degrees: float) -> float:
    """Return Student's quantile beside NORMAL (Abramowitz and Stegun, 26.7.5)."""
    z = NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))


def verdict(low: float, high: float) -> str:
    """Return `faster`, `slower`, or `cannot tell` where the interval holds 1."""
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "cannot tell"
