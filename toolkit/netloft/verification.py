"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from netloft.parity.task_level import task_row
from netloft.parity.verdict import counts
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import available, start_session
from netloft.runtime.reasons import first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.against import Against
    from netloft.locating import Located
    from netloft.parity.inputs import Case


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
        mutation: How many planted faults the same checks find, where that was asked for.
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    unlike: tuple[Mapping[str, Any], ...] = ()
    first_bad: str = ""
    mutation: Mapping[str, Any] | None = None


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
    layers: bool = False,
    mutate: int = 0,
    data: Callable[[str | int], Iterable[Case]] | None = None,
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
        layers: With `against`, compare the values inside the network too; that is done anyway
            where an output fails.
        mutate: Faults of each kind to plant in copies of a file that passes, to see how many the
            same checks find on the first of the providers (`docs/parity.md`).
        data: With `against`, gives inputs of your own for the batch size of the file, besides those
            that are made; `netloft.parity.inputs.Case` says what they are.
        progress: Told what is being compared or planted.

    Raises:
        IntegrityError: A file is missing, was changed or does not belong to the bundle.
        ProviderError: A provider that was asked for does not start here.
        UsageError: The target is neither, `against` lacks its inputs, or its inputs and outputs
            are not those of the file; or faults are to be planted, and there is nothing to find
            them with.
    """
    path = _target(target)
    _check_use(path, against, layers=layers or data is not None, mutate=mutate)
    running, missing = available(providers)
    work = _Work(path, running, threads, not_run=[row._asdict() for row in missing])
    if os.path.isdir(path):
        work.replay(against)
    _check_structure(work.model)
    work.checks.insert(1, "the model passes onnx.checker and strict shape inference")
    if against is not None:
        how = {"layers": layers, "progress": progress} | ({"data": data} if data else {})
        work.compare(against, example_inputs, **how)
    if not work.rows:
        work.load()
    if mutate:
        work.plant(mutate, progress)
    return work.found()


def _check_use(path: Path, against: nn.Module | None, *, layers: bool, mutate: int) -> None:
    if layers and against is None:
        raise UsageError(
            "layers, and results on data, are compared with a module's",
            remedy="give against=module",
        )
    if mutate and against is None and not os.path.isdir(path):
        raise UsageError(
            "a lone .onnx file has nothing to find a planted fault with",
            remedy="name the MODEL that it came from with --against, or verify a bundle",
        )


@dataclasses.dataclass
class _Work:
    """What is verified, and what was found so far.

    Attributes:
        path: The bundle or the file.
        providers: To run on.
        threads: For one operation.
        not_run: What was not checked.
        checks: What was, besides parity.
        rows: Of parity.
        notes: What a reader has to know.
        held: The comparison with the module.
        power: Plants faults and shows them to the same checks.
        mutation: How many of those they find.
    """

    path: Path
    providers: Sequence[str]
    threads: int | None
    not_run: list[Mapping[str, str]]
    checks: list[str] = dataclasses.field(default_factory=list)
    rows: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    notes: tuple[str, ...] = ()
    held: Against | None = None
    power: Callable[..., Mutation] | None = None
    mutation: Mapping[str, Any] | None = None

    @property
    def model(self) -> Path:
        return self.path / "model.onnx" if os.path.isdir(self.path) else self.path

    @property
    def failed(self) -> bool:
        located = self.held.located if self.held else None
        return any(counts(row["status"], row["input"]) for row in self.rows) or (
            located is not None and located.status == "fail"
        )

    def replay(self, against: nn.Module | None) -> None:
        """Check a bundle's files, and run it on its own vectors."""
        manifest = read_manifest(self.path)
        _check_comparable(manifest, against)
        check_files(self.path, manifest["files"])
        self.checks.append(f"{len(manifest['files'])} files are what the manifest says")
        self.rows += _replay(self.path, manifest, self.providers, self.threads)
        self.power = functools.partial(_planted_alone, self.path, manifest)

    def compare(
        self,
        module: nn.Module,
        example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None,
        **how: Any,
    ) -> None:
        """Hold the file against its module."""
        from netloft.against import compare, planted_against

        self.held = compare(
            self.model, module, example_inputs, self.providers, threads=self.threads, **how
        )
        self.rows += [dataclasses.asdict(row) for row in self.held.parity.rows]
        self.notes = self.held.parity.notes
        if self.held.not_run:
            self.not_run.append({"what": "layers", "reason": self.held.not_run})
        self.power = functools.partial(planted_against, self.held)

    def load(self) -> None:
        """Load a file that there is nothing to compare with."""
        reason = "a lone .onnx file has no test vectors; give the module it came from"
        self.not_run.append({"what": "parity", "reason": reason})
        for provider in self.providers:
            start_session(self.model, provider, threads=self.threads)
            self.checks.append(f"the model loads on {provider}")

    def plant(self, per_kind: int, progress: Callable[[str], None]) -> None:
        """See how many planted faults the same checks find."""
        if self.failed:
            reason = "the file fails as it is, so that every fault would be found"
            self.not_run.append({"what": "mutation", "reason": reason})
            return
        assert self.power is not None
        how = {"per_kind": per_kind, "progress": progress}
        self.mutation = self.power(self.providers[0], self.threads, **how).facts()

    def found(self) -> Verification:
        """Return the record."""
        found = Verification(
            "fail" if self.failed else "pass",
            tuple(self.checks),
            tuple(self.rows),
            tuple(self.not_run),
            self.notes,
            mutation=self.mutation,
        )
        located = self.held.located if self.held else None
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
            made = _judge_of(manifest)(provider, name, actual, expected, tolerance)
            rows += [made] if made is not None else []
    return rows


def _judge_of(manifest: Mapping[str, Any]) -> Callable[..., dict[str, Any] | None]:
    """Return what judges an output on test vectors: None for one that is not judged."""
    return task_row if manifest.get("precision") == "int8" else _row


def _planted_alone(
    folder: Path, manifest: Mapping[str, Any], provider: str, threads: int | None, **how: Any
) -> Mutation:
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
