"""What a module gives on the inputs of a check, and how large an error on each is only noise.

Made once, and then held against any number of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from torch import nn

from netloft.errors import InputError, first_line
from netloft.graph.graph import Graph
from netloft.parity.compare import measure
from netloft.parity.inputs import Case, feeds_of
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.ranks import Ranking, find_rankings
from netloft.parity.reference import Reference, ReferenceRun, Refers
from netloft.parity.sums import least_of_equal_sums, least_of_sum
from netloft.parity.taps import Tap

__all__ = ["Arrays", "Expected", "ExpectedRun", "Ranked"]

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ExpectedRun:
    """What the module gives on one set of inputs.

    Attributes:
        case: The inputs.
        feeds: The same, as a file takes them.
        reference: In float32 and float64.
        noise: PyTorch's own scaled error in float32, by output.
    """

    case: Case
    feeds: Arrays
    reference: ReferenceRun
    noise: Mapping[str, float]


@dataclass(frozen=True)
class Ranked:
    """The values that an output ranks, on one set of inputs, and the noise floor of these."""

    values: npt.NDArray[Any]
    floor: float


class Expected:
    """A module's results on all inputs of a check.

    Attributes:
        graph: The proven graph of the module.
        taps: Values that are compared besides the outputs.
        policy: What passes.
        runs: One for each set of inputs that the module takes.
        refused: What is told of the inputs that it does not take.
        rankings: Outputs that are the indices of a ranking.
    """

    def __init__(
        self,
        graph: Graph,
        module: nn.Module,
        cases: Iterable[Case],
        taps: Sequence[Tap] = (),
        policy: Policy = DEFAULT_POLICY,
        progress: Callable[[str], None] = lambda _: None,
        reference: Refers = Reference,
    ) -> None:
        """Run the module on all of them; `reference` says in which types.

        Raises:
            InputError: The module fails on a usual input.
        """
        self.graph, self.taps, self.policy = graph, taps, policy
        self.rankings: Mapping[str, Ranking] = find_rankings(graph)
        self._reference = reference(module, graph, taps)
        nodes = {output.name: graph.node(output.node) for output in graph.outputs}
        self._least = {name: least_of_sum(node) for name, node in nodes.items()}
        self._closer: dict[int, dict[str, float]] = {}
        self._ranked: dict[tuple[int, str], Ranked] = {}
        self.runs: list[ExpectedRun] = []
        self.refused: list[str] = []
        for case in cases:
            progress(f"{case.kind}, batch {case.batch}")
            self._add(case)

    @property
    def name(self) -> str:
        """What is the reference, in words."""
        return self._reference.name

    @property
    def float64_missing(self) -> str:
        """Why the module has no float64 run, so that float32 is the reference; else empty."""
        return self._reference.float64_missing

    def _add(self, case: Case) -> None:
        run = self._run(case)
        if run is None:
            self.refused.append(
                f"{self._reference.name} itself fails on {case.kind} inputs at batch {case.batch}"
            )
            return
        noise = {name: _scaled(single, run, name) for name, single in run.float32.items()}
        self.runs.append(ExpectedRun(case, feeds_of(self.graph, case.inputs), run, noise))

    def _run(self, case: Case) -> ReferenceRun | None:
        try:
            return self._reference.run(case)
        except (RuntimeError, IndexError, ValueError) as error:
            if not case.usual:
                return None
            raise InputError(
                f"{self._reference.name} fails on {case.kind} at batch {case.batch}: "
                f"{first_line(error)}",
                remedy="give the right --input, or a fixed --batch",
            ) from error

    def floor(self, index: int, name: str) -> float:
        """Return the noise floor of an output on the inputs of a run."""
        run = self.runs[index]
        dtype = run.reference.float32[name].dtype.name
        floor = self.policy.floor(run.noise[name], [r.noise[name] for r in self.runs], dtype)
        return max(floor, self._least.get(name, 0.0))

    def closer_floor(self, index: int, name: str) -> float:
        """Measure PyTorch's error again before a file is called wrong.

        A result that is a small difference of large numbers can agree with the reference by luck;
        inputs that differ by one rounding show how far luck goes. Zeros make the terms of a long
        sum equal, and what rounding does to those is known.
        """
        if index not in self._closer:
            run = self.runs[index]
            rounded = self._reference.rounded_runs(run.case)
            self._closer[index] = {
                each: max((_scaled(r[each], run.reference, each) for r in rounded), default=0.0)
                for each in run.reference.float64
            }
        zeros = not any(bool(t.any()) for t in self.runs[index].case.inputs.values())
        least = least_of_equal_sums(self.graph, self.policy.factor) if zeros else 0.0
        return max(self.floor(index, name), self._closer[index][name], least)

    def ranked(self, index: int, name: str) -> Ranked:
        """Return what an output ranks, in float64."""
        if (index, name) not in self._ranked:
            case, node = self.runs[index].case, self.rankings[name].node
            single, double = self._reference.ranked(case, node)
            noise = measure(single, double).scaled
            floor = self.policy.floor(noise, [noise], single.dtype.name)
            self._ranked[index, name] = Ranked(double, floor)
        return self._ranked[index, name]


def _scaled(single: npt.NDArray[Any], run: ReferenceRun, name: str) -> float:
    return measure(single, run.float64[name], nonfinite_like=single).scaled
