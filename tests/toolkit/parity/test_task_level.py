"""When an int8 file is good enough, and what such a check cannot say."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from netloft.errors import UsageError
from netloft.parity.task_check import task_batches
from netloft.parity.task_level import (
    LAYER_NOISE,
    Criteria,
    TaskComparison,
    agreement,
    compare,
    is_classifier,
    rms_error,
    sqnr_db,
    task_row,
)

Array = npt.NDArray[np.float32]


def scores(n: int = 256, classes: int = 10, gap: float = 5.0) -> Array:
    """Return outputs of a network with clear winners, and how clear they are."""
    random = np.random.default_rng(0)
    made = random.standard_normal((n, classes))
    made[np.arange(n), random.integers(classes, size=n)] += gap
    return made.astype(np.float32)


def noisy(reference: Array, db: float) -> Array:
    random = np.random.default_rng(1)
    size = np.sqrt(np.mean(reference**2)) * 10 ** (-db / 20)
    return (reference + size * random.standard_normal(reference.shape)).astype(np.float32)


def judged(actual: Array, reference: Array, criteria: Criteria = Criteria()) -> TaskComparison:  # noqa: B008
    return compare(actual, reference, criteria, provider="cpu", batch=8, input="x", output="y")


@pytest.mark.parametrize(
    ("db", "status"), [(40, "pass"), (20.5, "pass"), (19.5, "fail"), (10, "fail"), (0, "fail")]
)
def test_signal_to_noise_decides(db: float, status: str) -> None:
    reference = scores(classes=100, gap=30)
    row = judged(noisy(reference, db), reference)
    assert row.status == status
    assert row.sqnr_db == pytest.approx(db, abs=0.1)
    assert row.tolerance == pytest.approx(0.1)
    assert row.ratio == pytest.approx(row.rms_error / LAYER_NOISE)
    assert (row.rms_error <= row.tolerance) == (status == "pass")


def test_a_wrong_class_fails_where_the_winners_are_clear() -> None:
    reference = scores(gap=30)
    wrong = reference.copy()
    wrong[:4, :] = np.sort(reference[:4], axis=1)  # the same numbers, 4 of 256 in other places
    row = judged(wrong, reference, Criteria(min_agreement=0.99))
    assert row.agreement is not None
    assert row.agreement < 0.99
    assert row.status == "fail"
    assert judged(reference, reference).min_agreement == 0.99


def test_the_agreement_that_is_needed_follows_the_outputs() -> None:
    clear, close = scores(gap=30), scores(gap=0)
    needs = [Criteria().agreement_for(outputs) for outputs in (clear, close)]
    assert needs[0] == 0.99
    assert 0.5 < needs[1] < 0.95  # near ties: white noise of 20 dB flips them
    assert Criteria().agreement_for(close) == needs[1]  # the same each time
    assert Criteria(min_agreement=0.7).agreement_for(clear) == 0.7


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (scores(gap=30), ()),
        (np.tile(scores(1, gap=30), (256, 1)), ("sqnr", "agreement")),  # a constant output
        (100 + scores(gap=1), ("sqnr", "agreement")),  # noise of a tenth would drown it
        (np.abs(scores(gap=0)) * ([5.0] + [0.1] * 9) + [9, *[0] * 9], ("agreement",)),
    ],
    ids=["clear", "constant", "nearly constant", "one class"],
)
def test_a_check_that_could_not_have_failed_is_told(
    reference: Array, told: tuple[str, ...]
) -> None:
    assert judged(reference, reference).vacuous == told


def test_few_inputs_say_nothing_of_a_share() -> None:
    reference = scores(8)
    row = judged(reference, reference)
    assert (row.agreement, row.min_agreement) == (1.0, None)


def test_nan_is_no_result() -> None:
    reference = scores()
    broken = reference.copy()
    broken[0, 0] = np.nan
    assert judged(broken, reference).status == "fail"


def test_measures() -> None:
    one = np.ones((4, 2), np.float32)
    assert rms_error(one * 1.1, one) == pytest.approx(0.1, rel=1e-5)
    assert sqnr_db(0.1) == pytest.approx(20)
    assert sqnr_db(0.0) == math.inf
    assert rms_error(0 * one, 0 * one) == 0
    assert rms_error(one, 0 * one) == math.inf
    assert agreement(scores(), scores()) == 1
    assert is_classifier(scores())
    assert not is_classifier(one.reshape(2, 2, 2))
    assert not is_classifier(one.astype(np.int64))


def test_one_layers_noise_is_34_db() -> None:
    assert sqnr_db(LAYER_NOISE) == pytest.approx(33.8, abs=0.1)
    values = np.random.default_rng(0).standard_normal(100_000)
    values = values[np.abs(values) < 4]
    for steps in (255, 126):
        step = 8 / steps
        rounded = np.round(values / step) * step
        assert rms_error(rounded, values) == pytest.approx(step / math.sqrt(12), rel=0.02)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"min_sqnr_db": 19.0}, "19 dB of signal to noise cannot be judged by"),
        ({"min_sqnr_db": float("inf")}, "inf dB of signal to noise cannot be judged by"),
        ({"min_agreement": 1.5}, "an agreement of 1.5 is no share"),
    ],
)
def test_criteria_that_say_nothing_are_refused(wrong: dict[str, float], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        Criteria(**wrong)
    assert raised.value.problem == problem


def test_batches() -> None:
    assert task_batches("dynamic", 256) == {1: 16, 2: 8, 7: 4, 8: 25}
    assert task_batches(3, 256) == {3: 86}
    assert sum(size * n for size, n in task_batches("dynamic", 24).items()) >= 24


def test_the_row_of_a_bundle() -> None:
    reference = scores(2, classes=1000)
    row = task_row("cpu", "y", noisy(reference, 30), reference, 0.05)
    assert row is not None
    assert (row["status"], row["input"]) == ("pass", "test vectors")
    row = task_row("cpu", "y", noisy(reference, 22), reference, 0.05)
    assert row is not None
    assert row["status"] == "fail"
    assert task_row("cpu", "y", np.ones(2, int), np.zeros(2, int), 0.05) is None
