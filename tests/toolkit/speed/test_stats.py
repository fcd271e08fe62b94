"""Statistics on synthetic samples: no test here depends on how fast this machine is."""

from __future__ import annotations

import numpy as np
import pytest

from netloft.speed.stats import (
    median,
    median_interval,
    paired_ratio,
    percentile,
    tail_interval,
    verdict,
)


def latencies(median_ms: float, rounds: int, seed: int) -> list[float]:
    """Skewed, as latencies are: a twentieth of jitter, and one round in twenty held up."""
    generator = np.random.default_rng(seed)
    times = median_ms * np.exp(generator.normal(0, 0.05, rounds))
    times[generator.random(rounds) < 0.05] *= 3
    return [float(t) for t in times]


def drifting(median_ms: float, rounds: int, seed: int) -> list[float]:
    """Jitter whose neighbours are alike, as on a processor that heats up and cools down."""
    generator = np.random.default_rng(seed)
    level, logs = 0.0, []
    for step in generator.normal(0, 0.02, rounds):
        level = 0.4 * level + step
        logs.append(level)
    return [float(t) for t in median_ms * np.exp(logs)]


def test_median_and_linear_percentile() -> None:
    assert median([3, 1, 2]) == 2
    assert percentile(range(201), 95) == pytest.approx(190)


@pytest.mark.parametrize(("percent", "enough"), [(95, 104), (99, 528), (50, 8)])
def test_a_percentile_needs_samples_beyond_it(percent: float, enough: int) -> None:
    assert percentile(range(enough), percent) is not None
    assert percentile(range(enough - 1), percent) is None
    assert (percent / 100) ** enough <= 0.005 < (percent / 100) ** (enough - 1)


@pytest.mark.parametrize("samples", [latencies, drifting])
def test_a_against_a_straddles_one(samples: object) -> None:
    assert callable(samples)
    told = []
    for seed in range(100):
        found = paired_ratio(samples(10, 60, seed), samples(10, 60, seed + 1000))
        told.append(verdict(found.low, found.high))
    assert told.count("cannot tell") >= 96


@pytest.mark.parametrize(("factor", "said"), [(1.2, "slower"), (0.8, "faster")])
def test_a_fifth_is_found_with_twenty_samples(factor: float, said: str) -> None:
    for seed in range(20):
        samples, baseline = latencies(10 * factor, 20, seed), latencies(10, 20, seed + 1000)
        found = paired_ratio(samples, baseline)
        assert verdict(found.low, found.high) == said
        assert found.low <= found.value <= found.high


def test_a_twentieth_is_found_with_two_hundred() -> None:
    told = []
    for seed in range(40):
        found = paired_ratio(latencies(10.5, 200, seed), latencies(10, 200, seed + 1000))
        told.append(verdict(found.low, found.high))
    assert told.count("slower") >= 38


def test_what_slows_whole_rounds_is_on_both_sides() -> None:
    drift = np.linspace(1, 3, 30)
    jitter = np.random.default_rng(0).normal(1, 0.01, (2, 30))
    paired = paired_ratio(list(11 * drift * jitter[0]), list(10 * drift * jitter[1]))
    assert 1.05 < paired.low < paired.high < 1.15


@pytest.mark.parametrize(("percent", "n"), [(95, 104), (95, 400), (99, 528), (99, 900)])
def test_the_interval_of_a_tail_holds_the_truth(percent: float, n: int) -> None:
    truth = float(np.percentile(latencies(10, 400_000, 9), percent))
    below = above = 0
    for seed in range(300):
        found = tail_interval(latencies(10, n, seed), percent)
        assert found is not None
        assert found.low <= found.value <= found.high
        below, above = below + (found.high < truth), above + (found.low > truth)
    assert below <= 6
    assert above <= 6
    assert tail_interval(latencies(10, 103, 0), percent) is None


def test_the_interval_of_a_median_holds_the_truth() -> None:
    held = 0
    for seed in range(100):
        found = median_interval(latencies(10, 60, seed))
        assert found.low <= found.value <= found.high
        held += bool(found.low <= 10.03 <= found.high)
    assert held >= 96


def test_the_interval_of_a_median_is_above_zero() -> None:
    for samples in ([100, 40, 110, 45, 105], [40, 41, 42, 100, 101, 99, 98, 97]):
        found = median_interval(samples)
        assert 0 < found.low <= found.value <= found.high


def test_how_far_lives_lie_apart_is_the_interval() -> None:
    """Each of sixteen sessions is 2 % off for where it lies; one told alone would be wrong."""
    told, alone = [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        places = np.repeat(np.exp(generator.normal(0, 0.02, 16)), 60)
        samples = list(places * np.exp(generator.normal(0, 0.003, 960)))
        found = paired_ratio(samples, [1.0] * 960, lives=[60] * 16, place=0)
        told.append(verdict(found.low, found.high))
        one = paired_ratio(samples[:60], [1.0] * 60)
        alone.append(verdict(one.low, one.high))
        slower = paired_ratio([1.05 * s for s in samples], [1.0] * 960, lives=[60] * 16, place=0)
        assert verdict(slower.low, slower.high) == "slower"
    assert told.count("cannot tell") >= 38
    assert alone.count("cannot tell") <= 30


def test_lives_of_other_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="lives of 8 rounds are not those of 9 samples"):
        paired_ratio([1.0] * 9, [1.0] * 9, lives=[4, 4])


def test_a_tail_may_be_that_of_one_life() -> None:
    """An eighth of the sessions is slower by a fifth: the 95th percentile may be of it or not."""
    generator = np.random.default_rng(0)
    times = np.exp(generator.normal(0, 0.01, 16 * 60))
    times[:120] *= 1.2
    found = tail_interval(list(times), 95, lives=[60] * 16)
    alone = tail_interval(list(times), 95)
    assert found is not None
    assert alone is not None
    assert found.value == alone.value
    assert found.low < 1.05 < 1.15 < found.high
    assert alone.low > 1.15


def test_lives_may_have_different_numbers_of_rounds() -> None:
    samples, lives = [2.0, 2, 2, 2, 2, 4, 4, 8, 8, 8], [5, 2, 3]
    found = paired_ratio(samples, [1.0] * 10, lives=lives)
    assert found.value == pytest.approx(4)  # the mean of their medians' logarithms
    middle = median_interval(samples, lives=lives)
    assert middle.value == 3
    assert middle.low < 2.1
    assert middle.high > 8


def test_the_same_samples_give_the_same_interval() -> None:
    a, b = latencies(10, 20, 1), latencies(11, 20, 2)
    assert paired_ratio(a, b) == paired_ratio(a, b)
    assert median_interval(a) == median_interval(a)


def test_samples_of_different_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="3 samples against 2"):
        paired_ratio([1, 2, 3], [1, 2])
