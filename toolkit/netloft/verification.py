"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError, UsageError
from netloft.parity.compare import measure
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import available, start_session

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Verification", "verify"]


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        status: `pass` or `fail`.
        checks: What was checked besides parity, in order.
        parity: One row for each provider and output; keys as in `report.json`.
        not_run: What was not checked, and why.
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
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

    Raises:
        IntegrityError: A file is missing, was changed or does not belong to the bundle.
        ProviderError: A provider that was asked for does not start here.
        UsageError: The target is neither, or `against` lacks its inputs.
    """
    path = Path(target)
    running, missing = available(providers)
    not_run: list[Mapping[str, str]] = [row._asdict() for row in missing]
    checks, rows = [], list[Mapping[str, Any]]()
    model = path
    if path.is_dir():
        manifest = read_manifest(path)
        check_files(path, manifest["files"])
        checks.append(f"{len(manifest['files'])} files are what the manifest says")
        model = path / "model.onnx"
        rows += _replay(path, manifest, running, threads)
    elif not path.is_file():
        raise UsageError(f"{path} is neither a bundle nor a file", remedy="name a bundle's folder")
    _check_structure(model)
    checks.insert(1, "the model passes onnx.checker and strict shape inference")
    if against is not None:
        rows += _compare(model, against, example_inputs, running, threads)
    if not rows:
        not_run.append({"what": "parity", "reason": "a lone .onnx file has no test vectors; "
                        "give the module it came from"})  # fmt: skip
        for provider in running:
            start_session(model, provider, threads=threads)
            checks.append(f"the model loads on {provider}")
    status = "pass" if all(row["status"] == "pass" for row in rows) else "fail"
    return Verification(status, tuple(checks), tuple(rows), tuple(not_run))


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
        raise IntegrityError(f"{folder} has no test vectors", remedy="export the model again")
    rows = []
    for provider in providers:
        session = start_session(folder / "model.onnx", provider, threads=threads)
        names = list(outputs)
        actual = dict(zip(names, session.run(names, inputs), strict=True))
        rows += [
            _row(provider, name, actual[name], outputs[name], float(manifest["tolerances"][name]))
            for name in names
        ]
    return rows


def _row(
    provider: str,
    name: str,
    actual: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    tolerance: float,
) -> dict[str, Any]:
    error = measure(np.asarray(actual), expected, nonfinite_like=expected)
    # the vectors are PyTorch's float32 results: their own error adds to the file's
    allowed = tolerance * (1 + 1 / 8)
    return {
        "provider": provider,
        "batch": expected.shape[0] if expected.ndim else 1,
        "input": "test vectors",
        "output": name,
        "max_abs": error.max_abs,
        "max_rel": error.max_rel,
        "scaled_error": error.scaled,
        "noise_floor": tolerance / 8,
        "ratio": error.scaled / (tolerance / 8),
        "tolerance": allowed,
        "worst_index": list(error.index),
        "worst_actual": error.actual,
        "worst_expected": error.expected,
        "status": "pass" if error.scaled <= allowed else "fail",
    }


def _compare(
    model: Path,
    module: nn.Module,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None,
    providers: Sequence[str],
    threads: int | None,
) -> list[dict[str, Any]]:
    from netloft.parity.check import check_parity
    from netloft.parity.inputs import cases, parity_batches
    from netloft.tracing import trace
    from netloft.tracing.tracer import bind_inputs

    if example_inputs is None:
        raise UsageError(
            "a module to verify against needs example inputs",
            remedy="give example_inputs=(tensor, …), batch first",
        )
    shape = onnx.load(str(model), load_external_data=False).graph.input[0].type.tensor_type.shape
    batch = shape.dim[0].dim_value or "dynamic"
    graph = trace(module, example_inputs, batch)
    inputs = bind_inputs(module, example_inputs)
    result = check_parity(
        graph,
        module,
        model,
        cases(inputs, parity_batches(batch), 0),
        providers,
        threads=threads,
    )
    return [dataclasses.asdict(row) for row in result.rows]
