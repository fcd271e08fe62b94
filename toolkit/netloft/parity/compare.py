"""One output of one run held against its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Comparison", "Difference", "measure", "scaled_error"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from another.

    Attributes:
        max_abs: Largest absolute difference.
        max_rel: Largest relative difference, over elements whose reference is not 0.
        scaled: `max_abs` over the largest magnitude of the reference.
        index: Where the largest absolute difference is.
        actual: The value there.
        expected: The reference's value there.
    """

    max_abs: float
    max_rel: float
    scaled: float
    index: tuple[int, ...]
    actual: float
    expected: float


@dataclass(frozen=True)
class Comparison:
    """A parity row of the report; scaled errors are dimensionless.

    Attributes:
        provider: What ran the file.
        batch: Items in the batch.
        input: Kind of input.
        output: Name of the output; `… before softmax` for the value before a saturating head.
        max_abs: Largest absolute error against the float64 module.
        max_rel: Largest relative error against it.
        max_abs_float32: Largest absolute difference to the float32 module.
        scaled_error: `max_abs` over the largest magnitude of the reference.
        noise_floor: PyTorch's own scaled error in float32.
        ratio: `scaled_error` over `noise_floor`.
        tolerance: Largest scaled error that passes.
        worst_index: Where the largest error is.
        worst_actual: The file's value there.
        worst_expected: The reference's value there.
        status: `pass`, `fail`, or `undecided` where PyTorch's own error is too large to judge.
    """

    provider: str
    batch: int
    input: str
    output: str
    max_abs: float
    max_rel: float
    max_abs_float32: float
    scaled_error: float
    noise_floor: float
    ratio: float
    tolerance: float
    worst_index: tuple[int, ...]
    worst_actual: float
    worst_expected: float
    status: str


def measure(actual: Array, expected: Array, *, nonfinite_like: Array | None = None) -> Difference:
    """Measure how far `actual` is from `expected`.

    Args:
        actual: Any real or boolean tensor.
        expected: The reference, of the same shape.
        nonfinite_like: Where this float32 result is NaN or infinite, `actual` has to be so alike,
            and the element is left out; float64 overflows later than float32. It may be as float64
            has it, too, where that is not finite: some processors' GELU makes NaN of infinity.

    Returns:
        The difference; infinite where shapes, NaN or infinities disagree.
    """
    if actual.shape != expected.shape:
        return Difference(np.inf, np.inf, np.inf, (), np.nan, np.nan)
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    like = e if nonfinite_like is None else nonfinite_like.astype(np.float64)
    skip = ~np.isfinite(like)
    with np.errstate(invalid="ignore"):
        error = np.where(skip, 0.0, np.abs(a - e))
    error = np.where(np.isnan(error), np.inf, error)
    if skip.any():
        alike = _same(a, like) | (_same(a, e) & ~np.isfinite(e))
        error = np.where(skip & ~alike, np.inf, error)
    if not error.size:
        return Difference(0.0, 0.0, 0.0, (), 0.0, 0.0)
    index = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
    scale = float(np.abs(e[~skip & np.isfinite(e)]).max(initial=0.0))
    worst = float(error[index])
    known = ~skip & np.isfinite(e) & (e != 0)
    with np.errstate(over="ignore", invalid="ignore"):
        relative = (error[known] / np.abs(e[known])).max(initial=0.0)
    # a reference that is 0 everywhere has no scale: its error counts as it is
    scaled = worst / scale if scale else worst
    return Difference(worst, float(relative), scaled, index, float(a[index]), float(e[index]))


def scaled_error(actual: Array, expected: Array, *, nonfinite_like: Array) -> float:
    """Return `measure(…).scaled` alone, which takes a fifth of the time.

    Args:
        actual: Any real tensor.
        expected: The reference, of the same shape, in float64.
        nonfinite_like: As for `measure`.
    """
    if actual.shape == expected.shape and actual.size:
        with np.errstate(invalid="ignore", over="ignore"):
            # of no axes NumPy makes a plain number
            error = np.asarray(np.subtract(actual, expected, dtype=np.float64))
            worst = float(np.abs(error, out=error).max())
        scale = max(float(expected.max()), -float(expected.min()))
        whole = np.isfinite(worst) and bool(np.isfinite(nonfinite_like).all())
        if whole and scale:  # NaN and infinities are in neither
            return worst / scale
    return measure(actual, expected, nonfinite_like=nonfinite_like).scaled


def _same(a: Array, b: Array) -> Array:
    same: Array = (a == b) | (np.isnan(a) & np.isnan(b))
    return same
