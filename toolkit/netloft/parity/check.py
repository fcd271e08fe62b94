"""Run a file and its module on the same inputs, and give the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
from torch import nn

from netloft.errors import InputError, ParityError, first_line
from netloft.graph.graph import Graph
from netloft.parity.compare import Comparison, measure
from netloft.parity.inputs import Case
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.ranks import Ranking, find_rankings, regret
from netloft.parity.reference import Reference, ReferenceRun
from netloft.parity.session import FileRunner
from netloft.parity.taps import Tap, find_taps
from netloft.parity.verdict import counts, told
from netloft.runtime.header import header_of

__all__ = ["ParityResult", "check_parity", "require_parity"]

Arrays = dict[str, npt.NDArray[Any]]


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
        """`pass` when every row passes; undecided rows on unusual inputs are only noted."""
        return "fail" if self.failed else "pass"

    @property
    def failed(self) -> tuple[Comparison, ...]:
        """Rows that keep the file from being written."""
        return tuple(row for row in self.rows if counts(row.status, row.input))


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
        ParityError: The file fails on an input that the module takes.
        InputError: The module fails on a usual input.
    """
    header = _flat_header(path)
    taps = find_taps(graph, header)
    runners = {p: FileRunner(path, header, taps, p, threads) for p in providers}
    reference = Reference(module, graph, taps)
    outcomes, refused = [], []
    for case in cases:
        progress(f"{case.kind}, batch {case.batch}")
        run = _reference_run(reference, case)
        if run is None:
            refused.append(f"the module itself fails on {case.kind} inputs at batch {case.batch}")
            continue
        feeds = _feeds(graph, case)
        outcomes.append(_Outcome(case, run, {p: r.run(feeds) for p, r in runners.items()}))
    judge = _Judge(outcomes, policy, reference, find_rankings(graph))
    rows, tolerances = judge.verdict()
    notes = _notes(graph, outcomes, reference, taps)
    again = [
        f"'{name}' on {kind} at batch {batch}: noise floor measured again on rounded inputs"
        for kind, batch, name in sorted(judge.looked_closer)
    ]
    ties = [
        f"'{name}' on {kind} at batch {batch}: other indices, of values as large to rounding"
        for kind, batch, name in sorted(judge.ties)
    ]
    return ParityResult(rows, tolerances, (*refused, *notes, *again, *ties))


def _flat_header(path: Path) -> onnx.ModelProto:
    """Return a file without its weights, and with the nodes of its functions where they are called.

    The values before a saturating head have to be in the main graph to be looked at.
    """
    header = onnx.load_from_string(header_of(path))
    return onnx.inliner.inline_local_functions(header) if header.functions else header


def _reference_run(reference: Reference, case: Case) -> ReferenceRun | None:
    try:
        return reference.run(case)
    except (RuntimeError, IndexError, ValueError) as error:
        if not case.usual:
            return None
        raise InputError(
            f"the module fails on {case.kind} at batch {case.batch}: {first_line(error)}",
            remedy="give the right --input, or a fixed --batch",
        ) from error


def _feeds(graph: Graph, case: Case) -> Arrays:
    return {
        value.name: np.asarray(tensor.numpy(), order="C")
        for value, tensor in zip(graph.inputs, case.inputs.values(), strict=True)
    }


