"""Random networks, each exported and compared with itself at batches 1, 3 and 5 in ONNX Runtime.

    python -m benchmarks.random_nets [--nets 2000] [--seed 0] [--fallback] [--json FILE]

Counts how many come out right by netloft's own lowering, and why the others are refused. A network
that comes out wrong is shrunk and printed, and the exit code is 1. With `--fallback` those that the
own lowering refuses go through torch.onnx, as they do in an export; that takes seconds each.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.exporters.judging import Outcome
from tests.exporters.random_nets import Program, build, shrunk, verdict

from netloft_exporters.onnx.torch_route import lower_with_torch

MOST_REASONS = 25


@dataclass
class Found:
    """What became of the networks."""

    nets: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, Program, Outcome]] = field(default_factory=list)

    def add(self, seed: int, program: Program, outcome: Outcome, route: str) -> None:
        """Count one network."""
        self.nets += 1
        if outcome.kind in ("wrong", "crashed"):
            self.bad.append((seed, program, outcome))
        self.counts[f"right by {route}" if outcome.kind == "right" else outcome.kind] += 1
        if outcome.kind == "refused":
            self.reasons[_without_place(outcome.reason)] += 1

    def record(self, seconds: float) -> dict[str, Any]:
        """Return what goes into the JSON file."""
        return {
            "nets": self.nets,
            "wrong": 0,
            "crashed": 0,
            **self.counts,
            "reasons": dict(self.reasons.most_common(MOST_REASONS)),
            "seconds": round(seconds, 1),
        }


def _without_place(reason: str) -> str:
    return re.sub(r" \(%?\w+( at [^)]*)?\)", "", reason)


def judged(program: Program, fallback: bool) -> tuple[Outcome, str]:
    """Return what became of a network, and by which route."""
    outcome = verdict(program)
    if outcome.kind == "refused" and fallback:
        return verdict(program, lower_with_torch), "torch.onnx"
    return outcome, "netloft"


def report(bad: list[tuple[int, Program, Outcome]]) -> Iterator[str]:
    """Yield each network that came out wrong, as small as it stays wrong."""
    for seed, program, outcome in bad:
        small = shrunk(program, functools.partial(is_still, outcome.kind))
        yield f"seed {seed} {outcome.kind}: {verdict(small).reason}\n{small.source()}"


def is_still(kind: str, program: Program) -> bool:
    """Tell whether a network comes out as the one that it was made from."""
    return verdict(program).kind == kind


def main() -> int:
    """Run the networks and print the counts; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--nets", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first network")
    parser.add_argument("--fallback", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found, start = Found(), time.perf_counter()
    for seed in range(given.seed, given.seed + given.nets):
        program = build(random.Random(seed).choice)
        found.add(seed, program, *judged(program, given.fallback))
        if found.nets % 100 == 0:
            print(found.nets, dict(found.counts), file=sys.stderr)
    record = found.record(time.perf_counter() - start)
    print(json.dumps(record, indent=2))
    if given.json:
        given.json.write_text(json.dumps(record, indent=2) + "\n")
    print(*report(found.bad), sep="\n\n")
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
