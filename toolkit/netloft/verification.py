"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError, UsageError
from netloft.parity.compare import measure
from netloft.parity.faults.mutate import Mutation
from netloft.parity.faults.mutate import mutate as planted
from netloft.parity.faults.replay import vectors_check, vectors_run
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.verdict import counts
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import available, start_session
from netloft.runtime.reasons import first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.graph.graph import Graph, Value
    from netloft.parity.check import ParityResult
    from netloft.parity.expected import Expected

__all__ = ["Verification", "declared_inputs", "verify"]

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
        mutation: How many planted faults the same checks find, where that was asked for.
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()
    mutation: Mapping[str, Any] | None = None


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
    mutate: int = 0,
    progress: Callable[[str], None] = lambda _: None,
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
        mutate: Faults of each kind to plant in copies of a file that passes, to see how many the
            same checks find on the first of the providers (`docs/parity.md`).
        progress: Told which fault is being planted.

    Raises:
        IntegrityError: A file is missing, was changed or does not belong to the bundle.
        ProviderError: A provider that was asked for does not start here.
        UsageError: The target is neither, `against` lacks its inputs, or its inputs and outputs
            are not those of the file; or faults are to be planted, and there is nothing to find
            them with.
    """
    path = _target(target)
    if mutate and against is None and not os.path.isdir(path):
        raise UsageError(
            "a lone .onnx file has nothing to find a planted fault with",
            remedy="name the MODEL that it came from with --against, or verify a bundle",
        )
    running, missing = available(providers)
    not_run: list[Mapping[str, str]] = [row._asdict() for row in missing]
    checks, rows, notes = [], list[Mapping[str, Any]](), tuple[str, ...]()
    model, power = path, None
    if os.path.isdir(path):
        manifest = read_manifest(path)
        check_files(path, manifest["files"])
        checks.append(f"{len(manifest['files'])} files are what the manifest says")
        model = path / "model.onnx"
        rows += _replay(path, manifest, running, threads)
        power = functools.partial(_planted_alone, path, manifest)
    _check_structure(model)
    checks.insert(1, "the model passes onnx.checker and strict shape inference")
    if against is not None:
        compared, expected = _compare(model, against, example_inputs, running, threads)
        rows += [dataclasses.asdict(row) for row in compared.rows]
        notes = compared.notes
        power = functools.partial(_planted_against, model, expected)
    if not rows:
        not_run.append({"what": "parity", "reason": "a lone .onnx file has no test vectors; "
                        "give the module it came from"})  # fmt: skip
        for provider in running:
            start_session(model, provider, threads=threads)
            checks.append(f"the model loads on {provider}")
    status = "fail" if any(counts(row["status"], row["input"]) for row in rows) else "pass"
    mutation = None
    if mutate and status == "fail":
        reason = "the file fails as it is, so that every fault would be found"
        not_run.append({"what": "mutation", "reason": reason})
    elif mutate and power is not None:
        mutation = power(running[0], threads, per_kind=mutate, progress=progress).facts()
    return Verification(status, tuple(checks), tuple(rows), tuple(not_run), notes, mutation)


def _target(target: str | Path) -> Path:
    path = Path(target)
    if not os.path.isdir(path) and not (os.path.isfile(path) and path.suffix == ".onnx"):
        raise UsageError(
            f"{path} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return path


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
    rows = []
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
            rows.append(_row(provider, name, actual, expected, tolerance))
    return rows


def _planted_alone(
    folder: Path, manifest: Mapping[str, Any], provider: str, threads: int | None, **how: Any
) -> Mutation:
    vectors = folder / "test_data_set_0"
    inputs, outputs = read_vectors(vectors, "input"), read_vectors(vectors, "output")
    run = vectors_run(inputs, list(outputs), folder, provider, threads)
    check = vectors_check(
        lambda name, actual: _row(
            provider, name, actual, outputs[name], float(manifest["tolerances"][name])
        )
    )
    return planted(folder / "model.onnx", {"test vectors": check}, run, **how)


def _planted_against(
    model: Path, expected: Expected, provider: str, threads: int | None, **how: Any
) -> Mutation:
    from netloft.parity.faults.outputs import outputs_check, runs_of

    checks = {"outputs": outputs_check(expected, provider)}
    return planted(model, checks, runs_of(expected, model, provider, threads), **how)


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


def _compare(
    model: Path,
    module: nn.Module,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None,
    providers: Sequence[str],
    threads: int | None,
) -> tuple[ParityResult, Expected]:
    from netloft.parity.check import certify
    from netloft.parity.inputs import cases_of
    from netloft.tracing import trace
    from netloft.tracing.tracer import bind_inputs

    if example_inputs is None:
        raise UsageError(
            "a module to verify against needs example inputs",
            remedy="give example_inputs=(tensor, …), batch first",
        )
    declared = onnx.load(str(model), load_external_data=False).graph
    batch = _batch(declared)
    graph = trace(module, example_inputs, batch, dynamic=_open_axes(declared, module))
    graph, renamed = _named_as(declared, model, graph)
    inputs = bind_inputs(module, example_inputs)
    cases = cases_of(graph, inputs, 0)
    found, expected = certify(graph, module, model, cases, providers, threads)
    return dataclasses.replace(found, notes=(*renamed, *found.notes)), expected


def declared_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller gives; old files list their weights among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _batch(graph: onnx.GraphProto) -> int | str:
    """Return the batch size of a file: the first length of the first input that has one."""
    shapes = (value.type.tensor_type.shape.dim for value in declared_inputs(graph))
    first = next((shape[0] for shape in shapes if shape), None)
    return (first.dim_value if first is not None else 0) or "dynamic"


def _open_axes(graph: onnx.GraphProto, module: nn.Module) -> dict[str, dict[int, str]]:
    """Return the axes beside the batch that a file leaves open, by the module's own names."""
    names = list(inspect.signature(module.forward).parameters)
    found: dict[str, dict[int, str]] = {}
    for value, name in zip(declared_inputs(graph), names, strict=False):
        dims = enumerate(value.type.tensor_type.shape.dim)
        opened = {axis: dim.dim_param for axis, dim in dims if axis and dim.dim_param}
        if opened:
            found[name] = opened
    return found


