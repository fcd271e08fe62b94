"""What a file gave held against what it should have given: rows with a verdict each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.parity.compare import Comparison, measure
from netloft.parity.expected import Arrays, Expected
from netloft.parity.ranks import regret
from netloft.parity.verdict import counts

__all__ = ["ParityResult", "failing", "judge", "judged", "worst_items"]


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


def judge(expected: Expected, given: Mapping[str, Sequence[Arrays]]) -> ParityResult:
    """Give the verdict on a file.

    Args:
        expected: What its module gives.
        given: What the file gave on each of the runs, by provider.
    """
    return _Judge(expected, given).verdict()


def failing(expected: Expected, index: int, given: Mapping[str, Arrays]) -> list[Comparison]:
    """Return the rows of one run that keep a file from passing.

    Args:
        expected: What its module gives.
        index: Of the run.
        given: What the file gave on it, by provider.
    """
    return [row for row in judged(expected, index, given) if counts(row.status, row.input)]


def judged(expected: Expected, index: int, given: Mapping[str, Arrays]) -> list[Comparison]:
    """Return the rows of one run.

    Args:
        expected: What the module gives.
        index: Of the run.
        given: What the file gave on it, by whatever ran the file.
    """
    return _Judge(expected, {p: {index: values} for p, values in given.items()}).rows(index)


_Given = Mapping[str, Sequence[Arrays]] | Mapping[str, Mapping[int, Arrays]]


class _Judge:
    def __init__(self, expected: Expected, given: _Given) -> None:
        self._expected, self._given = expected, given
        self._looked_closer: set[tuple[str, int, str]] = set()
        self._ties: set[tuple[str, int, str]] = set()

    def verdict(self) -> ParityResult:
        rows, tolerances = list[Comparison](), dict[str, float]()
        for batch in self._expected.batches():
            made = [row for index in batch for row in self.rows(index)]
            if self._expected.runs[batch[0]].item is not None:
                rows += worst_items(made)
                continue
            rows += made
            for row in made:
                tolerances[row.output] = max(tolerances.get(row.output, 0.0), row.tolerance)
        return ParityResult(tuple(rows), tolerances, self._notes())

    def rows(self, index: int) -> list[Comparison]:
        """Return one for each provider and output of a run."""
        run, rows = self._expected.runs[index], list[Comparison]()
        for name, wanted in run.reference.float64.items():
            is_real = np.issubdtype(wanted.dtype, np.floating)
            if run.case.usual or is_real:  # ties make any index right
                rows += self._rows(index, name)
        return rows

    def _rows(self, index: int, name: str) -> list[Comparison]:
        case = self._expected.runs[index].case
        made = self._rows_at(index, name, self._expected.floor(index, name))
        if all(row.status == "pass" for row in made):
            return made
        ties = self._tied(index, name, made) if name in self._expected.rankings else None
        if ties is not None:
            self._ties.add((case.kind, case.batch, name))
            return ties
        self._looked_closer.add((case.kind, case.batch, name))
        return self._rows_at(index, name, self._expected.closer_floor(index, name))

    def _rows_at(self, index: int, name: str, floor: float) -> list[Comparison]:
        return [
            self._row(index, p, runs[index][name], name, floor) for p, runs in self._given.items()
        ]

    def _row(
        self, index: int, provider: str, actual: npt.NDArray[Any], name: str, floor: float
    ) -> Comparison:
        run, policy = self._expected.runs[index], self._expected.policy
        single = run.reference.float32[name]
        error = measure(actual, run.reference.float64[name], nonfinite_like=single)
        return Comparison(
            provider=provider,
            batch=run.case.batch,
            input=run.case.kind,
            output=name,
            max_abs=error.max_abs,
            max_rel=error.max_rel,
            max_abs_float32=measure(actual, single).max_abs,
            scaled_error=error.scaled,
            noise_floor=floor,
            ratio=error.scaled / floor,
            tolerance=policy.tolerance(floor),
            worst_index=error.index,
            worst_actual=error.actual,
            worst_expected=error.expected,
            status=policy.status(error.scaled, floor),
        )

    def _tied(self, index: int, name: str, rows: Sequence[Comparison]) -> list[Comparison] | None:
        """Return rows that compare what the indices point at; None where that is not as large."""
        ranking, ranked = self._expected.rankings[name], self._expected.ranked(index, name)
        wanted, policy = self._expected.runs[index].reference.float64[name], self._expected.policy
        made = []
        for row in rows:
            gap = regret(ranked.values, self._given[row.provider][index][name], wanted, ranking)
            status = policy.status(gap, ranked.floor)
            if status != "pass":
                return None
            made.append(
                dataclasses.replace(
                    row,
                    max_abs=gap * float(np.abs(ranked.values).max()),
                    max_rel=gap,
                    max_abs_float32=0.0,
                    scaled_error=gap,
                    noise_floor=ranked.floor,
                    ratio=gap / ranked.floor,
                    tolerance=policy.tolerance(ranked.floor),
                    status=status,
                )
            )
        return made

    def _notes(self) -> tuple[str, ...]:
        again = [
            f"'{name}' on {kind} at batch {batch}: noise floor measured again on rounded inputs"
            for kind, batch, name in sorted(self._looked_closer)
        ]
        ties = [
            f"'{name}' on {kind} at batch {batch}: other indices, of values as large to rounding"
            for kind, batch, name in sorted(self._ties)
        ]
        return (*again, *ties)


def worst_items(rows: Sequence[Comparison]) -> list[Comparison]:
    """Return the worst item of a batch, for each output and provider."""
    found = dict[tuple[str, str], Comparison]()
    for row in rows:
        before = found.setdefault((row.output, row.provider), row)
        if (_RANKS[row.status], row.ratio) > (_RANKS[before.status], before.ratio):
            found[row.output, row.provider] = row
    return list(found.values())


_RANKS = {"pass": 0, "undecided": 1, "fail": 2}
