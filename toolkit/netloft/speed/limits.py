"""All limits of one run of the bench: budgets, and an earlier report or the first target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netloft.errors import CheckError, UsageError
from netloft.runtime.devices import cpu_model
from netloft.speed.budgets import (
    BROKEN,
    LOADING,
    Budget,
    judge_baseline,
    judge_budgets,
    judge_first,
    parse_budget,
)
from netloft.speed.rows import TargetResult
from netloft.speed.saved import read_rows
from netloft.speed.stats import fewest_for

__all__ = ["REGRESSION", "Limits", "require_kept"]

REGRESSION = 0.05
"""How much slower than a baseline is allowed where nothing is said."""


@dataclass(frozen=True)
class Limits:
    """What a run of the bench is judged against.

    Attributes:
        budgets: Limits of single metrics.
        before: Rows of an earlier report; None where there is none.
        most: How much slower than those, or else than the first target, is allowed; None where that
            is not asked.
    """

    budgets: tuple[Budget, ...] = ()
    before: Sequence[Mapping[str, Any]] | None = None
    most: float | None = None

    @classmethod
    def read(
        cls,
        budgets: Sequence[str] = (),
        baseline: str | os.PathLike[str] | None = None,
        most: float | None = None,
    ) -> Limits:
        """Read what was asked for, before anything is measured.

        Args:
            budgets: Such as `p95_ms=20,batch=1`.
            baseline: An earlier report.
            most: How much slower is allowed; 5 % with a baseline.

        Raises:
            UsageError: A budget is none.
            InputError: The report cannot be read, or is of another kind of machine.
        """
        parsed = tuple(map(parse_budget, budgets))
        if baseline is None:
            return cls(parsed, None, most)
        before = read_rows(baseline, cpu_model())
        return cls(parsed, before, REGRESSION if most is None else most)

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that the budgets are for."""
        return tuple(budget.batch for budget in self.budgets if budget.batch is not None)

    @property
    def rounds(self) -> int:
        """How many runs the budgets' percentiles need."""
        return max((budget.samples for budget in self.budgets), default=0)

    @property
    def loads(self) -> int:
        """How many processes the budgets of loading need, for an interval of 99 %."""
        return fewest_for(50) if any(one.metric in LOADING for one in self.budgets) else 1

    def check(self, targets: Sequence[str], *, quick: bool) -> None:
        """Refuse what nothing will be measured for, before anything is.

        Args:
            targets: Names of what is measured, commands too.
            quick: Whether nothing is told of loading.

        Raises:
            UsageError: A limit is for a comparison of one target, or for loading with `quick`.
        """
        loading = [budget for budget in self.budgets if budget.metric in LOADING]
        if quick and loading:
            raise UsageError(
                f"the budget {loading[0]} is for loading, which --quick does not measure",
                remedy="leave out --quick",
            )
        if self.most is not None and self.before is None and len(set(targets)) < 2:
            raise UsageError(
                "there is nothing to compare the first target with",
                remedy="give two targets, or --baseline FILE",
            )

    def judged(
        self, result: TargetResult, problems: list[UsageError] | None = None
    ) -> TargetResult:
        """Return a result with what became of each limit.

        Args:
            result: What was measured.
            problems: Gets what would be raised, and all other limits are judged all the same.

        Raises:
            UsageError: A limit is for nothing that was measured, or for what did not run.
        """
        rows, missing = result.rows, result.missing
        found = judge_budgets(self.budgets, rows, missing, problems)
        if self.before is not None and self.most is not None:
            found += judge_baseline(rows, self.before, self.most, missing, problems)
        elif self.most is not None:
            found += judge_first(rows, self.most, missing, problems)
        return dataclasses.replace(result, budgets=tuple(found))


def require_kept(result: TargetResult) -> None:
    """Raise for a limit that is broken.

    Raises:
        CheckError: One is; each is told.
    """
    broken = [str(one) for one in result.budgets if one.status == BROKEN]
    if broken:
        raise CheckError(
            "; ".join(broken),
            remedy="make it faster, or allow more: the whole interval is beyond the limit",
        )
