"""What is measured: a file, or a module with inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.bundle.vectors import read_vectors
from netloft.errors import CheckError, InputError
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest
from netloft.runtime.reasons import first_line
from netloft.speed.contestants import timed_session
from netloft.speed.measure import Plan
from netloft.speed.peak import Peak
from netloft.speed.profile import ProfileRow, profile
from netloft.speed.setup import Setup

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch
    from torch import nn

    from netloft.models.loaded import LoadedModel

    Shapes = Mapping[str, Sequence[int]]
    Target = str | os.PathLike[str] | tuple[nn.Module, Any] | LoadedModel

__all__ = [
    "FileSource",
    "ModuleSource",
    "Source",
    "example_shapes",
    "feeds_that_run",
    "random_feeds",
    "refusal",
    "source_of",
]

Arrays = dict[str, npt.NDArray[Any]]

_PICTURES = 4  # axes of a batch of them

# ONNX Runtime's names of floating-point element types, and NumPy's.
_FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


@dataclass(frozen=True)
class FileSource:
    """An `.onnx` file.

    Attributes:
        name: As it was named: a bundle's folder, or the file.
        path: The file.
        fixed_batch: The one batch that it takes; None for any.
        sessions: By provider, with all optimisations.
        shapes: Of an example, by input: they say how long other open axes than the batch are.
    """

    name: str
    path: Path
    fixed_batch: int | None
    sessions: Mapping[str, ort.InferenceSession]
    shapes: Shapes = field(default_factory=dict)

    def feeds(self, provider: str, batch: int) -> Arrays:
        """Return inputs by the file's names."""
        return random_feeds(self.sessions[provider], batch, self.shapes)

    def profile(self, setup: Setup, plan: Plan, peak: Peak | None) -> tuple[ProfileRow, ...]:
        """Return where its time goes."""
        feeds = self.feeds(setup.provider, setup.batch)
        return profile(self.name, self.path, feeds, setup, plan, peak)


@dataclass(frozen=True)
class ModuleSource:
    """A module in eval mode.

    Attributes:
        name: Its spec, or its class.
        module: The module.
        make_inputs: Gives inputs for a batch size, by parameter of `forward`.
        threads: For one operation.
    """

    name: str
    module: nn.Module
    make_inputs: Callable[[int], Mapping[str, torch.Tensor]]
    threads: int

    fixed_batch = None

    def profile(self, setup: Setup, plan: Plan, peak: Peak | None) -> tuple[ProfileRow, ...]:
        """Refuse.

        Raises:
            CheckError: Always.
        """
        raise CheckError(
            "a module runs in PyTorch, and nodes are those of a file",
            remedy="netloft draw MODEL --color time measures each operation in PyTorch",
        )


Source = FileSource | ModuleSource


def source_of(
    target: Target, providers: Sequence[str], threads: int, shapes: Shapes | None = None
) -> Source:
    """Return what a target names.

    Args:
        target: A bundle's folder, an `.onnx` file, a MODEL spec, a loaded model, or a module with
            example inputs.
        providers: That sessions for a file are started on.
        threads: For one operation.
        shapes: Of an example, by input, for a file that is no bundle, which has test vectors.

    Raises:
        UsageError: It is none of these.
        IntegrityError: A bundle was changed.
    """
    if isinstance(target, str | os.PathLike):
        path = Path(target)
        if os.path.isdir(path):  # unlike Path.is_dir it bears a name that is too long
            check_files(path, read_manifest(path)["files"])
            example = example_shapes(path)
            return _file(os.fspath(target), path / "model.onnx", providers, threads, example)
        if path.suffix.lower() == ".onnx":
            return _file(os.fspath(target), path, providers, threads, shapes or {})
        from netloft.models import load_model

        return _loaded(load_model(os.fspath(target)), threads)
    return _module(*target, threads) if isinstance(target, tuple) else _loaded(target, threads)


def example_shapes(bundle: Path) -> Shapes:
    """Return the shapes of a bundle's test vectors, by input; empty where it has none.

    Raises:
        IntegrityError: They cannot be read.
    """
    inputs = read_vectors(bundle / "test_data_set_0", "input")
    return {name: array.shape for name, array in inputs.items()}


