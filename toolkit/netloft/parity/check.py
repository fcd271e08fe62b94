"""Does the file compute what the module computes: measured, with the verdict's reason."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from torch import nn

from netloft.errors import ParityError
from netloft.graph.graph import Graph
from netloft.parity.compare import Comparison, measure
from netloft.parity.inputs import Case
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.reference import Reference, ReferenceRun
from netloft.parity.taps import Tap, find_taps, tapped_onnx
from netloft.runtime.providers import start_session

__all__ = ["ParityResult", "check_parity", "require_parity"]

Arrays = dict[str, npt.NDArray[Any]]
_INLINE = 1_900_000_000


@dataclass(frozen=True)
class ParityResult:
    """A parity report.

    Attributes:
        rows: One for each provider, input and output.
        tolerances: Largest passing scaled error by output, over all inputs.
        notes: What a reader has to know to trust the rows.
    """

    rows: tuple[Comparison, ...]
    tolerances: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def status(self) -> str:
        """`pass` when every row passes."""
        return "pass" if all(row.status == "pass" for row in self.rows) else "fail"


@dataclass(frozen=True)
class _Outcome:
    case: Case
    reference: ReferenceRun
    actual: Mapping[str, Arrays]  # by provider


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

    Raises:
        ProviderError: A provider does not start after all.
    """
    proto = onnx.load(str(path))
    taps = find_taps(graph, proto) if proto.ByteSize() < _INLINE else ()
    runners = {p: _Runner(path, proto, taps, p, threads) for p in providers}
    reference = Reference(module, graph, taps)
    outcomes = []
    for case in cases:
        progress(f"{case.kind}, batch {case.batch}")
        feeds = _feeds(graph, case)
        actual = {provider: runner.run(feeds) for provider, runner in runners.items()}
        outcomes.append(_Outcome(case, reference.run(case), actual))
    del proto, runners
    gc.collect()
    rows, tolerances = _judge(outcomes, policy)
    return ParityResult(rows, tolerances, _notes(graph, outcomes, reference, taps))


class _Runner:
    """The file itself, and where there are taps a second session that gives them too."""

    def __init__(
        self,
        path: Path,
        proto: onnx.ModelProto,
        taps: Sequence[Tap],
        provider: str,
        threads: int | None,
    ) -> None:
        self._session = start_session(path, provider, threads=threads)
        self._taps = taps
        self._tapped = (
            start_session(tapped_onnx(proto, taps), provider, threads=threads) if taps else None
        )

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        names = [output.name for output in self._session.get_outputs()]
        values = dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        if self._tapped is not None:
            tapped = [tap.value for tap in self._taps]
            found = self._tapped.run(tapped, dict(feeds))
            values |= {tap.name: v for tap, v in zip(self._taps, found, strict=True)}
        return values


def _feeds(graph: Graph, case: Case) -> Arrays:
    return {
        value.name: np.ascontiguousarray(tensor.numpy())
        for value, tensor in zip(graph.inputs, case.inputs.values(), strict=True)
    }


def _judge(
    outcomes: Sequence[_Outcome], policy: Policy
) -> tuple[tuple[Comparison, ...], dict[str, float]]:
    noise = {
        (index, name): measure(
            single, outcome.reference.float64[name], nonfinite_like=single
        ).scaled
        for index, outcome in enumerate(outcomes)
        for name, single in outcome.reference.float32.items()
    }
    rows, tolerances = [], dict[str, float]()
    for index, outcome in enumerate(outcomes):
        for name in outcome.reference.float64:
            all_of_output = [value for (_, other), value in noise.items() if other == name]
            floor = policy.floor(noise[index, name], all_of_output)
            tolerances[name] = max(tolerances.get(name, 0.0), policy.tolerance(floor))
            rows += [
                _row(outcome, provider, name, floor, policy.tolerance(floor))
                for provider in outcome.actual
            ]
    return tuple(rows), tolerances


def _row(outcome: _Outcome, provider: str, name: str, floor: float, tolerance: float) -> Comparison:
    actual, single = outcome.actual[provider][name], outcome.reference.float32[name]
    error = measure(actual, outcome.reference.float64[name], nonfinite_like=single)
    return Comparison(
        provider=provider,
        batch=outcome.case.batch,
        input=outcome.case.kind,
        output=name,
        max_abs=error.max_abs,
        max_rel=error.max_rel,
        max_abs_float32=measure(actual, single).max_abs,
        scaled_error=error.scaled,
        noise_floor=floor,
        ratio=error.scaled / floor,
        tolerance=tolerance,
        worst_index=error.index,
        worst_actual=error.actual,
        worst_expected=error.expected,
        status="pass" if error.scaled <= tolerance else "fail",
    )


def _notes(
    graph: Graph, outcomes: Sequence[_Outcome], reference: Reference, taps: Sequence[Tap]
) -> tuple[str, ...]:
    notes = []
    if reference.float64_missing:
        notes.append(
            "the module has no float64 run, so its float32 run is the reference: "
            + reference.float64_missing
        )
    notes += [f"'{tap.output}' is also compared before its {tap.name.split()[-1]}" for tap in taps]
    for output in graph.outputs:
        if _is_constant([outcome.reference.float64[output.name] for outcome in outcomes]):
            notes.append(
                f"'{output.name}' hardly depends on the input, so its check could not have failed"
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
    failed = [row for row in result.rows if row.status == "fail"]
    if not failed:
        return
    worst = max(failed, key=lambda row: row.ratio)
    raise ParityError(
        f"the exported file computes another function: {len(failed)} of {len(result.rows)} "
        f"comparisons fail; worst is '{worst.output}'{list(worst.worst_index)} on {worst.input} "
        f"at batch {worst.batch} on {worst.provider}: {worst.worst_actual:.9g} instead of "
        f"{worst.worst_expected:.9g}, a scaled error of {worst.scaled_error:.2e} where "
        f"{worst.tolerance:.2e} is allowed ({worst.ratio:.0f}× PyTorch's own float32 error)",
        remedy="nothing was written; report the network, and try --batch 1 or another --opset",
    )
