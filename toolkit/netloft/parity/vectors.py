"""A bundle's own test vectors: what its file gives on them, whatever runs it; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError
from netloft.parity.compare import measure
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.task_level import task_row
from netloft.runtime.manifest import AGAIN
from netloft.runtime.reasons import first_line

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["Run", "check_names", "held", "replay", "runs_in"]

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Arrays, Mapping[str, Sequence[int]]], Arrays]
"""Takes inputs, and the shapes of the outputs that are wanted, by name, and gives these."""


def replay(
    folder: Path, manifest: Mapping[str, Any], runs: Mapping[str, Run]
) -> list[dict[str, Any]]:
    """Run a file on a bundle's vectors.

    Args:
        folder: The bundle.
        manifest: Its contents.
        runs: What runs a file on each provider; the file is to give the same as the bundle's model.

    Returns:
        A row for each provider and output, as in `report.json`.

    Raises:
        IntegrityError: The vectors are not those of the manifest, or the file does not run on them.
    """
    inputs, outputs, row = held(folder, manifest)
    if not inputs or not outputs:
        raise IntegrityError(f"{folder} has no test vectors", remedy=AGAIN)
    check_names(manifest, inputs, outputs)
    rows = list[dict[str, Any]]()
    for provider, run in runs.items():
        given = run(inputs, {name: array.shape for name, array in outputs.items()})
        for name, expected in outputs.items():
            if np.shape(given[name]) != expected.shape:
                raise IntegrityError(
                    f"output '{name}' has shape {list(np.shape(given[name]))}, and its test "
                    f"vector {list(expected.shape)}",
                    remedy=AGAIN,
                )
            made = row(provider, name, given[name])
            rows += [made] if made is not None else []
    if runs and not rows:
        raise IntegrityError(f"no output of {folder} can be judged", remedy=AGAIN)
    return rows


def runs_in(session: ort.InferenceSession) -> Run:
    """Return what runs a file of our own in this process."""

    def run(feeds: Arrays, outputs: Mapping[str, Sequence[int]]) -> Arrays:
        try:
            given = session.run(list(outputs), dict(feeds))
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            raise IntegrityError(
                f"the model does not run on its test vectors: {first_line(error)}", remedy=AGAIN
            ) from error
        return dict(zip(outputs, given, strict=True))

    return run


_Named = dict[str, npt.NDArray[Any]]
_Row = Callable[[str, str, npt.NDArray[Any]], dict[str, Any] | None]
"""What ran the file, an output and its values to the row; None where it is not judged."""


def held(folder: Path, manifest: Mapping[str, Any]) -> tuple[_Named, _Named, _Row]:
    """Return the inputs and outputs of a bundle's vectors, and what holds others against them."""
    vectors = folder / "test_data_set_0"
    inputs, outputs = read_vectors(vectors, "input"), read_vectors(vectors, "output")
    judge = task_row if manifest.get("precision") == "int8" else _row

    def row(by: str, name: str, actual: npt.NDArray[Any]) -> dict[str, Any] | None:
        return judge(by, name, actual, outputs[name], float(manifest["tolerances"][name]))

    return inputs, outputs, row


def check_names(manifest: Mapping[str, Any], inputs: Arrays, outputs: Arrays) -> None:
    """See that vectors and tolerances are of the inputs and outputs in the manifest.

    Raises:
        IntegrityError: One is missing, or is of something else.
    """
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
            raise IntegrityError(f"the {what} for '{name}' {problem}", remedy=AGAIN)


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
