"""Run a quantised file and its float32 module on many inputs, and judge it by the task."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from netloft.errors import ParityError
from netloft.graph.graph import Graph
from netloft.parity.inputs import Case, feeds_of
from netloft.parity.session import FileRunner
from netloft.parity.taps import find_taps, tapped_module
from netloft.parity.task_level import (
    DEFAULT_CRITERIA,
    Criteria,
    TaskComparison,
    compare,
    is_classifier,
    sqnr_db,
)
from netloft.runtime.header import header_of
from netloft.tracing.faithful import silent

__all__ = [
    "VECTORS",
    "MakeInputs",
    "TaskCheck",
    "TaskResult",
    "task_batches",
    "task_error",
]

Arrays = dict[str, npt.NDArray[Any]]
MakeInputs = Callable[[int, int], tuple[Mapping[str, torch.Tensor], str]]
"""Batch and seed to inputs by name, and what they are."""

ENOUGH = 256
"""Inputs that scores are compared on: a share of 0.99 is then known to 0.6 %."""
FEW = 24
"""Inputs that other outputs are compared on: each has many elements."""
VECTORS = "test vectors"
"""Kind of the inputs that a bundle carries to be verified with."""
_HELD_OUT = 50_000
"""Added to the seed: the inputs are not those that the file was calibrated on."""


@dataclass(frozen=True)
class TaskResult:
    """How a file does.

    Attributes:
        rows: One for each provider, batch size and output.
        notes: What a reader has to know to trust the rows.
    """

    rows: tuple[TaskComparison, ...]
    notes: tuple[str, ...]

    @property
    def failed(self) -> tuple[TaskComparison, ...]:
        """Rows that do not pass."""
        return tuple(row for row in self.rows if row.status != "pass")

    @property
    def worst(self) -> TaskComparison:
        """The row with the least signal to noise."""
        return min(self.rows, key=lambda row: row.sqnr_db)


def require_task(result: TaskResult, precision: str) -> None:
    """Raise for the worst row that does not pass.

    Raises:
        ParityError: Says what is too little.
    """
    if result.failed:
        raise task_error(result, precision)


def task_error(result: TaskResult, precision: str, effort: str = "") -> ParityError:
    """Return the error for the worst row that does not pass.

    Args:
        result: With such a row.
        precision: Of the file.
        effort: What was tried, as the end of a sentence.
    """
    worst = min(result.failed, key=lambda row: row.sqnr_db)
    same = ""
    if worst.agreement is not None and worst.min_agreement is not None:
        same = (
            f" and the same first class on {worst.agreement:.1%} of the inputs, where "
            f"{worst.min_agreement:.1%} are needed"
        )
    return ParityError(
        f"{precision} does not do: '{worst.output}' has {worst.sqnr_db:.1f} dB of signal to noise "
        f"on {worst.input} at batch {worst.batch} on {worst.provider}, where "
        f"{sqnr_db(worst.tolerance):.1f} dB are needed{same}{effort}",
        remedy="nothing was written; export with another --precision",
    )


def task_batches(batch: str | int, enough: int) -> dict[int, int]:
    """Return how often to run each batch size: one, two and an odd one, most in eights."""
    if isinstance(batch, int):
        return {batch: math.ceil(enough / batch)}
    few = max(1, enough // 64)
    counts = {1: 4 * few, 2: 2 * few, 7: few}
    rest = enough - sum(size * count for size, count in counts.items())
    return counts | {8: max(1, math.ceil(rest / 8))}


@dataclass(frozen=True)
class _Group:
    """Inputs that are run in batches of one size, and what the module gives for them."""

    size: int
    kind: str
    feeds: Sequence[Arrays]
    wanted: Sequence[Arrays]


class TaskCheck:
    """The module's results on many inputs, taken once, for any number of files.

    They come from the module's graph, which was proven to give what the module gives: it gives
    the values before a saturating head in the same run.

    Args:
        graph: The proven graph, with the module's own weights.
        header: Of an ONNX file of that graph, which says where its saturating heads are.
        make_inputs: Gives inputs for a batch and a seed.
        seed: Of the inputs.
        vectors: Inputs of the test vectors, that are to pass by themselves.
        criteria: What passes.

    Attributes:
        names: Outputs, and values before heads, that are judged.
        whole: Outputs of whole numbers, that are not.
    """

    def __init__(
        self,
        graph: Graph,
        header: onnx.ModelProto,
        make_inputs: MakeInputs,
        seed: int,
        vectors: Mapping[str, torch.Tensor],
        criteria: Criteria = DEFAULT_CRITERIA,
    ) -> None:
        self._graph, self._criteria = graph, criteria
        nodes = {output.name: output.node for output in graph.outputs}
        nodes |= {tap.name: tap.node for tap in find_taps(graph, header)}
        self._module = tapped_module(graph, nodes)
        size = max((len(tensor) for tensor in vectors.values() if tensor.dim()), default=1)
        first = self._group(size, [Case(VECTORS, size, vectors)])
        self.names, self.whole = _judged(first.wanted[0])
        enough = ENOUGH if any(is_classifier(first.wanted[0][n]) for n in self.names) else FEW
        self._groups = [first]
        for index, (size, count) in enumerate(task_batches(graph.batch, enough).items()):
            # of one draw where that can be, which is more diverse than as many draws of few
            open_batch = not isinstance(graph.batch, int)
            draws = [size * count] if open_batch else [size] * count
            seeds = range(seed + _HELD_OUT + index, seed + 2 * _HELD_OUT, 100)
            cases = [
                case
                for draw, own_seed in zip(draws, seeds, strict=False)
                for case in _split(draw, *make_inputs(draw, own_seed), size)
            ]
            self._groups.append(self._group(size, cases))

    def _group(self, size: int, cases: Sequence[Case]) -> _Group:
        feeds = [feeds_of(self._graph, case.inputs) for case in cases]
        return _Group(size, cases[0].kind, feeds, [_outputs(self._module, case) for case in cases])

    def judge(
        self, path: Path, providers: Sequence[str], *, threads: int | None = None
    ) -> TaskResult:
        """Run a file on all inputs.

        Args:
            path: The file.
            providers: That start here.
            threads: For one operation; None for the runtime's own choice.

        Raises:
            ParityError: The file fails where the module runs.
        """
        header = onnx.load_from_string(header_of(path))
        taps = find_taps(self._graph, header)
        rows = list[TaskComparison]()
        for provider in providers:
            runner = FileRunner(path, header, taps, provider, threads)
            for group in self._groups:
                actual = [runner.run(feeds) for feeds in group.feeds]
                rows += self._compared(provider, group, actual)
        return TaskResult(tuple(rows), tuple(self._notes(rows)))

    def _compared(
        self, provider: str, group: _Group, actual: Sequence[Arrays]
    ) -> Iterator[TaskComparison]:
        for name in self.names:
            given = np.concatenate([values[name] for values in actual])
            wanted = np.concatenate([values[name] for values in group.wanted])
            yield compare(given, wanted, self._criteria, provider=provider, batch=group.size,
                          input=group.kind, output=name)  # fmt: skip

    def _notes(self, rows: Sequence[TaskComparison]) -> Iterator[str]:
        for name in self.whole:
            yield f"'{name}' holds whole numbers: it is judged by the scores that it comes from"
        for name, check in itertools.product(self.names, _NEVER_FAILS):
            own = [row for row in rows if row.output == name and row.input != VECTORS]
            judged = [row for row in own if check == "sqnr" or row.min_agreement is not None]
            if judged and all(check in row.vacuous for row in judged):
                yield f"'{name}': {_NEVER_FAILS[check]}"


_NEVER_FAILS = {
    "sqnr": "it hardly depends on the input, so its signal to noise could not have failed: a file "
    "that ignores its input has as much",
    "agreement": "nearly all inputs are of one class, so the agreement could not have failed: a "
    "file that ignores its input has as much",
}


def _judged(first: Arrays) -> tuple[list[str], list[str]]:
    """Return the names of outputs of real numbers, with items along the first axis, and others."""
    real = [
        name for name, value in first.items()
        if np.issubdtype(value.dtype, np.floating) and value.ndim
    ]  # fmt: skip
    return real, [name for name in first if name not in real]


def _split(batch: int, inputs: Mapping[str, torch.Tensor], kind: str, size: int) -> Iterator[Case]:
    """Cut a batch into smaller ones; inputs without a batch go with each."""
    for start in range(0, batch, size):
        part = {n: t[start : start + size] if t.dim() else t for n, t in inputs.items()}
        yield Case(kind, size, part)


def _outputs(module: torch.nn.Module, case: Case) -> Arrays:
    with torch.inference_mode(), silent():
        given = module(*(tensor.clone() for tensor in case.inputs.values()))
    return {name: value.numpy() for name, value in given.items()}
