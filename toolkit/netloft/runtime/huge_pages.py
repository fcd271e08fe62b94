"""Memory on huge pages: the processor finds it with fewer looks, and two sessions lie alike.

Linux gives memory in pages of 4 KiB, and a processor remembers where some thousand of them lie. A
network that reads more than that looks most of them up again in every run, and how long that takes
is a matter of where its pages happen to lie. From version 6.1 on Linux puts memory that is in use
onto huge pages at once where it is asked to (`madvise(2)`, MADV_COLLAPSE).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import mmap
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

__all__ = ["HugePages", "everything_on_huge_pages", "why_no_huge_pages"]

_COLLAPSE = 25
"""MADV_COLLAPSE."""

_MAPS, _PAGEMAP = Path("/proc/self/maps"), Path("/proc/self/pagemap")
_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")

# begin, end, what may be done with it, and that it is no file's: its own memory, that may be
# written and is not shared
_OWN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ [0-9a-f:]+ 0 *(\[heap\]|\[anon.*)?")

_IN_USE = np.uint64(1 << 63)
"""Of a page's entry in `pagemap`: it is in memory."""

Ranges = tuple[tuple[int, int], ...]
"""Begin and end of memory, in bytes; in order."""

_log = logging.getLogger(__name__)


@functools.cache
def why_no_huge_pages() -> str:
    """Return why memory cannot be put on huge pages here; empty where it can be."""
    if not sys.platform.startswith("linux") or not _SIZE.exists() or not _PAGEMAP.exists():
        return "the system has no huge pages, or does not say so"
    size = _huge()
    with mmap.mmap(-1, 2 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        own.write(bytes(2 * size))
        view = (ctypes.c_char * 1).from_buffer(own)
        begin = -(-ctypes.addressof(view) // size) * size
        del view  # or it could not be closed
        failed = _collapsed(begin, begin + size)
    return f"the system does not put memory on them when asked: {failed}" if failed else ""


class HugePages:
    """Puts what a session has in memory on huge pages, once it has run.

    What is there when this is made stays as it is.
    """

    def __init__(self) -> None:
        self._before, self._most = _own_memory(), -1

    def after(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        """Do so after a run whose inputs were larger than those of all runs before.

        Args:
            feeds: The inputs: with larger ones a session takes more memory.
        """
        size = sum(array.nbytes for array in feeds.values())
        if size > self._most and not why_no_huge_pages():
            self._most = size
            _put(_without(_own_memory(), self._before))


def everything_on_huge_pages() -> None:
    """Put all of this process's own memory on huge pages, where the system can."""
    if not why_no_huge_pages():
        _put(_own_memory())


def _huge() -> int:
    return int(_SIZE.read_text(encoding="ascii"))


def _own_memory() -> Ranges:
    """Return what of memory is this process's alone; nothing where the system does not say."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = filter(None, map(_OWN.fullmatch, lines))
    return tuple((int(own[1], 16), int(own[2], 16)) for own in found)


def _without(ranges: Ranges, others: Ranges) -> Ranges:
    """Return ranges less the parts that lie in others."""
    left = list(ranges)
    for begin, end in others:
        cut = [((a, min(b, begin)), (max(a, end), b)) for a, b in left]
        left = [(a, b) for parts in cut for a, b in parts if a < b]
    return tuple(left)


def _put(ranges: Iterable[tuple[int, int]]) -> None:
    """Put memory on huge pages as far as each of them is in use by half at least."""
    size = _huge()
    with _PAGEMAP.open("rb", buffering=0) as pagemap:
        used = [part for each in ranges for part in _used(pagemap, *each, size)]
    for begin, end in used:
        failed = _collapsed(begin, end)
        if failed:  # it stays as it is, and as right as it was
            _log.debug("%d MiB stay on small pages: %s", (end - begin) >> 20, failed)


def _used(pagemap: IO[bytes], begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Return the parts of a range, in whole huge pages, of which half is in memory at least.

    The system refuses a part as a whole if nothing of one huge page is.
    """
    begin, end = -(-begin // size) * size, end // size * size
    if begin >= end:
        return
    page = mmap.PAGESIZE
    pagemap.seek(begin // page * 8)
    entries = np.frombuffer(pagemap.read((end - begin) // page * 8), np.uint64)
    if entries.size != (end - begin) // page:  # it went meanwhile
        return
    in_memory = (entries & _IN_USE != 0).reshape(-1, size // page).mean(1) >= 0.5
    edges = np.flatnonzero(np.diff(np.concatenate(([False], in_memory, [False]))))
    for first, last in edges.reshape(-1, 2).tolist():
        yield begin + first * size, begin + last * size


def _collapsed(begin: int, end: int) -> str:
    """Put memory on huge pages; return why the system did not, empty where it did."""
    length = ctypes.c_size_t(end - begin)
    if _library().madvise(ctypes.c_void_p(begin), length, ctypes.c_int(_COLLAPSE)) == 0:
        return ""
    number = ctypes.get_errno()
    return f"{errno.errorcode.get(number, number)}, {os.strerror(number)}"


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
