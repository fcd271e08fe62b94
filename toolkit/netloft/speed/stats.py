"""Medians, percentiles, and how sure they and their ratios are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "NORMAL",
    "PLACE",
    "SHORT_NS",
    "Interval",
    "fewest_for",
    "median",
    "median_interval",
    "paired_ratio",
    "percentile",
    "place_of",
    "tail_interval",
    "verdict",
]

RESAMPLES = 2000
CONFIDENCE = 0.99
"""Of every interval: a table has many rows, and one wrong verdict in twenty would be in each."""

NORMAL = 2.5758293035489
"""The normal distribution's quantile for that: 99 % lie within so many standard deviations."""

PLACE, _SHORT_PLACE = 0.01, 0.05
"""By how much two sessions of one file may differ, for where their weights lie in memory, and by
how much where a run is short: more rounds do not bring it down (Mytkowycz and others, 2009)."""

SHORT_NS = 1_000_000
"""A run that takes less is short."""

_AT_ONCE = 1 << 18
"""Samples drawn at once: more would fill the memory, and not be faster."""

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


def fewest_for(percent: float) -> int:
    """Return how many samples tell a percentile: 8 the median, 104 the 95th, 528 the 99th.

    With fewer, all of them may lie below it more often than an interval may be wrong.
    """
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(percent / 100))


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """Return a percentile, linear between the two nearest samples; None from too few samples."""
    if len(samples) < fewest_for(percent):
        return None
    return float(np.percentile(samples, percent, method="linear"))


def median_interval(
    samples: Sequence[float], *, lives: Sequence[int] = (), seed: int = 0
) -> Interval:
    """Return the median with its interval; of several lives that of the mean of their medians.

    Args:
        samples: In the order in which they were taken; all above zero.
        lives: As of `paired_ratio`.
        seed: Of the draws; the same samples give the same interval.
    """
    logs: Floats = np.log(np.asarray(samples, float))
    _, low, high = _middle(logs, seed, lives)
    value = median(samples)  # of an even number it is not quite that of the logarithms
    return Interval(value, min(math.exp(low), value), max(math.exp(high), value))


def tail_interval(
    samples: Sequence[float], percent: float, *, lives: Sequence[int] = ()
) -> Interval | None:
    """Return a high percentile with its interval; None from too few samples.

    The ends are samples: how many lie below the percentile is binomial, whatever their
    distribution is. The samples are taken as independent; of several lives, the lives are: whole
    ones are drawn with replacement.

    Args:
        samples: In the order in which they were taken.
        percent: Which.
        lives: As of `paired_ratio`.
    """
    value = percentile(samples, percent)
    if value is None:
        return None
    if len(lives) > 1:
        each = _apart(np.asarray(samples, float), lives)
        return Interval(value, *_tail_of_lives(each, percent, value))
    n, share = len(samples), percent / 100
    k = np.arange(n + 1)
    logs = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    chance = np.cumsum(np.exp(logs + k * math.log(share) + (n - k) * math.log1p(-share)))
    tail, ordered = (1 - CONFIDENCE) / 2, np.sort(np.asarray(samples, float))
    below = int(np.searchsorted(chance, tail))
    above = int(np.searchsorted(chance, 1 - tail))
    return Interval(value, float(ordered[max(below - 1, 0)]), float(ordered[min(above, n - 1)]))


def paired_ratio(
    samples: Sequence[float],
    baseline: Sequence[float],
    *,
    lives: Sequence[int] = (),
    place: float = PLACE,
    seed: int = 0,
) -> Interval:
    """Return the median over the rounds of sample over baseline, with its interval.

    What slows the machine down for a while is on both sides of a round's ratio, so that it moves
    neither the median nor the interval, as it would if two medians were divided.

    Args:
        samples: One time for each round, in order.
        baseline: The baseline's times in the same rounds.
        lives: Where it was started anew after so many rounds each: the mean of the medians of its
            lives counts then, and how far they lie apart is the interval.
        place: By how much more the interval is wider on both sides, for what more rounds do not
            bring down.
        seed: Of the draws; the same samples give the same interval.

    Raises:
        ValueError: The lists are empty, or not of the same rounds.
    """
    if len(samples) != len(baseline) or not samples:
        raise ValueError(f"{len(samples)} samples against {len(baseline)} are not of one run")
    logs: Floats = np.log(np.asarray(samples, float) / np.asarray(baseline, float))
    value, low, high = (math.exp(end) for end in _middle(logs, seed, lives))
    return Interval(value, low * (1 - place), high * (1 + place))


def place_of(nanoseconds: float, lives: int) -> float:
    """Return by how much another session may differ, for where it lies in memory alone.

    Args:
        nanoseconds: A run.
        lives: How many sessions tell of it: of several, their interval tells.
    """
    if lives > 1:
        return 0.0
    return _SHORT_PLACE if nanoseconds < SHORT_NS else PLACE


def _middle(samples: Floats, seed: int, lives: Sequence[int]) -> tuple[float, float, float]:
    """Return the middle and both ends of its interval."""
    if len(lives) < 2:
        return float(np.median(samples)), *_ends(samples, seed)
    medians = [np.median(life) for life in _apart(samples, lives)]
    n, value = len(medians), float(np.mean(medians))
    half = _student(max(3.0, n - 1)) * float(np.std(medians, ddof=1)) / math.sqrt(n)
    return value, value - half, value + half


def _apart(samples: Floats, lives: Sequence[int]) -> list[Floats]:
    """Return the samples of each life."""
    if sum(lives) != len(samples):
        raise ValueError(f"lives of {sum(lives)} rounds are not those of {len(samples)} samples")
    return np.split(samples, np.cumsum(lives)[:-1])


def _tail_of_lives(lives: Sequence[Floats], percent: float, value: float) -> tuple[float, float]:
    """Return both ends of a percentile's interval, by a bootstrap of whole lives."""
    n, generator = len(lives), np.random.default_rng(0)
    draws = generator.integers(0, n, (RESAMPLES // 2, n))
    tails = [np.percentile(np.concatenate([lives[i] for i in draw]), percent) for draw in draws]
    tail, wider = 100 * (1 - CONFIDENCE) / 2, _student(max(3.0, n - 1)) / NORMAL
    low, high = np.percentile(tails, [tail, 100 - tail])
    ends = value * (low / value) ** wider, value * (high / value) ** wider
    return min(float(ends[0]), value), max(float(ends[1]), value)


def _ends(samples: Floats, seed: int) -> tuple[float, float]:
    """Return both ends of the median's interval, by a circular block bootstrap.

    Neighbouring rounds are alike: a processor that is hot stays so for a while. Blocks of
    neighbours are drawn (Politis and Romano, 1992), of n^0.4 samples: single samples would give an
    interval that is too narrow. Few blocks give one as well: its ends are moved out as Student's
    distribution says for their number.
    """
    n = len(samples)
    length = max(1, round(n**0.4))
    generator = np.random.default_rng(seed)
    medians = list[float]()
    several = max(1, _AT_ONCE // n)
    while len(medians) < RESAMPLES:
        starts = generator.integers(0, n, (several, -(-n // length)))
        places = (starts[:, :, None] + np.arange(length)).reshape(several, -1)[:, :n] % n
        medians += np.median(samples[places], axis=1).tolist()
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(medians[:RESAMPLES], [tail, 100 - tail])
    value, wider = float(np.median(samples)), _student(max(3.0, n / length - 1)) / NORMAL
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
