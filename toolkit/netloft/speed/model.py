"""One network in every engine: what an export's report shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.defaults import BATCHES
from netloft.runtime.providers import NotRun, process_cpus
from netloft.speed.conditions import Watches
from netloft.speed.contestants import (
    ONNXRUNTIME,
    Contestant,
    on_gpu,
    read_back,
    start,
    timed_session,
)
from netloft.speed.engines.engine import in_onnxruntime
from netloft.speed.environment import describe_environment
from netloft.speed.measure import Plan
from netloft.speed.rows import BenchResult, SpeedRow, speed_row
from netloft.speed.setup import Setup
from netloft.speed.together import together

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch
    from torch import nn

__all__ = ["bench_model"]

Inputs = Mapping[str, "torch.Tensor"]
Entry = Contestant | NotRun

_QUICK = Plan(budget_s=0.3, rounds=8, warmup_s=0.1)


@dataclass(frozen=True)
class _Setup:
    module: nn.Module
    model: Path | bytes
    sessions: Mapping[str, ort.InferenceSession]
    make_inputs: Callable[[int], Inputs]
    input_names: Sequence[str]
    threads: int
    compile: bool
    read: bool


def bench_model(
    module: nn.Module,
    onnx_model: Path | bytes,
    make_inputs: Callable[[int], Mapping[str, torch.Tensor]],
    *,
    input_names: Sequence[str],
    providers: Sequence[str],
    batches: Sequence[int] = BATCHES,
    threads: int | None = None,
    quick: bool = False,
    compile: bool = True,
    progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Measure a module in PyTorch and its file in ONNX Runtime, side by side.

    Args:
        module: In eval mode; it is not changed.
        onnx_model: The exported file, or its bytes.
        make_inputs: Gives inputs for a batch size, by parameter of `forward`.
        input_names: The file's inputs, in the same order.
        providers: For ONNX Runtime; they have to start here.
        batches: Batch sizes; for a file with a fixed batch that one alone.
        threads: For one operation, for every engine; by default the CPUs of this process.
        quick: Take a third of a second for each batch and device in place of four seconds, and do
            not read back what ONNX Runtime computes in.
        compile: Let `torch.compile` take part.
        progress: Told what is measured next.

    Raises:
        ProviderError: A provider does not start after all.
    """
    from netloft.speed.torch_contestants import torch_settings

    threads, tell = threads or process_cpus(), progress or (lambda _: None)
    environment, machine = describe_environment(threads), Watches()
    sessions = {p: timed_session(onnx_model, p, threads) for p in dict.fromkeys(providers)}
    setup = _Setup(
        module, onnx_model, sessions, make_inputs, input_names, threads, compile, read=not quick
    )
    plan = _QUICK if quick else Plan()
    rows, not_run = list[SpeedRow](), list[NotRun]()
    with torch_settings(threads):
        for batch in dict.fromkeys(batches):
            for device in ("cpu", "cuda"):
                if any(on_gpu(p) == (device == "cuda") for p in sessions):
                    tell(f"speed at batch {batch} on {device}")
                    found, missing = _measured(setup, batch, device, plan, machine)
                    rows, not_run = [*rows, *found], [*not_run, *missing]
    facts = {**environment.to_dict(), "conditions": machine.to_dict()}
    return BenchResult(tuple(rows), tuple(not_run), facts)


def _measured(
    setup: _Setup, batch: int, device: str, plan: Plan, machine: Watches
) -> tuple[list[SpeedRow], list[NotRun]]:
    from netloft.speed.torch_contestants import EAGER, forget_compiled

    entries = list(_entries(setup, batch, device))
    with machine.watch(str(Setup(device, batch, setup.threads))):
        measured, failed = together([e for e in entries if isinstance(e, Contestant)], plan)
    baseline = next((samples for c, samples in measured if c.engine == EAGER), None)
    if setup.compile:
        forget_compiled()
    rows, not_run = list[SpeedRow](), [entry for entry in entries if isinstance(entry, NotRun)]
    for contestant, samples in measured:
        c, missing = read_back(contestant, _what(contestant)) if setup.read else (contestant, None)
        rows.append(speed_row(c, samples, baseline))
        not_run += [missing] if missing else []
    return rows, [*not_run, *(NotRun(_what(c), why) for c, why in failed)]


def _what(contestant: Contestant) -> str:
    return f"{contestant.engine} on {contestant.provider} at batch {contestant.batch}"


def _entries(setup: _Setup, batch: int, device: str) -> Iterator[Entry]:
    inputs = setup.make_inputs(batch)
    yield from _torch_entries(setup, inputs, batch, device)
    feeds = _feeds(setup.input_names, inputs)
    for provider, session in setup.sessions.items():
        if on_gpu(provider) == (device == "cuda"):
            how = Setup(provider, batch, setup.threads)
            made = functools.partial(
                in_onnxruntime, session, feeds, how, "", ONNXRUNTIME, setup.model
            )
            yield start(f"{ONNXRUNTIME} on {provider} at batch {batch}", made)


def _torch_entries(setup: _Setup, inputs: Inputs, batch: int, device: str) -> Iterator[Entry]:
    from netloft.speed import torch_contestants as engines

    facts: dict[str, Any] = {"device": device, "batch": batch, "threads": setup.threads}
    no_device = engines.no_device_reason(device)
    makers: dict[str, tuple[Callable[..., Contestant], str]] = {
        engines.EAGER: (engines.torch_eager, no_device)
    }
    if setup.compile:
        reason = no_device or engines.not_compilable()
        makers[engines.COMPILED] = (engines.torch_compiled, reason)
    for engine, (make, reason) in makers.items():
        what = f"{engine} on {device} at batch {batch}"
        if reason:
            yield NotRun(what, reason)
        else:
            yield start(what, lambda make=make: make(setup.module, inputs, **facts))  # type: ignore[misc]


def _feeds(names: Sequence[str], inputs: Inputs) -> dict[str, Any]:
    return {
        name: tensor.detach().cpu().numpy()
        for name, tensor in zip(names, inputs.values(), strict=True)
    }
