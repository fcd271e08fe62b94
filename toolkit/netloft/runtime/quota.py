"""How many cores there are, and how much of the CPUs a container may use at a time."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cores", "cpu_quota"]

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


@functools.cache
def cores(cpus: Path = _CPUS) -> int:
    """Return how many cores the machine has; its CPUs where nothing says which share a core.

    Args:
        cpus: What the kernel says of each CPU.
    """
    siblings = {_text(path) for path in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
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


def _folders(groups: Path, mount: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, each with those around it."""
    for line in _text(groups).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = PurePosixPath(path.lstrip("/"))
        if ".." not in own.parts:
            # within a container its own group is mounted where the host has the outermost
            yield from (mount / controllers / part for part in (own, *own.parents))


def _limit(folder: Path) -> float | None:
    quota, *rest = _text(folder / "cpu.max").split() or ["max"]
    period = rest[0] if rest else ""
    if not period:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal()) or not int(period):
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux, or another version of the groups
        return ""
