"""Statistics on synthetic samples: no test here depends on how fast this machine is."""

from __future__ import annotations

import numpy as np
import pytest

from netloft.speed.stats import median, percentile, ratio_of_medians, verdict


def latencies(median_ms: float, rounds: int, seed: int) -> list[float]:
    """Skewed, as latencies are: a tenth of jitter, and one round in twenty held up."""
    generator = np.random.default_rng(seed)
    times = median_ms * np.exp(generator.normal(0, 0.05, rounds))
    times[generator.random(rounds) < 0.05] *= 3
    return [float(t) for t in times]


def test_median_and_linear_percentile() -> None:
    assert median([3, 1, 2]) == 2
    assert percentile([1, 2, 3, 4, 5], 95) == pytest.approx(4.8)


def test_a_against_a_straddles_one() -> None:
    told = []
    for seed in range(40):
        found = ratio_of_medians(latencies(10, 40, seed), latencies(10, 40, seed + 1000))
        told.append(verdict(found.low, found.high))
    assert told.count("cannot tell") >= 36


@pytest.mark.parametrize(("factor", "said"), [(1.2, "slower"), (0.8, "faster")])
def test_a_fifth_is_found_with_twenty_samples(factor: float, said: str) -> None:
    for seed in range(20):
        samples, baseline = latencies(10 * factor, 20, seed), latencies(10, 20, seed + 1000)
        found = ratio_of_medians(samples, baseline)
        assert verdict(found.low, found.high) == said
        assert found.low <= found.value <= found.high


def test_what_slows_whole_rounds_is_on_both_sides() -> None:
    drift = np.linspace(1, 3, 30)
    jitter = np.random.default_rng(0).normal(1, 0.01, (2, 30))
    paired = ratio_of_medians(list(11 * drift * jitter[0]), list(10 * drift * jitter[1]))
    assert 1.05 < paired.low < paired.high < 1.15


def test_the_same_samples_give_the_same_interval() -> None:
    a, b = latencies(10, 20, 1), latencies(11, 20, 2)
    assert ratio_of_medians(a, b) == ratio_of_medians(a, b)


def test_samples_of_different_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="3 samples against 2"):
        ratio_of_medians([1, 2, 3], [1, 2])
