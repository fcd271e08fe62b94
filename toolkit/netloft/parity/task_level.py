"""When an int8 file is as good as its module: signal to noise, and the same first class.

Rounding to 8 bits is an error by design, thousands of times PyTorch's own, so it is not held
against a noise floor of float32 but against what the result is for.

**Signal to quantisation noise**, 10·log10(Σ reference² / Σ error²) in dB, at least 20: the error is
a tenth of the result. One layer rounds its activations to 2⁸ steps and its weights to 2⁷ or
more (see `docs/precision.md`). A bell curve cut at four deviations, rounded to 255 and 126 steps,
gains noise of a twelfth of the step's square: together 4.2e-4 of the power, 34 dB. Noise adds up,
so 20 dB is what 24 layers of unit gain leave. It is also the largest tolerance that a manifest may
hold.

**Top-1 agreement**, the share of inputs on which the file's first class is the module's, at least
what noise of the power that 20 dB allow leaves on these very outputs: the lowest of 16 noisy copies
of the reference, and at most 0.99. A trained network has clear winners and is held to 0.99; random
weights give near ties, which no fixed share can judge.

A check that a file passes which ignores its input could not have failed, and is told as such.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import UsageError
from netloft.parity.compare import Comparison, measure

__all__ = [
    "DEFAULT_CRITERIA",
    "LAYER_NOISE",
    "Criteria",
    "TaskComparison",
    "agreement",
    "compare",
    "is_classifier",
    "rms_error",
    "sqnr_db",
    "task_row",
]

Array = npt.NDArray[Any]

LAYER_NOISE = math.sqrt(((8 / 255) ** 2 + (8 / 126) ** 2) / 12)
"""Error that one layer's rounding adds, over the size of its result: 0.0204, or 34 dB."""

LEAST_SQNR_DB = 20.0
"""Of a tenth of the result, which is the largest error that a manifest may allow."""

_COPIES = 16
_ENOUGH = 16
"""Inputs from which on a share of them is judged."""


@dataclass(frozen=True)
class Criteria:
    """What an int8 file has to reach.

    Attributes:
        min_sqnr_db: Least signal to noise of each output, in dB, 20 or more.
        min_agreement: Least share of inputs with the same first class; None for what noise of
            `min_sqnr_db` leaves on the outputs at hand.
        most_agreement: No more than this is asked for where `min_agreement` is None.
    """

    min_sqnr_db: float = LEAST_SQNR_DB
    min_agreement: float | None = None
    most_agreement: float = 0.99

    def __post_init__(self) -> None:
        if not LEAST_SQNR_DB <= self.min_sqnr_db < math.inf:
            raise UsageError(
                f"{self.min_sqnr_db:g} dB of signal to noise cannot be judged by",
                remedy=f"ask for {LEAST_SQNR_DB:g} dB or more",
            )
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise UsageError(
                f"an agreement of {self.min_agreement:g} is no share",
                remedy="give a number from 0 to 1",
            )

    @property
    def tolerance(self) -> float:
        """The largest relative error that passes: root mean square, over that of the reference."""
        return float(10 ** (-self.min_sqnr_db / 20))

    def agreement_for(self, reference: Array) -> float:
        """Return the least agreement on these outputs.

        Args:
            reference: What the module gives, (inputs, classes).
        """
        if self.min_agreement is not None:
            return self.min_agreement
        random = np.random.default_rng(0)
        size = self.tolerance * math.sqrt(float(np.mean(np.square(reference))))
        noisy = (reference + size * random.standard_normal(reference.shape) for _ in range(_COPIES))
        lowest = min(agreement(copy, reference) for copy in noisy)
        return min(lowest, self.most_agreement)


DEFAULT_CRITERIA = Criteria()


@dataclass(frozen=True)
class TaskComparison(Comparison):
    """A parity row that is judged by what the result is for; see `Comparison` for the other keys.

    `max_abs` and `max_rel` are against the float32 module. `noise_floor` is `LAYER_NOISE`, and
    `ratio` and `tolerance` are of `rms_error`, not of `scaled_error`.

    Attributes:
        sqnr_db: Signal to noise, in dB.
        rms_error: Root mean square of the error over that of the reference.
        agreement: Share of inputs with the same first class; None where the output is no scores.
        min_agreement: Least one that passes.
        inputs: How many inputs were compared.
        vacuous: Checks that a file passes too which ignores its input, so that they could not have
            failed: `sqnr`, `agreement`.
    """

    sqnr_db: float
    rms_error: float
    agreement: float | None
    min_agreement: float | None
    inputs: int
    vacuous: tuple[str, ...]


