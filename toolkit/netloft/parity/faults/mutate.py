"""Plant faults in a file, one at a time, and see which of them the checks find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from netloft.errors import NetloftError, UsageError, first_line
from netloft.parity.faults.draft import Original
from netloft.parity.faults.kinds import KINDS, Fault, plant
from netloft.parity.faults.mutant import Mutant, Run

__all__ = ["Check", "Mutation", "Trial", "mutate"]

Check = Callable[[Mutant], str | None]
"""Says why a file cannot be right; None where it finds nothing."""

_TRIES = 3
"""Tries at another place for each fault, where chance chose one that was had before."""


@dataclass(frozen=True)
class Trial:
    """One fault, and what became of it.

    Attributes:
        fault: What was planted.
        status: `caught`, `missed`, or `no effect` where no check found it and every result is the
            same to the last bit as without the fault.
        check: Which one found it; empty where none did.
        reason: What that check says.
    """

    fault: Fault
    status: str
    check: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Mutation:
    """How many planted faults were found.

    Attributes:
        trials: One for each fault.
        without_place: Kinds of faults for which the file has no place.
    """

    trials: tuple[Trial, ...]
    without_place: tuple[str, ...]

    def count(self, status: str, kind: str | None = None) -> int:
        """Return how many faults have a status; of one kind, or of all."""
        return sum(t.status == status for t in self.trials if kind is None or t.fault.kind == kind)

    @property
    def score(self) -> float | None:
        """Caught, over those that have an effect; None where there are none."""
        caught, missed = self.count("caught"), self.count("missed")
        return caught / (caught + missed) if caught + missed else None

    def facts(self) -> dict[str, Any]:
        """Return the same as plain data, for `--json`."""
        kinds = dict.fromkeys(trial.fault.kind for trial in self.trials)
        statuses = {"caught": "caught", "missed": "missed", "no_effect": "no effect"}
        totals = {key: self.count(status) for key, status in statuses.items()}
        return {
            "score": self.score,
            "planted": len(self.trials),
            **totals,
            "kinds": [
                {"kind": kind, "planted": sum(t.fault.kind == kind for t in self.trials)}
                | {key: self.count(status, kind) for key, status in statuses.items()}
                for kind in kinds
            ],
            "faults": [
                {**vars(t.fault), "status": t.status, "check": t.check, "reason": t.reason}
                for t in self.trials
            ],
            "without_place": list(self.without_place),
        }


def mutate(
    path: Path,
    checks: Mapping[str, Check],
    run: Run,
    *,
    per_kind: int = 1,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
    progress: Callable[[str], None] = lambda _: None,
) -> Mutation:
    """Plant faults in copies of a file, and ask the checks in turn until one finds the fault.

    Args:
        path: The file, which is not written to.
        checks: By name, in the order in which they are asked.
        run: Runs a model on the inputs of the check.
        per_kind: Faults of each kind, at different places; fewer where there are fewer places.
        seed: Of the places.
        kinds: Of faults; keys of `KINDS`.
        progress: Told what is being planted.

    Raises:
        UsageError: A check finds fault with the file as it is, so that it would find any.
    """
    original = Original(path)
    right = Mutant(original.model, original.folder, None, run)
    for name, check in checks.items():
        if reason := check(right):
            raise UsageError(
                f"{path.name} does not pass the check of its {name} as it is: {reason}",
                remedy="what a check finds can be counted on a file that passes it",
            )
    trials, without = [], []
    for kind in kinds:
        planted = 0
        for fault, model in _planted(kind, original, per_kind, seed):
            progress(f"{kind}: {fault.node}")
            trials.append(_tried(Mutant(model, original.folder, fault, run), right, checks))
            planted += 1
        if not planted:
            without.append(kind)
    return Mutation(tuple(trials), tuple(without))


def _planted(kind: str, original: Original, wanted: int, seed: int) -> Iterator[tuple[Fault, Any]]:
    """Plant up to as many different faults of a kind as are wanted."""
    had = set[Fault]()
    for attempt in range(wanted * _TRIES):
        found = plant(kind, original, Random(f"{seed}, {kind}, {attempt}"))
        if found is None or len(had) == wanted:
            return
        if found[0] not in had:
            had.add(found[0])
            yield found


def _tried(mutant: Mutant, right: Mutant, checks: Mapping[str, Check]) -> Trial:
    assert mutant.fault is not None
    for name, check in checks.items():
        if reason := check(mutant):
            return Trial(mutant.fault, "caught", name, reason)
    try:
        status = "no effect" if mutant.gives_what(right) else "missed"
    except NetloftError as error:
        raise UsageError(f"no check runs the file, and it does not: {first_line(error)}") from error
    return Trial(mutant.fault, status)
