"""The C library's allocator, which gives large blocks back at once and gets them anew by the page.

A convolution in float64 takes some 100 MB for a moment. glibc asks the system for each such block,
and the system clears it page by page: a fifth of the time of a proof.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator

__all__ = ["large_blocks_kept"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""

_MIB = 1 << 20
_KEPT = 256 * _MIB, 512 * _MIB
_USUAL = 32 * _MIB, 64 * _MIB
"""Where glibc's own rule, which stops at the first call, ends up in a process with large blocks."""

_SETTINGS = {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
"""Environment variables by which others set the same."""


@contextlib.contextmanager
def large_blocks_kept() -> Iterator[None]:
    """Keep blocks of up to 256 MiB that are freed for the next use, and give them back at the end.

    Where there is no glibc, one that does not take so much, or somebody who has set it by an
    environment variable, nothing is done.
    """
    library = ctypes.CDLL(None) if _may_be_set() else None
    if library is None or not _set(library, _KEPT):
        yield
        return
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _may_be_set() -> bool:
    return platform.libc_ver()[0] == "glibc" and os.environ.keys().isdisjoint(_SETTINGS)


def _set(library: ctypes.CDLL, thresholds: tuple[int, int]) -> bool:
    """Set both, or none where the first is refused; tell which."""
    mapped, trimmed = thresholds
    done = library.mallopt(_MMAP_THRESHOLD, mapped) and library.mallopt(_TRIM_THRESHOLD, trimmed)
    return bool(done)
