"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError, UsageError
from netloft.parity.compare import measure
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.task_level import task_row
from netloft.parity.verdict import counts
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import available, start_session
from netloft.runtime.reasons import first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.locating import Located

__all__ = ["Verification", "verify"]

Arrays = Mapping[str, npt.NDArray[Any]]
_AGAIN = "export the model again, or fetch the bundle again"


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        status: `pass` or `fail`.
        checks: What was checked besides parity, in order.
        parity: One row for each provider and output; keys as in `report.json`.
        not_run: What was not checked, and why.
        notes: What a reader has to know to trust the parity rows.
        layers: One row for each value inside the network; see `netloft.locating.LayerRow`.
        unlike: Operations that differ between module and file, found without running them.
        first_bad: The first operation that is wrong by itself, in words; empty for none.
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    unlike: tuple[Mapping[str, Any], ...] = ()
    first_bad: str = ""


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
    layers: bool = False,
) -> Verification:
    """Verify a bundle on its own test vectors, or an ONNX file against a module.

    A bundle needs no torch: its files are hashed, the model is checked, and it is run on the test
    vectors, whose outputs came from the source module.

    Args:
        target: A bundle's folder, or an `.onnx` file.
        providers: `cpu`, `cuda` …; empty for CPU, and CUDA where it starts.
        against: The source module, in eval mode, for a full parity check.
        example_inputs: Inputs of the right shapes, with `against`.
        threads: For one operation; None for the machine's cores.
        layers: With `against`, compare the values inside the network too; that is done anyway
            where an output fails.

    Raises:
        IntegrityError: A file is missing, was changed or does not belong to the bundle.
        ProviderError: A provider that was asked for does not start here.
        UsageError: The target is neither, `against` lacks its inputs, or its inputs and outputs
            are not those of the file.
    """
    path = _target(target)
    running, missing = available(providers)
    not_run: list[Mapping[str, str]] = [row._asdict() for row in missing]
    if layers and against is None:
        raise UsageError("layers are compared with a module's", remedy="give against=module")
    checks, rows, notes = [], list[Mapping[str, Any]](), tuple[str, ...]()
    model = path
    if os.path.isdir(path):
        manifest = read_manifest(path)
        _check_comparable(manifest, against)
        check_files(path, manifest["files"])
        checks.append(f"{len(manifest['files'])} files are what the manifest says")
        model = path / "model.onnx"
        rows += _replay(path, manifest, running, threads)
    _check_structure(model)
    checks.insert(1, "the model passes onnx.checker and strict shape inference")
    located = None
    if against is not None:
        from netloft.against import compare

        held = compare(model, against, example_inputs, running, threads=threads, layers=layers)
        rows += [dataclasses.asdict(row) for row in held.parity.rows]
        notes, located = held.parity.notes, held.located
        if held.not_run:
            not_run.append({"what": "layers", "reason": held.not_run})
    if not rows:
        not_run.append({"what": "parity", "reason": "a lone .onnx file has no test vectors; "
                        "give the module it came from"})  # fmt: skip
        for provider in running:
            start_session(model, provider, threads=threads)
            checks.append(f"the model loads on {provider}")
    failed = any(counts(row["status"], row["input"]) for row in rows)
    failed = failed or (located is not None and located.status == "fail")
    status = "fail" if failed else "pass"
    found = Verification(status, tuple(checks), tuple(rows), tuple(not_run), notes)
    return found if located is None else _with_layers(found, located)


def _with_layers(found: Verification, located: Located) -> Verification:
    return dataclasses.replace(
        found,
        checks=(*found.checks, f"{located.weights} weights were compared by value"),
        layers=tuple(dataclasses.asdict(row) for row in located.layers),
        unlike=tuple(dataclasses.asdict(row) for row in located.unlike),
        first_bad=located.first,
        notes=(*found.notes, *located.notes),
    )


def _target(target: str | Path) -> Path:
    path = Path(target)
    if not os.path.isdir(path) and not (os.path.isfile(path) and path.suffix == ".onnx"):
        raise UsageError(
            f"{path} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return path


def _check_comparable(manifest: Mapping[str, Any], against: nn.Module | None) -> None:
    """Refuse to hold a file of another precision against the noise of float32."""
    precision = manifest.get("precision", "fp32")
    if against is not None and precision != "fp32":
        raise UsageError(
            f"the bundle is {precision}, whose rounding is no error that float32's noise could "
            "measure",
            remedy="leave the module out: the bundle is verified on its own test vectors",
        )


def _check_structure(model: Path) -> None:
    try:
        onnx.checker.check_model(str(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise IntegrityError(f"{model.name} is not valid ONNX: {error}") from error
    except Exception as error:
        raise IntegrityError(f"{model.name} is not an ONNX file: {error}") from error


def _replay(
    folder: Path, manifest: Mapping[str, Any], providers: Sequence[str], threads: int | None
) -> list[dict[str, Any]]:
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
            row = task_row if manifest.get("precision") == "int8" else _row
            rows += filter(None, [row(provider, name, actual, expected, tolerance)])
    return rows


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
