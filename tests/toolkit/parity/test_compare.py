"""Measuring a difference, NaN and infinity among it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from netloft.parity.compare import measure, scaled_error
from netloft.parity.policy import DEFAULT_POLICY


def test_the_worst_element_is_named() -> None:
    expected = np.array([[1.0, -4.0], [0.5, 2.0]])
    actual = expected.copy()
    actual[1, 0] += 0.02
    found = measure(actual, expected)
    assert found.index == (1, 0)
    assert found.max_abs == pytest.approx(0.02)
    assert found.max_rel == pytest.approx(0.04)
    assert found.scaled == pytest.approx(0.005)
    assert (found.actual, found.expected) == (0.52, 0.5)


def test_another_shape_is_infinitely_wrong() -> None:
    assert measure(np.zeros((1, 3)), np.zeros((3, 1))).scaled == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_must_appear_alike(bad: float) -> None:
    single = np.array([1.0, bad], dtype=np.float32)
    wide = np.array([1.0, 2.0])
    assert measure(single, wide, nonfinite_like=single).scaled == 0
    tame = np.array([1.0, 2.0], dtype=np.float32)
    assert measure(tame, wide, nonfinite_like=single).scaled == np.inf
    assert measure(single, wide, nonfinite_like=tame).scaled == np.inf


def test_what_float64_has_is_right_where_float32_is_no_number() -> None:
    single, wide = np.array([np.nan, 1.0, 2.0], np.float32), np.array([np.inf, 1.0, 2.0])
    right = np.array([np.inf, 1.0, 2.0], np.float32)
    assert measure(right, wide, nonfinite_like=single).scaled == 0
    assert measure(single, wide, nonfinite_like=single).scaled == 0
    for wrong in (-np.inf, 3.0):
        other = np.array([wrong, 1.0, 2.0], np.float32)
        assert measure(other, wide, nonfinite_like=single).scaled == np.inf
    finite = np.array([5.0, 1.0, 2.0])  # float64 overflows later: then float32 tells
    assert measure(finite.astype(np.float32), finite, nonfinite_like=single).scaled == np.inf


def test_a_reference_of_zeros_has_no_scale() -> None:
    assert measure(np.array([1e-3]), np.array([0.0])).scaled == 1e-3
    assert measure(np.array([0.0]), np.array([0.0])).scaled == 0


def test_an_empty_tensor_agrees() -> None:
    assert measure(np.zeros((0, 3)), np.zeros((0, 3))).scaled == 0


def test_integers_and_booleans_compare_exactly() -> None:
    assert measure(np.array([True, False]), np.array([True, True])).max_abs == 1
    assert measure(np.array([3, 5]), np.array([3, 5])).max_abs == 0


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)),
    st.floats(1e-6, 1e6),
)
def test_the_scaled_error_does_not_depend_on_the_unit(values: np.ndarray, unit: float) -> None:
    wrong = values + 1.0
    first = measure(wrong, values).scaled
    second = measure(wrong * unit, values * unit).scaled
    if np.abs(values).max() > 0:
        assert second == pytest.approx(first, rel=1e-6)


def test_the_floor_is_never_an_accident() -> None:
    policy = DEFAULT_POLICY
    assert policy.floor(0.0, [0.0, 3e-7, 4e-7]) == 3e-7
    assert policy.floor(5e-7, [0.0, 3e-7, 4e-7]) == 5e-7
    assert policy.floor(0.0, [0.0, 0.0]) == 2.0**-23
    assert policy.tolerance(1e-7) == pytest.approx(8e-7)


_HALF = st.floats(width=32) | st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf])


@given(st.tuples(*[hnp.arrays(np.float32, (3, 2), elements=_HALF)] * 3))
def test_the_scaled_error_alone_is_the_same(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    actual, wide, single = arrays
    expected = wide.astype(np.float64)
    whole = measure(actual, expected, nonfinite_like=single).scaled
    assert scaled_error(actual, expected, nonfinite_like=single) == whole


def test_a_value_without_axes_is_measured_the_same_way() -> None:
    single, wide = np.array(1.5, np.float32), np.array(1.0)
    assert scaled_error(single, wide, nonfinite_like=single) == 0.5
    assert measure(single, wide, nonfinite_like=single).scaled == 0.5