def _named_as(
    declared: onnx.GraphProto, model: Path, graph: Graph
) -> tuple[Graph, tuple[str, ...]]:
    """Call inputs and outputs as a file does, which another exporter may have written.

    Names that are the same belong together; others go by their place, and are told.

    Raises:
        UsageError: The file's inputs and outputs cannot be those of the module.
    """
    file = _declared(declared_inputs(declared)), _declared(declared.output)
    ours = tuple(
        [(value.name, tuple(value.info.shape)) for value in values]
        for values in (graph.inputs, graph.outputs)
    )
    if not all(map(_belong_together, file, ours)):
        raise UsageError(
            f"{model.name} is {_signature(*file)}, and {graph.class_name} is {_signature(*ours)}",
            remedy="name the module that the file was exported from, and its --input shapes",
        )
    inputs, outputs = map(_renamed, (graph.inputs, graph.outputs), file)
    notes = tuple(
        f"'{theirs}' of the file is taken for '{mine}' of the module, by its place"
        for sides in zip(file, ours, strict=True)
        for (theirs, _), (mine, _) in zip(*sides, strict=True)
        if theirs != mine
    )
    return dataclasses.replace(graph, inputs=inputs, outputs=outputs), notes


def _renamed(ours: Sequence[Value], theirs: Sequence[_Described]) -> tuple[Value, ...]:
    pairs = zip(ours, theirs, strict=True)
    return tuple(dataclasses.replace(value, name=name) for value, (name, _) in pairs)


def _belong_together(theirs: Sequence[_Described], ours: Sequence[_Described]) -> bool:
    if len(theirs) != len(ours) or not all(map(_alike, theirs, ours)):
        return False
    names, own = [name for name, _ in theirs], [name for name, _ in ours]
    return names == own or set(names) != set(own)  # the same in another order are not guessed at


_Described = tuple[str, tuple[int | str, ...]]


def _declared(values: Sequence[onnx.ValueInfoProto]) -> list[_Described]:
    shapes = [(value.name, value.type.tensor_type.shape.dim) for value in values]
    return [
        (name, tuple(length.dim_value or length.dim_param or "?" for length in shape))
        for name, shape in shapes
    ]


def _alike(first: _Described, second: _Described) -> bool:
    return len(first[1]) == len(second[1]) and all(
        a == b or isinstance(a, str) or isinstance(b, str)
        for a, b in zip(first[1], second[1], strict=True)
    )


def _signature(inputs: Sequence[_Described], outputs: Sequence[_Described]) -> str:
    sides = (
        ", ".join(f"{name}[{', '.join(map(str, shape))}]" for name, shape in values)
        for values in (inputs, outputs)
    )
    return " -> ".join(sides)