def is_classifier(values: Array) -> bool:
    """Tell whether an output is scores of classes: real numbers, (batch, at least 2)."""
    return values.ndim == 2 and values.shape[1] > 1 and np.issubdtype(values.dtype, np.floating)


def agreement(actual: Array, reference: Array) -> float:
    """Return the share of rows whose largest element is in the same place."""
    return float(np.mean(np.argmax(actual, axis=1) == np.argmax(reference, axis=1)))


def rms_error(actual: Array, reference: Array) -> float:
    """Return the root mean square of the error over that of the reference; infinite for NaN."""
    wanted = reference.astype(np.float64)
    error = float(np.sum(np.square(actual.astype(np.float64) - wanted)))
    signal = float(np.sum(np.square(wanted)))
    if not math.isfinite(error):
        return math.inf
    return math.sqrt(error / signal) if signal else (math.inf if error else 0.0)


def sqnr_db(rms: float) -> float:
    """Return a relative error as signal to noise, in dB; infinite for none."""
    return -20 * math.log10(rms) if rms else math.inf


def compare(
    actual: Array, reference: Array, criteria: Criteria, *, provider: str, batch: int,
    input: str, output: str,
) -> TaskComparison:  # fmt: skip
    """Judge one output over all the inputs of one batch size.

    Args:
        actual: What the file gave, (inputs, …).
        reference: What the float32 module gave, of the same shape.
        criteria: What it has to reach.
        provider: What ran the file.
        batch: Items that it was given at a time.
        input: What they are.
        output: Name of the output.
    """
    error, rms = measure(actual, reference), rms_error(actual, reference)
    same, least = None, None
    if is_classifier(reference):
        same = agreement(actual, reference)
        least = criteria.agreement_for(reference) if len(reference) >= _ENOUGH else None
    held = rms <= criteria.tolerance and (same is None or least is None or same >= least)
    return TaskComparison(
        provider=provider,
        batch=batch,
        input=input,
        output=output,
        max_abs=error.max_abs,
        max_rel=error.max_rel,
        max_abs_float32=error.max_abs,
        scaled_error=error.scaled,
        noise_floor=LAYER_NOISE,
        ratio=rms / LAYER_NOISE,
        tolerance=criteria.tolerance,
        worst_index=error.index,
        worst_actual=error.actual,
        worst_expected=error.expected,
        status="pass" if held else "fail",
        sqnr_db=sqnr_db(rms),
        rms_error=rms,
        agreement=same,
        min_agreement=least,
        inputs=len(reference),
        vacuous=_vacuous(reference, criteria, least),
    )


def task_row(
    provider: str, name: str, actual: Array, expected: Array, tolerance: float
) -> dict[str, Any] | None:
    """Return the row of an int8 bundle's output on its test vectors.

    Args:
        provider: What ran the file.
        name: Of the output.
        actual: What the file gave.
        expected: What the module gave.
        tolerance: Largest relative error that passes.

    Returns:
        As in `report.json`; None for whole numbers, which are judged by the scores behind them.
    """
    if not np.issubdtype(expected.dtype, np.floating):
        return None
    criteria = Criteria(min_sqnr_db=max(sqnr_db(tolerance), LEAST_SQNR_DB), min_agreement=0.0)
    batch = expected.shape[0] if expected.ndim else 1
    row = compare(np.asarray(actual), expected, criteria, provider=provider, batch=batch,
                  input="test vectors", output=name)  # fmt: skip
    return asdict(row)


def _vacuous(reference: Array, criteria: Criteria, least: float | None) -> tuple[str, ...]:
    """Return the checks that the mean of the outputs would pass, whatever the input."""
    found = []
    constant = np.broadcast_to(reference.mean(axis=0, keepdims=True), reference.shape)
    if rms_error(constant, reference) <= criteria.tolerance:
        found.append("sqnr")
    if least is not None:
        first = np.bincount(np.argmax(reference, axis=1)).max() / len(reference)
        found += ["agreement"] if first >= least else []
    return tuple(found)
