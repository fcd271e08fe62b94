"""A bundle's own test vectors, as a check that planted faults are shown to; needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.errors import IntegrityError, UsageError, first_line
from netloft.parity.faults.mutant import Arrays, Mutant, Run
from netloft.parity.faults.mutate import Check, Mutation, mutate
from netloft.parity.vectors import held
from netloft.runtime.capture import captured_output
from netloft.runtime.providers import start_session
from netloft.runtime.tuning import MODEL

__all__ = ["planted_alone", "vectors_check", "vectors_run"]


def planted_alone(
    folder: Path, manifest: Mapping[str, Any], provider: str, threads: int | None, **how: Any
) -> Mutation:
    """Plant faults in copies of a bundle's file, and see which its vectors find.

    Args:
        folder: The bundle, whose vectors are those of the manifest.
        manifest: Its contents.
        provider: What is to run the copies.
        threads: For one operation; None for the runtime's own choice.
        how: More for `netloft.parity.faults.mutate.mutate`.
    """
    inputs, outputs, row = held(folder, manifest)
    run = vectors_run(inputs, list(outputs), folder, provider, threads)
    check = vectors_check(functools.partial(row, provider))
    return mutate(folder / MODEL, {"test vectors": check}, run, **how)


def vectors_run(
    inputs: Arrays, names: list[str], folder: Path, provider: str, threads: int | None
) -> Run:
    """Return what runs a changed file of a folder on test vectors."""

    def run(model: onnx.ModelProto) -> Iterator[Arrays]:
        data = model.SerializeToString()
        session = start_session(data, provider, threads=threads, weights_in=folder)
        try:
            with captured_output():  # ONNX Runtime also prints why it fails
                given = session.run(names, inputs)
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            raise IntegrityError(f"it does not run: {first_line(error)}") from error
        yield dict(zip(names, map(np.asarray, given), strict=True))

    return run


def vectors_check(
    judged: Callable[[str, npt.NDArray[Any]], Mapping[str, Any] | None],
) -> Check:
    """Return the verdict on test vectors.

    Args:
        judged: Name of an output and what a file gave to the row of the comparison; None where it
            is not compared.
    """

    def check(mutant: Mutant) -> str | None:
        try:
            given = [each for results in mutant.results() for each in results.items()]
        except (UsageError, IntegrityError) as error:  # that it cannot be run is what is found
            return first_line(error)
        rows = [judged(name, actual) for name, actual in given]
        failed = [row for row in rows if row is not None and row["status"] != "pass"]
        if not failed:
            return None
        worst = max(failed, key=lambda row: float(row["ratio"]))
        return f"{worst['output']}: {worst['ratio']:.3g}× PyTorch's own error"

    return check
