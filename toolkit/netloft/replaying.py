"""A bundle run on its own test vectors, and planted faults shown to them; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError
from netloft.parity.compare import measure
from netloft.parity.faults.mutate import Mutation
from netloft.parity.faults.mutate import mutate as planted
from netloft.parity.faults.replay import vectors_check, vectors_run
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.task_level import task_row
from netloft.runtime.providers import start_session
from netloft.runtime.reasons import first_line

__all__ = ["planted_alone", "replay"]

Arrays = Mapping[str, npt.NDArray[Any]]
_AGAIN = "export the model again, or fetch the bundle again"


def replay(
    folder: Path, manifest: Mapping[str, Any], providers: Sequence[str], threads: int | None
) -> list[dict[str, Any]]:
    """Run a bundle on its test vectors.

    Args:
        folder: The bundle.
        manifest: Its manifest, with the tolerances.
        providers: That start here.
        threads: For one operation; None for the machine's cores.

    Returns:
        One row for each provider and output; keys as in `report.json`.

    Raises:
        IntegrityError: The vectors are not those of the manifest, or the model does not run on
            them.
    """
    vectors = folder / "test_data_set_0"
    inputs, outputs = read_vectors(vectors, "input"), read_vectors(vectors, "output")
    if not inputs or not outputs:
        raise IntegrityError(f"{folder} has no test vectors", remedy=_AGAIN)
    _check_names(manifest, inputs, outputs)
    rows = list[dict[str, Any]]()
    for provider in providers:
        session = start_session(folder / "model.onnx", provider, threads=threads)
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
            tolerance = float(manifest["tolerances"][name])
            made = _judge_of(manifest)(provider, name, actual, expected, tolerance)
            rows += [made] if made is not None else []
    return rows


def _judge_of(manifest: Mapping[str, Any]) -> Callable[..., dict[str, Any] | None]:
    """Return what judges an output on test vectors: None for one that is not judged."""
    return task_row if manifest.get("precision") == "int8" else _row


def planted_alone(
    folder: Path, manifest: Mapping[str, Any], provider: str, threads: int | None, **how: Any
) -> Mutation:
    """Plant faults in copies of a bundle's model, and see what its test vectors find.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        provider: What is to run the copies.
        threads: For one operation; None for the machine's cores.
        how: More for `netloft.parity.faults.mutate.mutate`.
    """
    vectors = folder / "test_data_set_0"
    inputs, outputs = read_vectors(vectors, "input"), read_vectors(vectors, "output")
    run = vectors_run(inputs, list(outputs), folder, provider, threads)
    row = _judge_of(manifest)
    check = vectors_check(
        lambda name, actual: row(
            provider, name, actual, outputs[name], float(manifest["tolerances"][name])
        )
    )
    return planted(folder / "model.onnx", {"test vectors": check}, run, **how)


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
