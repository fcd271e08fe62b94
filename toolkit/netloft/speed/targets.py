"""Several bundles, files and modules side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from netloft.errors import CheckError, InputError, UsageError
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import NotRun, available, process_cpus
from netloft.speed.contestants import (
    Contestant,
    onnxruntime_contestant,
    start,
    timed_session,
)
from netloft.speed.environment import describe_environment
from netloft.speed.measure import Plan, measure
from netloft.speed.profile import ProfileRow, profile
from netloft.speed.rows import TargetResult, TargetRow, target_row

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch
    from torch import nn

    from netloft.models.loaded import LoadedModel

    Target = str | os.PathLike[str] | tuple[nn.Module, Any] | LoadedModel

__all__ = ["bench"]

Arrays = dict[str, npt.NDArray[Any]]

_PICTURES = 4  # axes of a batch of them

# ONNX Runtime's names of floating-point element types, and NumPy's.
_FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


class _Source(Protocol):
    """What can be measured."""

    @property
    def name(self) -> str: ...

    @property
    def fixed_batch(self) -> int | None: ...

    def contestant(self, provider: str, batch: int) -> Contestant: ...

    def refuses(self, provider: str) -> str: ...

    def profile(self, provider: str, batch: int, plan: Plan) -> tuple[ProfileRow, ...]: ...


def bench(
    *targets: Target,
    batches: Sequence[int] = (1, 8),
    providers: Sequence[str] = (),
    threads: int | None = None,
    quick: bool = False,
    profiled: bool = False,
    progress: Callable[[str], None] | None = None,
) -> TargetResult:
    """Measure targets side by side; the first is what the others are compared with.

    Args:
        targets: A bundle's folder, an `.onnx` file, a MODEL spec, or a module with example inputs
            as a tuple. Bundles and files run in ONNX Runtime, modules in PyTorch.
        batches: Batch sizes; a file with a fixed batch runs at that one.
        providers: To run on; by default the CPU, and CUDA where it starts.
        threads: For one operation; by default the CPUs of this process.
        quick: Take about a second for each batch and provider in place of four.
        profiled: Tell where the time of each file goes, node by node, too.
        progress: Told what is measured next.

    Raises:
        UsageError: A target is none of these.
        IntegrityError: A bundle was changed.
        ProviderError: A provider that was asked for does not start.
    """
    if not targets or not batches or min(batches) < 1:
        raise UsageError("nothing to measure", remedy="give a target, and batches of 1 or more")
    threads, tell = threads or process_cpus(), progress or (lambda _: None)
    running, missing = available(providers)
    sources = [_source(target, running, threads) for target in targets]
    environment = describe_environment(threads)
    fixed = [source.fixed_batch for source in sources if source.fixed_batch is not None]
    plan, rows, not_run = Plan.quick() if quick else Plan(), list[TargetRow](), list(missing)
    with _torch_settings(sources, threads):
        for batch in dict.fromkeys((*batches, *fixed)):
            for provider in running:
                tell(f"batch {batch} on {provider}")
                entries = [_entry(source, provider, batch) for source in sources]
                rows += _measured(entries, plan)
                not_run += [entry for entry in entries if isinstance(entry, NotRun)]
    result = TargetResult(tuple(rows), tuple(not_run), environment.to_dict())
    return _with_nodes(result, sources, plan, tell) if profiled else result


def _with_nodes(
    result: TargetResult, sources: Sequence[_Source], plan: Plan, tell: Callable[[str], None]
) -> TargetResult:
    """Add where the time of each file goes, as often as it ran."""
    nodes, not_run = list[ProfileRow](), list(result.not_run)
    for source in sources:
        for row in result.rows:
            if row.target != source.name:
                continue
            tell(f"the nodes of {source.name} at batch {row.batch} on {row.provider}")
            try:
                nodes += source.profile(row.provider, row.batch, plan)
            except CheckError as reason:
                not_run.append(NotRun(f"nodes of {source.name} at batch {row.batch}", str(reason)))
    return dataclasses.replace(result, nodes=tuple(nodes), not_run=tuple(not_run))


def _entry(source: _Source, provider: str, batch: int) -> Contestant | NotRun:
    what = f"{source.name} on {provider} at batch {batch}"
    reason = source.refuses(provider)
    if source.fixed_batch not in (None, batch):
        reason = f"it has a fixed batch of {source.fixed_batch}"
    if reason:
        return NotRun(what, reason)
    return start(what, lambda: source.contestant(provider, batch))


def _measured(entries: Sequence[Contestant | NotRun], plan: Plan) -> list[TargetRow]:
    """Return the rows of those that run; the first target is the baseline, where it does."""
    contestants = [entry for entry in entries if isinstance(entry, Contestant)]
    samples = measure([contestant.run for contestant in contestants], plan)
    baseline = samples[0] if contestants and contestants[0] is entries[0] else None
    return [target_row(c, s, baseline) for c, s in zip(contestants, samples, strict=True)]


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    fixed_batch: int | None
    sessions: Mapping[str, ort.InferenceSession]
    threads: int

    def contestant(self, provider: str, batch: int) -> Contestant:
        session = self.sessions[provider]
        return onnxruntime_contestant(
            session,
            _random_feeds(session, batch),
            provider=provider,
            batch=batch,
            threads=self.threads,
            target=self.name,
        )

    def refuses(self, provider: str) -> str:
        return ""

    def profile(self, provider: str, batch: int, plan: Plan) -> tuple[ProfileRow, ...]:
        feeds = _random_feeds(self.sessions[provider], batch)
        return profile(self.name, self.path, feeds, provider, batch, self.threads, plan)


@dataclass(frozen=True)
class _Module:
    name: str
    fixed_batch: int | None
    module: nn.Module
    make_inputs: Callable[[int], Mapping[str, torch.Tensor]]
    threads: int

    def contestant(self, provider: str, batch: int) -> Contestant:
        from netloft.speed.torch_contestants import torch_eager

        inputs = self.make_inputs(batch)
        return torch_eager(
            self.module,
            inputs,
            device=provider,
            batch=batch,
            threads=self.threads,
            target=self.name,
        )

    def refuses(self, provider: str) -> str:
        from netloft.speed.torch_contestants import no_device_reason

        if provider not in ("cpu", "cuda"):
            return f"a module runs in PyTorch, which has no {provider}"
        return no_device_reason(provider)

    def profile(self, provider: str, batch: int, plan: Plan) -> tuple[ProfileRow, ...]:
        raise CheckError(
            "a module runs in PyTorch, and nodes are those of a file",
            remedy="netloft draw MODEL --color time measures each operation in PyTorch",
        )


def _source(target: Target, providers: Sequence[str], threads: int) -> _Source:
    if isinstance(target, str | os.PathLike):
        path = Path(target)
        if path.is_dir():
            check_files(path, read_manifest(path)["files"])
            return _file(os.fspath(target), path / "model.onnx", providers, threads)
        if path.suffix == ".onnx":
            return _file(os.fspath(target), path, providers, threads)
        from netloft.models import load_model

        return _loaded(load_model(os.fspath(target)), threads)
    return _module(*target, threads) if isinstance(target, tuple) else _loaded(target, threads)


def _file(name: str, path: Path, providers: Sequence[str], threads: int) -> _File:
    sessions = {provider: timed_session(path, provider, threads) for provider in providers}
    first = sessions[providers[0]].get_inputs()
    lengths = {value.shape[0] for value in first if value.shape}
    fixed = next((n for n in lengths if isinstance(n, int)), None) if len(lengths) == 1 else None
    return _File(name, path, fixed, sessions, threads)


def _loaded(model: LoadedModel, threads: int) -> _Module:
    from netloft.models.domain import domain_inputs

    def make_inputs(batch: int) -> Mapping[str, torch.Tensor]:
        real = domain_inputs(model, batch, 0)
        return real[0] if real else model.example(batch)

    return _Module(model.spec, None, model.module, make_inputs, threads)


def _module(module: nn.Module, example: Any, threads: int) -> _Module:
    from netloft.tracing.faithful import fresh_inputs
    from netloft.tracing.tracer import bind_inputs

    given = bind_inputs(module, example)
    name = type(module).__name__
    return _Module(name, None, module, lambda batch: fresh_inputs(given, batch, 0), threads)


def _random_feeds(session: ort.InferenceSession, batch: int) -> Arrays:
    generator = np.random.default_rng(0)
    inputs = session.get_inputs()
    names = {value.shape[0] for value in inputs if value.shape} - {None}
    feeds = Arrays()
    for value in inputs:
        shape = [
            batch if not isinstance(length, int) and (axis == 0 or length in names) else length
            for axis, length in enumerate(value.shape)
        ]
        unknown = [length for length in shape if not isinstance(length, int)]
        if unknown:
            raise InputError(
                f"input '{value.name}' has the shape {value.shape}, and the length of "
                f"'{unknown[0]}' is not known",
                remedy="measure the bundle's model with fixed lengths behind the batch",
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


@contextlib.contextmanager
def _torch_settings(sources: Sequence[_Source], threads: int) -> Iterator[None]:
    """Set up torch where a module takes part; files alone are measured without importing it."""
    if not any(isinstance(source, _Module) for source in sources):
        yield
        return
    from netloft.speed.torch_contestants import torch_settings

    with torch_settings(threads):
        yield
