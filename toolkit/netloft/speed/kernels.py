"""What ONNX Runtime noted of its runs: of each kernel its own time, its work, and what ran it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netloft.runtime.providers import PROVIDERS
from netloft.speed.counting import FromFile
from netloft.speed.roofline import Work, total, work_of
from netloft.speed.stats import median

__all__ = ["Kernel", "Kernels", "kernels_of"]

Event = Mapping[str, Any]

_SUFFIX = "_kernel_time"
_OURS = {theirs: ours for ours, theirs in PROVIDERS.items()}


@dataclass(frozen=True)
class Kernel:
    """One kernel, or all of its kind where they have no name.

    Attributes:
        ms: Median milliseconds of it in a run, without those of what ran inside.
        work: What it does in a run, the first in which it ran.
        ran_on: Provider that ran it, by our name where it has one.
    """

    ms: float
    work: Work
    ran_on: str


Kernels = Mapping[tuple[str, str], Kernel]
"""By name and kind."""


def kernels_of(events: Sequence[Event], known: Callable[[str, str], FromFile]) -> Kernels:
    """Return each kernel, in the order in which they end.

    Args:
        events: All that a session noted.
        known: Name and kind of a kernel to what the file says of it.
    """
    runs = list(_runs(events))
    # one that stands in a loop, or has no name and stands for all of its kind, runs several times
    taken: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(runs))
    works: dict[tuple[str, str], list[Work]] = defaultdict(list)
    first: dict[tuple[str, str], int] = {}
    ran_on: dict[tuple[str, str], str] = {}
    for place, run in enumerate(runs):
        for event, own_us in zip(run, _own_us(run), strict=True):
            facts, kind = event["args"], str(event["args"]["op_name"])
            key = str(event["name"]).removesuffix(_SUFFIX), kind
            taken[key][place] += own_us / 1e3
            if first.setdefault(key, place) == place:
                works[key].append(work_of(kind, facts, known(*key)))
            provider = str(facts.get("provider", ""))
            ran_on.setdefault(key, _OURS.get(provider, provider))
    return {k: Kernel(median(ms), total(works[k]), ran_on[k]) for k, ms in taken.items()}


def _runs(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Yield the kernels of each run; one that was not noted to its end is left out."""
    run: list[Event] = []
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_SUFFIX):
            run.append(event)
        elif event.get("cat") == "Session" and event["name"] == "model_run":
            yield run
            run = []


def _own_us(run: Sequence[Event]) -> Iterator[float]:
    """Yield the microseconds of each kernel, without those of what ran inside of it.

    The time of an If, a Loop or a Scan holds that of its branch or body. Kernels stand in the order
    in which they ended: what ran inside comes before, and began no earlier.
    """
    before: list[tuple[float, float]] = []
    for event in run:
        start, took = float(event["ts"]), float(event["dur"])
        inside = 0.0
        while before and before[-1][0] >= start:
            inside += before.pop()[1]
        before.append((start, took))
        yield max(took - inside, 0.0)
