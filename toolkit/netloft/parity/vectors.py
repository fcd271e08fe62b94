"""A bundle's own test vectors: what its file gives on them, whatever runs it; needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError
from netloft.parity.compare import measure
from netloft.parity.faults.mutate import Mutation, mutate
from netloft.parity.faults.replay import vectors_check, vectors_run
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.rerun.known import Known, known_vectors
from netloft.parity.task_level import task_row
from netloft.runtime.providers import start_session
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import MODEL

__all__ = ["known_alone", "planted_alone", "replay"]

Arrays = Mapping[str, npt.NDArray[Any]]
_AGAIN = "export the model again, or fetch the bundle again"


def replay(
    folder: Path,
    manifest: Mapping[str, Any],
    providers: Sequence[str],
    threads: int | None,
    model: Path | bytes | None = None,
) -> list[dict[str, Any]]:
    """Run a file on a bundle's vectors.

    Args:
        folder: The bundle.
        manifest: Its contents.
        providers: That start on this machine.
        threads: For one operation; None for the runtime's own choice.
        model: What is to give the same as the bundle's model; None for that itself.

    Returns:
        A row for each provider and output, as in `report.json`.

    Raises:
        IntegrityError: The vectors are not those of the manifest, or the file does not run on them.
    """
    inputs, outputs, row = _held(folder, manifest)
    if not inputs or not outputs:
        raise IntegrityError(f"{folder} has no test vectors", remedy=_AGAIN)
    _check_names(manifest, inputs, outputs)
    rows = list[dict[str, Any]]()
    for provider in providers:
        session = start_session(model or folder / MODEL, provider, threads=threads)
        try:
            given = session.run(list(outputs), inputs)
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            raise IntegrityError(
                f"the model does not run on its test vectors on {provider}: {first_line(error)}",
                remedy=_AGAIN,
            ) from error
        for (name, expected), actual in zip(outputs.items(), given, strict=True):
            if np.shape(actual) != expected.shape:
                raise IntegrityError(
                    f"output '{name}' has shape {list(np.shape(actual))}, and its test vector "
                    f"{list(expected.shape)}",
                    remedy=_AGAIN,
                )
            made = row(provider, name, actual)
            rows += [made] if made is not None else []
    return rows


def known_alone(folder: Path, manifest: Mapping[str, Any]) -> Known:
    """Return what a bundle's vectors say, to hold whatever runs the file against.

    Args:
        folder: The bundle, whose vectors are those of the manifest.
        manifest: Its contents.
    """
    inputs, outputs, row = _held(folder, manifest)
    is_open = manifest.get("batch") == "dynamic"
    return known_vectors(folder / MODEL, inputs, list(outputs), row, is_batch_open=is_open)


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
    inputs, outputs, row = _held(folder, manifest)
    run = vectors_run(inputs, list(outputs), folder, provider, threads)
    check = vectors_check(functools.partial(row, provider))
    return mutate(folder / MODEL, {"test vectors": check}, run, **how)


_Named = dict[str, npt.NDArray[Any]]
_Row = Callable[[str, str, npt.NDArray[Any]], dict[str, Any] | None]
"""What ran the file, an output and its values to the row; None where it is not judged."""


def _held(folder: Path, manifest: Mapping[str, Any]) -> tuple[_Named, _Named, _Row]:
    """Return the inputs and outputs of a bundle's vectors, and what holds others against them."""
    vectors = folder / "test_data_set_0"
    inputs, outputs = read_vectors(vectors, "input"), read_vectors(vectors, "output")
    judge = task_row if manifest.get("precision") == "int8" else _row

    def row(by: str, name: str, actual: npt.NDArray[Any]) -> dict[str, Any] | None:
        return judge(by, name, actual, outputs[name], float(manifest["tolerances"][name]))

    return inputs, outputs, row


def _check_names(manifest: Mapping[str, Any], inputs: Arrays, outputs: Arrays) -> None:
    """The vectors, and the tolerances, are of the inputs and outputs in the manifest."""
    for kind, found in (
        ("input", inputs),
        ("output", outputs),
        ("tolerance", manifest["tolerances"]),
    ):
        declared = manifest["inputs" if kind == "input" else "outputs"]
        names = {tensor["name"] for tensor in declared}
        for name in sorted(set(found) ^ names):
            if name in found and kind == "tolerance":
                continue  # parity looks at values inside the network too
            problem = "is of nothing in the manifest" if name in found else "is missing"
            what = kind if kind == "tolerance" else f"{kind} test vector"
            raise IntegrityError(f"the {what} for '{name}' {problem}", remedy=_AGAIN)


def _row(
    provider: str,
    name: str,
    actual: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    tolerance: float,
) -> dict[str, Any]:
    error = measure(np.asarray(actual), expected, nonfinite_like=expected)
    # the vectors are PyTorch's float32 results: their own error adds to the file's
    floor = tolerance / DEFAULT_POLICY.factor
    allowed = tolerance + floor
    return {
        "provider": provider,
        "batch": expected.shape[0] if expected.ndim else 1,
        "input": "test vectors",
        "output": name,
        "max_abs": error.max_abs,
        "max_rel": error.max_rel,
        "scaled_error": error.scaled,
        "noise_floor": floor,
        "ratio": error.scaled / floor if floor else (float("inf") if error.scaled else 0.0),
        "tolerance": allowed,
        "worst_index": list(error.index),
        "worst_actual": error.actual,
        "worst_expected": error.expected,
        "status": "pass" if error.scaled <= allowed else "fail",
    }
