"""Was the machine quiet while it was measured? What ran beside, and whether it slowed down."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netloft.runtime.quota import Throttled, cpu_quota, throttled, throttled_since

__all__ = ["Conditions", "Watch", "Watches"]

_PROC = Path("/proc")
_STAT = _PROC / "stat"
_STEAL = 7  # place of the host's share among a CPU's times
_IDLE = (3, 4)  # idle, and waiting for a disk

OTHERS = 0.1
"""Share of the CPUs that other programs may take before a machine is not called quiet."""

DRIFT = 0.1
"""How much longer the same loop may take at the end."""

_FEWEST = 20
"""Ticks of a CPU, of a hundredth of a second, below which they say nothing about shares."""


@dataclass(frozen=True)
class Conditions:
    """How the machine was during a measurement.

    Attributes:
        others: Share of this process's CPUs that other programs took; None where the system does
            not say, or it was too short to tell. Under a container's quota it is the share of that
            which the machine cannot have had left: what runs on the CPUs that the quota does not
            need takes nothing away.
        stolen: Share that a virtual machine's host gave to others; None likewise.
        drift: Time of a loop after the measurement over its time before: a processor that is
            throttled, or shared with a new neighbour, makes it rise.
        throttled: How a container's quota held this process back; None where there is none.
    """

    others: float | None
    stolen: float | None
    drift: float
    throttled: Throttled | None = None

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
        if self.throttled is not None and self.throttled.stopped:
            held = self.throttled
            found.append(
                f"the container's quota stopped its threads in {held.stopped} of {held.periods} "
                f"periods, for {held.seconds:.2g} s added up over the CPUs"
            )
        return tuple(found)

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        shares = {
            "others": self.others,
            "stolen": self.stolen,
            "drift": self.drift,
            "throttled_s": self.throttled.seconds if self.throttled else None,
        }
        rounded = {k: None if v is None else round(v, 3) for k, v in shares.items()}
        return {**rounded, "complaints": list(self.complaints)}


@dataclass
class Watch:
    """Notes how the machine is when it is made, and tells how it was since."""

    _loop: float = field(default_factory=lambda: _loop())
    _own: float = field(default_factory=lambda: _own_seconds())
    _all: dict[str, list[int]] = field(default_factory=lambda: _times(_cpus()))
    _throttled: dict[Path, Throttled] = field(default_factory=lambda: throttled())

    def conditions(self) -> Conditions:
        """Return how it was between the making of this and now."""
        own, now = _own_seconds() - self._own, _times(_cpus())
        parts = [
            (sum(times) - sum(before), *(times[i] - before[i] for i in (*_IDLE, _STEAL)))
            for cpu, times in now.items()
            if (before := self._all.get(cpu))
        ]
        ticks = sum(whole for whole, *_ in parts)
        held = throttled_since(self._throttled)
        drift = _loop() / self._loop
        if ticks < _FEWEST * len(parts) or not parts:
            return Conditions(None, None, drift, held)
        stolen = sum(steal for *_, steal in parts)
        busy = ticks - sum(idle + waiting for _, idle, waiting, _ in parts) - stolen
        others = busy - own * os.sysconf("SC_CLK_TCK")
        return Conditions(_short_of(others / ticks, len(parts)), stolen / ticks, drift, held)


def _short_of(others: float, cpus: int) -> float:
    """Return the share of the CPUs that a quota leaves which was not to be had."""
    quota = cpu_quota()
    allowed = cpus if quota is None else min(quota, cpus)
    return max(0.0, cpus * others - (cpus - allowed)) / allowed


@dataclass
class Watches:
    """Tells how the machine was during each of several measurements, and which it was.

    One look at all of them would let pass what lasts as long as one of them and spoils that.
    """

    _first: float = field(default_factory=lambda: _loop())
    _found: list[tuple[str, Conditions]] = field(default_factory=list)

    @contextlib.contextmanager
    def watch(self, what: str) -> Iterator[None]:
        """Watch one measurement.

        Args:
            what: Its name in the complaints.
        """
        watch = Watch()
        yield
        self._found.append((what, watch.conditions()))

    def to_dict(self, more: Sequence[str] = ()) -> dict[str, object]:
        """Return the worst of each field, and all complaints, ready for JSON.

        Args:
            more: Complaints of somebody else.
        """
        each = [one for _, one in self._found]
        others = [one.others for one in each if one.others is not None]
        stolen = [one.stolen for one in each if one.stolen is not None]
        held = [one.throttled for one in each if one.throttled is not None]
        drifts, told = [one.drift for one in each], list(self._found)
        if len(each) != 1:  # a little more in each of them adds up
            drifts.append(_loop() / self._first)
            told.append(("from the first to the last", Conditions(None, None, drifts[-1])))
        worst = Conditions(
            max(others, default=None),
            max(stolen, default=None),
            max(drifts, key=lambda drift: abs(drift - 1)),
            max(held, key=lambda one: one.seconds, default=None),
        )
        complaints = [f"{what}: {why}" for what, one in told for why in one.complaints]
        return {**worst.to_dict(), "complaints": [*complaints, *more]}


def _own_seconds() -> float:
    """Return the CPU time of this process and of all that it started, such as a command."""
    times = os.times()
    ended = times.user + times.system + times.children_user + times.children_system
    return ended + _living_seconds(os.getpid())


def _living_seconds(process: int) -> float:
    """Return the CPU time of the processes that came of one and have not ended."""
    found: dict[int, list[tuple[int, int]]] = {}
    for path in _PROC.glob("[0-9]*/stat"):  # nothing where the system is not Linux
        try:
            words = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile, and what saw it end has its time
            continue
        ticks = sum(map(int, words[11:15]))
        found.setdefault(int(words[1]), []).append((int(path.parent.name), ticks))
    total, left = 0, [process]
    while left:
        for number, ticks in found.get(left.pop(), ()):
            total += ticks
            left.append(number)
    return total / os.sysconf("SC_CLK_TCK") if total else 0.0


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
