"""Inputs whose results are known, to hold whatever runs a file against; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import IntegrityError
from netloft.parity.vectors import held
from netloft.runtime.providers import start_session
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import MODEL

__all__ = ["Arrays", "Known", "Run", "known_alone", "known_vectors"]

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Known:
    """A file with inputs, and what it should give on them.

    Attributes:
        path: The file.
        feeds: Its inputs, once for each run.
        usual: For each run, whether the network is made for such inputs.
        outputs: Names of the outputs that are compared.
        extra: Values that are compared besides: name in the file by name in the rows.
        is_batch_open: The file takes any number of items.
        start: Takes a provider and more for `start_session`, and returns what runs the file.
        rows: Takes the number of a run, what ran it and what that gave, and returns the rows of
            the certificate.
    """

    path: Path
    feeds: Sequence[Arrays]
    usual: Sequence[bool]
    outputs: Sequence[str]
    extra: Mapping[str, str]
    is_batch_open: bool
    start: Callable[..., Run]
    rows: Callable[[int, str, Arrays], list[dict[str, Any]]]

    def batch(self, index: int) -> int | None:
        """Return how many items the inputs of a run have; None where they differ or have none."""
        lengths = {array.shape[0] if array.ndim else None for array in self.feeds[index].values()}
        return lengths.pop() if len(lengths) == 1 else None


def known_alone(folder: Path, manifest: Mapping[str, Any]) -> Known:
    """Return what a bundle's vectors say, to hold whatever runs the file against.

    Args:
        folder: The bundle, whose vectors are those of the manifest.
        manifest: Its contents.
    """
    inputs, outputs, row = held(folder, manifest)
    is_open = manifest.get("batch") == "dynamic"
    return known_vectors(folder / MODEL, inputs, list(outputs), row, is_batch_open=is_open)


def known_vectors(
    path: Path,
    inputs: Arrays,
    outputs: Sequence[str],
    row: Callable[[str, str, npt.NDArray[Any]], Mapping[str, Any] | None],
    *,
    is_batch_open: bool,
) -> Known:
    """Return what a bundle's test vectors say.

    Args:
        path: The file.
        inputs: Of the vectors.
        outputs: Names of those that have a vector.
        row: Takes what ran the file, the name of an output and its values, and returns the row of
            the comparison; None where it is not compared.
        is_batch_open: The file takes any number of items.
    """

    def start(provider: str, **session: Any) -> Run:
        started = start_session(path, provider, **session)

        def run(feeds: Arrays) -> Arrays:
            try:
                given = started.run(list(outputs), dict(feeds))
            except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
                raise IntegrityError(f"it does not run: {first_line(error)}") from error
            return dict(zip(outputs, map(np.asarray, given), strict=True))

        return run

    def rows(_: int, by: str, given: Arrays) -> list[dict[str, Any]]:
        made = (row(by, name, given[name]) for name in outputs)
        return [dict(each) for each in made if each is not None]

    return Known(path, [inputs], [True], outputs, {}, is_batch_open, start, rows)
