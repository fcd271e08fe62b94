"""How much the caches of the processors hold, and how much memory is free."""

from __future__ import annotations

import os
from pathlib import Path

from netloft.runtime.quota import kernel_text

__all__ = ["cache_bytes", "free_bytes"]

_CPUS = Path("/sys/devices/system/cpu")
_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def cache_bytes(cpus: Path = _CPUS) -> int:
    """Return the bytes that the last caches of this process's CPUs hold together.

    A virtual machine may see all of its host's, of which it has a part. 0 where nothing says it.

    Args:
        cpus: What the kernel says of each CPU.
    """
    known = hasattr(os, "sched_getaffinity")
    own = os.sched_getaffinity(0) if known else range(os.cpu_count() or 1)
    found: dict[tuple[str, str], int] = {}
    for cpu in own:
        levels = {kernel_text(p / "level"): p for p in cpus.glob(f"cpu{cpu}/cache/index*")}
        if last := max(filter(str.isdigit, levels), key=int, default=""):
            place = levels[last]
            found[last, kernel_text(place / "shared_cpu_list")] = _size(kernel_text(place / "size"))
    return sum(found.values())


def free_bytes(memory: Path = _MEMORY, group: Path = _GROUP) -> int | None:
    """Return the bytes that a program may take now; None where nothing says it.

    Args:
        memory: What the kernel says of all memory.
        group: The control group of a container, which may allow less.
    """
    rows = dict(row.partition(":")[::2] for row in kernel_text(memory).splitlines())
    number = rows.get("MemAvailable", "").split()
    left = [int(number[0]) << 10] if number and number[0].isdigit() else []
    most, used = (kernel_text(group / f"memory.{name}") for name in ("max", "current"))
    if most.isdigit() and used.isdigit():
        left.append(max(int(most) - int(used), 0))
    return min(left, default=None)


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30}
    number = text[:-1] if text[-1:] in units else text
    return int(number) << units.get(text[-1:], 0) if number.isdigit() else 0
