"""Medians, percentiles, and how sure a ratio is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ratio", "median", "percentile", "ratio_of_medians", "verdict"]

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians and its confidence interval.

    Attributes:
        value: Median of the samples over median of the baseline; below 1 is faster.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(samples))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return a percentile, linear between the two nearest samples."""
    return float(np.percentile(samples, percent, method="linear"))


def ratio_of_medians(
    samples: Sequence[float], baseline: Sequence[float], *, seed: int = 0
) -> Ratio:
    """Return the ratio of two medians with a bootstrap interval.

    Rounds are drawn with replacement, and a round that is drawn brings its sample of both lists, so
    what slowed down a whole round is on both sides of the ratio.

    Args:
        samples: One time for each round.
        baseline: The baseline's times in the same rounds.
        seed: Of the draws; the same samples give the same interval.

    Raises:
        ValueError: The lists are empty, or not of the same rounds.
    """
    if len(samples) != len(baseline) or not samples:
        raise ValueError(f"{len(samples)} samples against {len(baseline)} are not of one run")
    above, below = np.asarray(samples, float), np.asarray(baseline, float)
    rounds = np.random.default_rng(seed).integers(0, len(above), (RESAMPLES, len(above)))
    drawn: npt.NDArray[np.float64] = np.median(above[rounds], axis=1) / np.median(
        below[rounds], axis=1
    )
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Ratio(median(samples) / median(baseline), float(low), float(high))


def verdict(low: float, high: float) -> str:
    """Return `faster`, `slower`, or `cannot tell` where the interval holds 1."""
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "cannot tell"
