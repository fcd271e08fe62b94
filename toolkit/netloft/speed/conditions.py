"""Was the machine quiet while it was measured? What ran beside, and whether it slowed down."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Conditions", "Watch"]

_STAT = Path("/proc/stat")
_STEAL = 7  # place of the host's share among a CPU's times
_IDLE = (3, 4)  # idle, and waiting for a disk

OTHERS = 0.1
"""Share of the CPUs that other programs may take before a machine is not called quiet."""

DRIFT = 0.1
"""How much longer the same loop may take at the end."""


@dataclass(frozen=True)
class Conditions:
    """How the machine was during a measurement.

    Attributes:
        others: Share of this process's CPUs that other programs took; None where the system does
            not say.
        stolen: Share that a virtual machine's host gave to others; None likewise.
        drift: Time of a loop after the measurement over its time before: a processor that is
            throttled, or shared with a new neighbour, makes it rise.
    """

    others: float | None
    stolen: float | None
    drift: float

    @property
    def complaints(self) -> tuple[str, ...]:
        """What was not quiet; nothing where all was."""
        found = []
        if self.others is not None and self.others > OTHERS:
            found.append(f"other programs took {self.others:.0%} of the CPUs")
        if self.stolen is not None and self.stolen > OTHERS:
            found.append(f"the host gave {self.stolen:.0%} of the CPUs to other machines")
        if abs(self.drift - 1) > DRIFT:
            slower = "slower" if self.drift > 1 else "faster"
            found.append(f"the processor was {abs(self.drift - 1):.0%} {slower} at the end")
        return tuple(found)

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        shares = {"others": self.others, "stolen": self.stolen}
        rounded = {k: None if v is None else round(v, 3) for k, v in shares.items()}
        return {**rounded, "drift": round(self.drift, 3), "complaints": list(self.complaints)}


@dataclass
class Watch:
    """Notes how the machine is when it is made, and tells how it was since."""

    _loop: float = field(default_factory=lambda: _loop())
    _own: float = field(default_factory=lambda: _own_seconds())
    _all: dict[str, list[int]] = field(default_factory=lambda: _times(_cpus()))

    def conditions(self) -> Conditions:
        """Return how it was between the making of this and now."""
        own, now = _own_seconds() - self._own, _times(_cpus())
        parts = [
            (sum(times) - sum(before), *(times[i] - before[i] for i in (*_IDLE, _STEAL)))
            for cpu, times in now.items()
            if (before := self._all.get(cpu))
        ]
        ticks = sum(whole for whole, *_ in parts)
        drift = _loop() / self._loop
        if not ticks:
            return Conditions(None, None, drift)
        stolen = sum(steal for *_, steal in parts)
        busy = ticks - sum(idle + waiting for _, idle, waiting, _ in parts) - stolen
        others = busy - own * os.sysconf("SC_CLK_TCK")
        return Conditions(max(0.0, others / ticks), stolen / ticks, drift)


def _own_seconds() -> float:
    """Return the CPU time of this process and of what it started and saw end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _cpus() -> set[str]:
    known = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return {f"cpu{number}" for number in known}


def _times(cpus: set[str]) -> dict[str, list[int]]:
    """Return the ticks of each CPU by what it did; nothing where the system does not say."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux, or hidden
        return {}
    rows = (line.split() for line in lines if line)
    return {name: list(map(int, times[:8])) for name, *times in rows if name in cpus}


def _loop() -> float:
    """Return the seconds of a loop that touches nothing but the processor; the best of several."""
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        sum(range(100_000))
        best = min(best, time.perf_counter() - start)
    return best