def _file(
    name: str, path: Path, providers: Sequence[str], threads: int, shapes: Shapes
) -> FileSource:
    sessions = {provider: timed_session(path, provider, threads) for provider in providers}
    first = sessions[providers[0]].get_inputs()
    lengths = [value.shape[0] for value in first if value.shape]
    fixed = lengths[0] if lengths and all(isinstance(n, int) for n in lengths) else None
    return FileSource(name, path, fixed, sessions, shapes)


def _loaded(model: LoadedModel, threads: int) -> ModuleSource:
    from netloft.models.domain import domain_inputs

    def make_inputs(batch: int) -> Mapping[str, torch.Tensor]:
        real = domain_inputs(model, batch, 0)
        return real[0] if real else model.example(batch)

    return ModuleSource(model.spec, model.module, make_inputs, threads)


def _module(module: nn.Module, example: Any, threads: int) -> ModuleSource:
    from netloft.tracing.faithful import fresh_inputs
    from netloft.tracing.tracer import bind_inputs

    given = bind_inputs(module, example)
    name = type(module).__name__
    return ModuleSource(name, module, lambda batch: fresh_inputs(given, batch, 0), threads)


def random_feeds(session: ort.InferenceSession, batch: int, shapes: Shapes | None = None) -> Arrays:
    """Return random inputs for a session.

    Args:
        session: Whose inputs say what they take.
        batch: Length of the first axis, and of every one of its name.
        shapes: Of an example, by input: other open axes are as long as there.

    Raises:
        InputError: Another length is open, and no example tells it.
    """
    generator = np.random.default_rng(0)
    inputs = session.get_inputs()
    names = {value.shape[0] for value in inputs if value.shape} - {None}
    feeds = Arrays()
    for value in inputs:
        example = (shapes or {}).get(value.name, value.shape)
        shape = [
            length if isinstance(length, int)
            else batch if axis == 0 or length in names
            else example[axis] if len(example) == len(value.shape) else length
            for axis, length in enumerate(value.shape)
        ]  # fmt: skip
        unknown = [length for length in shape if not isinstance(length, int)]
        if unknown:
            raise InputError(
                f"input '{value.name}' has the shape {value.shape}, and the length of "
                f"'{unknown[0]}' is not known",
                remedy="name its bundle, whose test vectors tell it, or a file with fixed lengths "
                "behind the batch",
            )
        feeds[value.name] = _random(value.type, shape, generator)
    return feeds


def _random(kind: str, shape: Sequence[int], generator: np.random.Generator) -> npt.NDArray[Any]:
    """Return N(0, 1), pixels, or zeros and ones for other whole numbers: they index anything."""
    if kind in _FLOATS:
        return generator.standard_normal(shape).astype(_FLOATS[kind])
    name = kind.removeprefix("tensor(").removesuffix(")")
    pixels = name == "uint8" and len(shape) == _PICTURES
    return generator.integers(0, 256 if pixels else 2, shape).astype(name)


def refusal(session: ort.InferenceSession, feeds: Mapping[str, Any]) -> str:
    """Return why a session does not run; empty where it does."""
    try:
        session.run(None, dict(feeds))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has a dozen unrelated kinds
        return first_line(error)
    return ""


def feeds_that_run(
    bundle: Path, session: ort.InferenceSession, provider: str, batch: int
) -> dict[str, Any]:
    """Return inputs that the session runs on.

    Raises:
        InputError: It does not run with so many.
    """
    feeds: dict[str, Any] = {}
    try:
        feeds = random_feeds(session, batch, example_shapes(bundle))
    except (MemoryError, OverflowError, TypeError, ValueError) as error:
        reason = first_line(error)
    else:
        reason = refusal(session, feeds)
    if reason:
        raise InputError(
            f"the bundle does not run at batch {batch} on {provider}: {reason}",
            remedy="name a smaller batch with --batches",
        )
    return feeds