class _Judge:
    """Turn runs into rows: noise floors first, over all inputs, then the verdicts."""

    def __init__(
        self,
        outcomes: Sequence[_Outcome],
        policy: Policy,
        reference: Reference,
        rankings: Mapping[str, Ranking],
    ) -> None:
        self._outcomes, self._policy, self._reference = outcomes, policy, reference
        self._rankings = rankings
        self.looked_closer: set[tuple[str, int, str]] = set()
        self.ties: set[tuple[str, int, str]] = set()
        self._rounded: tuple[_Outcome, list[Arrays]] | None = None
        self._noise = [
            {name: _scaled(single, run.reference, name) for name, single in values.items()}
            for run in outcomes
            for values in [run.reference.float32]
        ]

    def verdict(self) -> tuple[tuple[Comparison, ...], dict[str, float]]:
        """Return a row for each provider, input and output, and the tolerance of each output."""
        rows, tolerances = [], dict[str, float]()
        for index, outcome in enumerate(self._outcomes):
            for name, expected in outcome.reference.float64.items():
                if not outcome.case.usual and not np.issubdtype(expected.dtype, np.floating):
                    continue  # ties: any index is right
                own = self._noise[index][name]
                dtype = outcome.reference.float32[name].dtype.name
                floor = self._policy.floor(own, self._all_noise(name), dtype)
                made = [self._row(outcome, p, name, floor) for p in outcome.actual]
                ties = self._tied(outcome, name, made) if name in self._rankings else None
                if ties is not None:
                    made = ties
                    self.ties.add((outcome.case.kind, outcome.case.batch, name))
                if any(row.status != "pass" for row in made):
                    floor = max(floor, self._closer_look(outcome, name))
                    made = [self._row(outcome, p, name, floor) for p in outcome.actual]
                    self.looked_closer.add((outcome.case.kind, outcome.case.batch, name))
                rows += made
                tolerances[name] = max(tolerances.get(name, 0.0), made[0].tolerance)
        return tuple(rows), tolerances

    def _all_noise(self, name: str) -> list[float]:
        return [noise[name] for noise in self._noise]

    def _closer_look(self, outcome: _Outcome, name: str) -> float:
        """Measure PyTorch's error again before a file is called wrong.

        A result that is a small difference of large numbers can agree with the reference by luck;
        inputs that differ by one rounding show how far luck goes.
        """
        if self._rounded is None or self._rounded[0] is not outcome:  # for all its outputs
            self._rounded = outcome, self._reference.rounded_runs(outcome.case)
        runs = self._rounded[1]
        return max((_scaled(run[name], outcome.reference, name) for run in runs), default=0.0)

    def _tied(
        self, outcome: _Outcome, name: str, rows: Sequence[Comparison]
    ) -> list[Comparison] | None:
        """Return rows that compare what the indices point at; None where that is not as large."""
        if all(row.status == "pass" for row in rows):
            return None
        ranking, expected = self._rankings[name], outcome.reference.float64[name]
        single, double = self._reference.ranked(outcome.case, ranking.node)
        noise = measure(single, double).scaled
        floor = self._policy.floor(noise, [noise], single.dtype.name)
        made = []
        for row in rows:
            gap = regret(double, outcome.actual[row.provider][name], expected, ranking)
            status = self._policy.status(gap, floor)
            if status != "pass":
                return None
            made.append(
                dataclasses.replace(
                    row,
                    max_abs=gap * float(np.abs(double).max()),
                    max_rel=gap,
                    max_abs_float32=0.0,
                    scaled_error=gap,
                    noise_floor=floor,
                    ratio=gap / floor,
                    tolerance=self._policy.tolerance(floor),
                    status=status,
                )
            )
        return made

    def _row(self, outcome: _Outcome, provider: str, name: str, floor: float) -> Comparison:
        actual, single = outcome.actual[provider][name], outcome.reference.float32[name]
        error = measure(actual, outcome.reference.float64[name], nonfinite_like=single)
        tolerance = self._policy.tolerance(floor)
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
            status=self._policy.status(error.scaled, floor),
        )


def _scaled(single: npt.NDArray[Any], run: ReferenceRun, name: str) -> float:
    return measure(single, run.float64[name], nonfinite_like=single).scaled


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
    usual = [run.reference for run in outcomes if run.case.usual]
    for output in graph.outputs:
        if _is_constant([run.float64[output.name] for run in usual]):
            notes.append(
                f"'{output.name}' hardly depends on the input, so its check could not have failed"
            )
        if any(not np.isfinite(run.float32[output.name]).all() for run in usual):
            notes.append(
                f"'{output.name}' holds NaN or infinity on usual inputs, in the module too"
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
