"""Inputs on which a file's first class is another one than its module's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netloft.parity.expected import Arrays, Expected, ExpectedRun
from netloft.parity.task_level import is_classifier

__all__ = ["Flip", "flips_on", "scores_of"]


@dataclass(frozen=True, eq=False)
class Flip:
    """One such input.

    Attributes:
        output: Name of the scores.
        margin: Of the module's first class over its second, in float64, over the largest score.
        floor: The noise floor there: rounding alone exchanges classes below twice as much.
        module_class: First class of the module.
        file_class: First class of the file.
        is_ours_too: PyTorch's float32 run has another first class than float64 as well.
        origin: How the input came about.
    """

    output: str
    margin: float
    floor: float
    module_class: int
    file_class: int
    is_ours_too: bool
    origin: str


def scores_of(run: ExpectedRun) -> tuple[str, ...]:
    """Return the names of the values that are scores of classes."""
    return tuple(n for n, values in run.reference.float64.items() if is_classifier(values))


def flips_on(expected: Expected, run: ExpectedRun, given: Arrays, origin: str) -> Iterator[Flip]:
    """Give one for each item and output whose first class differs.

    Args:
        expected: Says the noise floor.
        run: What the module gives.
        given: What the file gave.
        origin: How the input came about.
    """
    for name in scores_of(run):
        wanted, single = run.reference.float64[name], run.reference.float32[name]
        classes = np.argmax(wanted, axis=1), np.argmax(given[name], axis=1)
        for item in np.flatnonzero(classes[0] != classes[1]):
            second, first = np.sort(wanted[item])[-2:]
            scale = float(np.abs(wanted[item]).max()) or 1.0
            yield Flip(
                output=name,
                margin=float(first - second) / scale,
                floor=expected.floor_on(run, name),
                module_class=int(classes[0][item]),
                file_class=int(classes[1][item]),
                is_ours_too=bool(np.argmax(single[item]) != classes[0][item]),
                origin=origin,
            )
