"""Run a file and its module on the same inputs, and give the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from netloft.allocator import large_blocks_kept
from netloft.errors import ParityError
from netloft.graph.graph import Graph
from netloft.parity.expected import Expected
from netloft.parity.flat import flat_header
from netloft.parity.inputs import Case
from netloft.parity.judge import ParityResult, judge
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.reference import Reference, Refers
from netloft.parity.session import FileRunner
from netloft.parity.taps import find_taps
from netloft.parity.verdict import told

__all__ = ["ParityResult", "certify", "check_parity", "require_parity"]


def check_parity(
    graph: Graph,
    module: nn.Module,
    path: Path,
    cases: Iterable[Case],
    providers: Sequence[str],
    *,
    threads: int | None = None,
    policy: Policy = DEFAULT_POLICY,
    progress: Callable[[str], None] = lambda _: None,
    reference: Refers = Reference,
) -> ParityResult:
    """Run a file and its source module on the same inputs and compare.

    Args:
        graph: The proven graph of `module`.
        module: The source, in eval mode.
        path: The `.onnx` file.
        cases: Inputs to compare on.
        providers: Execution providers that start on this machine.
        threads: For one operation; None for the runtime's own choice.
        policy: What passes.
        progress: Told which input is being compared.
        reference: Runs the module; its first result's error is the noise.

    Raises:
        ProviderError: A provider does not start after all.
        ParityError: The file fails on an input that the module takes.
        InputError: The module fails on a usual input.
    """
    given = threads, policy, progress, reference
    return certify(graph, module, path, cases, providers, *given)[0]


def certify(
    graph: Graph,
    module: nn.Module,
    path: Path,
    cases: Iterable[Case],
    providers: Sequence[str],
    threads: int | None = None,
    policy: Policy = DEFAULT_POLICY,
    progress: Callable[[str], None] = lambda _: None,
    reference: Refers = Reference,
) -> tuple[ParityResult, Expected]:
    """Do the same, and also return what the module gives, to hold other files against."""
    header = flat_header(path)
    taps = find_taps(graph, header)
    runners = {p: FileRunner(path, header, taps, p, threads) for p in providers}
    with large_blocks_kept():
        expected = Expected(graph, module, cases, taps, policy, progress, reference)
    result = judge(expected, {p: list(expected.given(r.run)) for p, r in runners.items()})
    notes = (*expected.refused, *_notes(expected), *result.notes)
    return dataclasses.replace(result, notes=notes), expected


def _notes(expected: Expected) -> tuple[str, ...]:
    notes = []
    if expected.float64_missing:
        notes.append(
            f"{expected.name} has no float64 run, so its float32 run is the reference: "
            + expected.float64_missing
        )
    notes += [
        f"'{tap.output}' is also compared before its {tap.name.split()[-1]}"
        for tap in expected.taps
    ]
    usual = [run.reference for run in expected.runs if run.case.usual]
    for output in expected.graph.outputs:
        if _is_constant([run.float64[output.name] for run in usual]):
            notes.append(
                f"'{output.name}' hardly depends on the input, so its check could not have failed"
            )
        if any(not np.isfinite(run.float32[output.name]).all() for run in usual):
            notes.append(
                f"'{output.name}' holds NaN or infinity on usual inputs, in {expected.name} too"
            )
    return tuple(notes)


def _is_constant(values: Sequence[npt.NDArray[Any]]) -> bool:
    """Tell whether all inputs gave the same first item, to a millionth of its size."""
    items = [v[:1].astype(np.float64) for v in values if v.ndim and v.shape[0]]
    alike = [item for item in items if item.shape == items[0].shape and np.isfinite(item).all()]
    if len(alike) < 2:
        return False
    spread = max(float(np.abs(item - alike[0]).max(initial=0.0)) for item in alike[1:])
    scale = max(float(np.abs(item).max(initial=0.0)) for item in alike)
    return spread <= 1e-6 * scale


def require_parity(result: ParityResult) -> None:
    """Raise for the worst row that fails.

    Raises:
        ParityError: Names the output, the index and both values.
    """
    failed = result.failed
    if not failed:
        return
    problem = told([dataclasses.asdict(row) for row in failed], len(result.rows))
    if all(row.status == "undecided" for row in failed):
        raise ParityError(
            f"the file {problem}",
            remedy="the network amplifies rounding; compute that part in float64",
        )
    raise ParityError(
        f"the exported file {problem}",
        remedy="nothing was written; report the network, and try --batch 1 or another --opset",
    )
