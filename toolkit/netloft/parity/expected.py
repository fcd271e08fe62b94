"""What a module gives on the inputs of a check, and how large an error on each is only noise.

Made once, and then held against any number of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy.typing as npt
from torch import fx, nn

from netloft.errors import InputError, first_line
from netloft.graph.dims import BATCH
from netloft.graph.graph import Graph, annotation
from netloft.parity.compare import measure
from netloft.parity.inputs import Case, feeds_of
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.ranks import Ranking, find_rankings
from netloft.parity.reference import Reference, ReferenceRun, Refers
from netloft.parity.subnormal import flushed_case, is_subnormal, least_of_flushed
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
        item: Which item of the inputs is meant, by itself; None for all.
        least: What the noise floor is at least, by output, for reasons of its own.
    """

    case: Case
    feeds: Arrays
    reference: ReferenceRun
    noise: Mapping[str, float]
    item: int | None = None
    least: Mapping[str, float] = field(default_factory=dict)


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
        nodes |= {tap.name: graph.node(tap.node) for tap in taps}
        self._by_item = {name for name, node in nodes.items() if _has_items(node, graph.batch)}
        self._closer: dict[int, dict[str, float]] = {}
        self._again: tuple[Arrays | None, list[Arrays]] = None, []
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
        found = self.runs_on(case)
        self.runs += found
        if not found:
            self.refused.append(
                f"{self._reference.name} itself fails on {case.kind} inputs at batch {case.batch}"
            )

    def runs_on(self, case: Case) -> list[ExpectedRun]:
        """Return what the module gives on inputs, item by item where they have parts.

        Returns:
            Empty where the module does not take them, and need not.

        Raises:
            InputError: The module fails on a usual input.
        """
        run = self._run(case)
        if run is None:
            return []
        feeds = feeds_of(self.graph, case.inputs)
        if not case.parts:
            return [ExpectedRun(case, feeds, run, _noise(run))]
        flushed = self._reference.run(flushed_case(case)) if is_subnormal(case) else run
        made = []
        for item, part in enumerate(case.parts):
            own = self._item(run, item)
            least = least_of_flushed(own, self._item(flushed, item)) if flushed is not run else {}
            told = replace(case, kind=f"{case.kind}: {part}")
            made.append(ExpectedRun(told, feeds, own, _noise(own), item, least))
        return made

    def _item(self, run: ReferenceRun, item: int) -> ReferenceRun:
        return ReferenceRun(self._sliced(run.float32, item), self._sliced(run.float64, item))

    def _sliced(self, values: Arrays, item: int) -> Arrays:
        """Return one item of each value that has items; the others as they are."""
        return {n: v[item : item + 1] if n in self._by_item else v for n, v in values.items()}

    def batches(self) -> Iterator[list[int]]:
        """Yield the numbers of the runs, those together that are items of one batch."""
        numbers = range(len(self.runs))
        for _, alike in groupby(numbers, key=lambda index: id(self.runs[index].feeds)):
            yield list(alike)

    def given(self, run: Callable[[Arrays], Arrays]) -> Iterator[Arrays]:
        """Yield what a file gives on each of the runs; items of one batch come from one call.

        Args:
            run: Runs the file.
        """
        for batch in self.batches():
            yield from self.given_on([self.runs[index] for index in batch], run)

    def given_on(
        self, runs: Sequence[ExpectedRun], run: Callable[[Arrays], Arrays]
    ) -> Iterator[Arrays]:
        """Yield what a file gives on each of the runs, which all have the same inputs."""
        whole = run(runs[0].feeds)
        for each in runs:
            yield whole if each.item is None else self._sliced(whole, each.item)

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
        return self.floor_on(self.runs[index], name)

    def floor_on(self, run: ExpectedRun, name: str) -> float:
        """Return the noise floor of an output on inputs that need not be among the runs."""
        dtype = run.reference.float32[name].dtype.name
        # items by themselves are no measure for whole batches, and a batch of none has no error
        others = [r.noise[name] for r in self.runs if r.item is None and r.case.batch]
        floor = self.policy.floor(run.noise[name], others or [0.0], dtype)
        return max(floor, self._least.get(name, 0.0), run.least.get(name, 0.0))

    def closer_floor(self, index: int, name: str) -> float:
        """Measure PyTorch's error again before a file is called wrong.

        A result that is a small difference of large numbers can agree with the reference by luck;
        inputs that differ by one rounding show how far luck goes. Zeros make the terms of a long
        sum equal, and what rounding does to those is known.
        """
        if index not in self._closer:
            self._closer[index] = self.closer_floors_on(self.runs[index])
        return self._closer[index][name]

    def closer_floors_on(self, run: ExpectedRun) -> dict[str, float]:
        """Measure again, by output, on inputs that need not be among the runs."""
        results = self._measured_again(run)
        if run.item is not None:
            results = [self._sliced(values, run.item) for values in results]
        zeros = not any(bool(tensor.any()) for tensor in run.case.inputs.values())
        least = least_of_equal_sums(self.graph, self.policy.factor) if zeros else 0.0
        return {
            name: max(
                self.floor_on(run, name),
                least,
                *(_scaled(values[name], run.reference, name) for values in results),
            )
            for name in run.reference.float64
        }

    def _measured_again(self, run: ExpectedRun) -> list[Arrays]:
        """Return what the module gives on all items; those of one batch are asked for in a row."""
        feeds, results = self._again
        if feeds is not run.feeds:
            results = self._reference.rounded_runs(run.case)
            if run.item is not None:  # stress: what is flat makes the terms of sums equal
                results += self._reference.summed_runs(run.case)
            self._again = run.feeds, results
        return results

    def ranked(self, index: int, name: str) -> Ranked:
        """Return what an output ranks, in float64."""
        if (index, name) not in self._ranked:
            case, node = self.runs[index].case, self.rankings[name].node
            single, double = self._reference.ranked(case, node)
            noise = measure(single, double).scaled
            floor = self.policy.floor(noise, [noise], single.dtype.name)
            self._ranked[index, name] = Ranked(double, floor)
        return self._ranked[index, name]


def _has_items(node: fx.Node, batch: str | int) -> bool:
    """Tell whether the first axis of what a node gives is the batch."""
    shape = annotation(node).shape
    return shape is not None and shape[:1] == (batch if isinstance(batch, int) else BATCH,)


def _noise(run: ReferenceRun) -> dict[str, float]:
    return {name: _scaled(single, run, name) for name, single in run.float32.items()}


def _scaled(single: npt.NDArray[Any], run: ReferenceRun, name: str) -> float:
    return measure(single, run.float64[name], nonfinite_like=single).scaled
