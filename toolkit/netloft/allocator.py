"""The C library's allocator, which gives large blocks back at once and gets them anew by the page.

A convolution in float64 takes some 100 MB for a moment. glibc asks the system for each such block,
and the system clears it page by page: a fifth of the time of a proof.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

__all__ = ["large_blocks_kept"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""

_MIB = 1 << 20
_KEPT = {_MMAP_THRESHOLD: 256 * _MIB, _TRIM_THRESHOLD: 512 * _MIB}
_USUAL = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB}
"""Where glibc itself ends up in a process that has used large blocks: it raises both by itself."""


@contextlib.contextmanager
def large_blocks_kept() -> Iterator[None]:
    """Keep up to 512 MiB that were freed for the next use; elsewhere than on glibc, do nothing.

    Not for what is measured: its users have the allocator as it is.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if library is None:
        yield
        return
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)
