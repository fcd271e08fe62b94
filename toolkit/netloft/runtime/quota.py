"""How many cores there are, how much of the CPUs a container may use, and when it had no more."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Throttled", "cores", "cpu_quota", "kernel_text", "throttled", "throttled_since"]

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Throttled:
    """How a quota held a control group back.

    Attributes:
        periods: Of the quota, such as tenths of a second, in which the group ran.
        stopped: Those of them in which it stood still, because it had had its share.
        seconds: That it stood still, added up over the CPUs.
    """

    periods: int
    stopped: int
    seconds: float


@functools.cache
def cores(cpus: Path = _CPUS) -> int:
    """Return how many cores the machine has; its CPUs where nothing says which share a core.

    Args:
        cpus: What the kernel says of each CPU.
    """
    siblings = {kernel_text(path) for path in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(siblings - {""}) or os.cpu_count() or 1


def cpu_quota(groups: Path = _GROUPS, mount: Path = _MOUNT) -> float | None:
    """Return the CPUs that this process's control groups leave it; None where none has a limit.

    A container started with `--cpus=2` sees every CPU of its host, and stands still for the rest of
    each tenth of a second once its threads have had two CPUs' worth of it.

    Source: the Linux kernel's cgroup-v2.rst, `cpu.max`, and for version 1 sched-bwc.rst.

    Args:
        groups: What the kernel says of this process.
        mount: Where the groups are.
    """
    found = [limit for folder in _folders(groups, mount) if (limit := _limit(folder)) is not None]
    return min(found, default=None)


def throttled(groups: Path = _GROUPS, mount: Path = _MOUNT) -> dict[Path, Throttled]:
    """Return how each of this process's control groups was held back since it was made.

    Source: the Linux kernel's cgroup-v2.rst, `cpu.stat`, and for version 1 sched-bwc.rst, where
    the time is `throttled_time` in nanoseconds.

    Args:
        groups: What the kernel says of this process.
        mount: Where the groups are.
    """
    found = {folder: _throttled(folder) for folder in _folders(groups, mount)}
    return {folder: one for folder, one in found.items() if one is not None}


def throttled_since(
    before: Mapping[Path, Throttled], groups: Path = _GROUPS, mount: Path = _MOUNT
) -> Throttled | None:
    """Return how the group was held back that was so the longest; None where nobody says.

    Args:
        before: Of `throttled`.
        groups: What the kernel says of this process.
        mount: Where the groups are.
    """
    now = throttled(groups, mount)
    grown = [
        Throttled(
            one.periods - then.periods, one.stopped - then.stopped, one.seconds - then.seconds
        )
        for folder, one in now.items() if (then := before.get(folder)) is not None
    ]  # fmt: skip
    return max(grown, key=lambda one: (one.seconds, one.stopped), default=None)


def _throttled(folder: Path) -> Throttled | None:
    words = [line.split() for line in kernel_text(folder / "cpu.stat").splitlines()]
    known = {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}
    if "nr_throttled" not in known:  # the outermost group of version 2 has no quota
        return None
    seconds = known.get("throttled_usec", 0) / 1e6 + known.get("throttled_time", 0) / 1e9
    return Throttled(known.get("nr_periods", 0), known["nr_throttled"], seconds)


def _folders(groups: Path, mount: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, each with those around it."""
    for line in kernel_text(groups).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = PurePosixPath(path.lstrip("/"))
        if ".." not in own.parts:
            # within a container its own group is mounted where the host has the outermost
            yield from (mount / controllers / part for part in (own, *own.parents))


def _limit(folder: Path) -> float | None:
    quota, *rest = kernel_text(folder / "cpu.max").split() or ["max"]
    period = rest[0] if rest else ""
    if not period:
        quota = kernel_text(folder / "cpu.cfs_quota_us")
        period = kernel_text(folder / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal()) or not int(period):
        return None
    return int(quota) / int(period)


def kernel_text(path: Path) -> str:
    """Return what the kernel says in a file; empty where it does not.

    Args:
        path: Such as one of a control group.
    """
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not Linux, another version of the groups, or hidden in a container
        return ""
