"""Memory on huge pages: the processor finds it with fewer looks, and two sessions lie more alike.

Linux gives memory in pages of 4 KiB, and a processor remembers where some thousand of them lie. A
network that reads more than that looks most of them up again in every run, and how long that takes
is a matter of where its pages happen to lie. From version 6.1 on Linux puts memory that is in use
onto huge pages at once where it is asked to (`madvise(2)`, MADV_COLLAPSE).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import logging
import mmap
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["HugePages", "everything_on_huge_pages", "settled", "why_no_huge_pages"]

_COLLAPSE = 25
"""MADV_COLLAPSE."""

_MAPS, _PAGEMAP = Path("/proc/self/maps"), Path("/proc/self/pagemap")
_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")

# begin, end, what may be done with it, and that it is no file's: its own memory, that may be
# written and is not shared
_OWN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ [0-9a-f:]+ 0 *(\[heap\]|\[anon.*)?")

_IN_USE = np.uint64(1 << 63 | 1 << 56)
"""Of a page's entry in `pagemap`: it is in memory, and no other process has it too."""

_MIB = 1 << 20
_LARGEST = 32 * _MIB
"""Of a huge page: 2 MiB is usual, and some systems have 512, which a network does not fill."""

_PIECE = 1 << 30
"""Bytes of memory whose entries are read at once."""

_BUSY = (errno.EAGAIN, errno.EBUSY, errno.ENOMEM)
"""The system does it, and could not just now."""

_RUNS = 2
"""ONNX Runtime takes the memory of its second run with one shape in one piece, as it learnt in the
first how much that is."""

Ranges = tuple[tuple[int, int], ...]
"""Begin and end of memory, in bytes; in order, and apart."""

_log = logging.getLogger(__name__)


@functools.cache
def why_no_huge_pages() -> str:
    """Return why memory cannot be put on huge pages here; empty where it can be."""
    if not sys.platform.startswith("linux") or not _SIZE.exists():
        return "the system has no huge pages, or does not say so"
    try:
        size = _huge()
        if size > _LARGEST:
            return f"they have {size // _MIB} MiB each"
        with _PAGEMAP.open("rb", buffering=0) as pagemap:
            pagemap.read(8)
        failed = _probed(size)
    except (OSError, ValueError) as error:
        return f"the system does not say what is in memory: {error}"
    if failed in (0, *_BUSY):
        return ""
    return f"the system does not put memory on them when asked: {_word(failed)}"


class HugePages:
    """Puts what a session takes of memory on huge pages, once it has run.

    What others have stays as it is, but for what they take while the session starts or has one of
    the runs that count.

    Args:
        wanted: Whether it does; else nothing is looked at.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self._wanted = wanted and not why_no_huge_pages()
        self._taken, self._most, self._left = Ranges(), -1, 0

    def watching(self) -> AbstractContextManager[None]:
        """Note what is taken meanwhile: the session starts."""
        return self._noting() if self._wanted else contextlib.nullcontext()

    def around(self, feeds: Mapping[str, npt.NDArray[Any]]) -> AbstractContextManager[None]:
        """Note what a run takes; after the second with the largest inputs so far, move it all.

        Args:
            feeds: The inputs: with larger ones a session takes more memory.
        """
        if not self._wanted:
            return contextlib.nullcontext()
        size = sum(array.nbytes for array in feeds.values())
        if size > self._most:
            self._most, self._left = size, _RUNS
        counts = size == self._most and self._left > 0
        return self._counted() if counts else contextlib.nullcontext()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        before = _own_memory()
        yield
        self._taken = (*self._taken, *_without(_own_memory(), before))

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._noting():
            yield
        self._left -= 1
        if self._left == 0:
            taken, self._taken = self._taken, ()
            _put(taken)


def settled(
    pages: HugePages, session: ort.InferenceSession, feeds: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Run a session until its memory is on huge pages.

    Args:
        pages: Watched it start.
        session: On the CPU.
        feeds: Inputs by the file's names.
    """
    for _ in range(_RUNS):
        with pages.around(feeds):
            session.run(None, dict(feeds))


def everything_on_huge_pages() -> str:
    """Put all of this process's own memory on huge pages; return what stays, and why."""
    return why_no_huge_pages() or _put(_own_memory())


def _huge() -> int:
    return int(_SIZE.read_text(encoding="ascii"))


def _probed(size: int) -> int:
    """Try it with a page; return the number of what failed."""
    with mmap.mmap(-1, 2 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        view = (ctypes.c_char * 1).from_buffer(own)
        first = ctypes.addressof(view)
        begin = -(-first // size) * size
        del view  # or it could not be closed
        own[begin - first] = 1
        return _collapsed(begin, begin + size)


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
    left, place = list[tuple[int, int]](), 0
    for begin, end in ranges:
        while place < len(others) and others[place][1] <= begin:
            place += 1
        for first, last in others[place:]:
            if first >= end:
                break
            if begin < first:
                left.append((begin, first))
            begin = max(begin, last)
        if begin < end:
            left.append((begin, end))
    return tuple(left)


def _put(ranges: Iterable[tuple[int, int]]) -> str:
    """Put memory on huge pages, each of which is in use by half; return what stays, and why."""
    asked, stays, why = 0, 0, ""
    try:
        size = _huge()
        with _PAGEMAP.open("rb", buffering=0) as pagemap:
            used = [part for each in ranges for part in _used(pagemap, *each, size)]
        for begin, end in used:
            failed = _collapsed(begin, end)
            asked += end - begin
            if failed:  # it is as right as it was
                stays, why = stays + end - begin, _word(failed)
    except (OSError, MemoryError, ValueError) as error:
        stays, why = max(stays, 1), str(error)
    told = f"up to {-(-stays // _MIB)} MiB of {asked // _MIB} stay on small pages: {why}"
    _log.debug("%s", told if why else f"{asked // _MIB} MiB are on huge pages")
    return told if why else ""


def _used(pagemap: IO[bytes], begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Return the parts of a range, in whole huge pages, of which half is in memory at least.

    Where nothing of one is, the system goes no further with what it was asked to move.
    """
    begin, end = -(-begin // size) * size, end // size * size
    for first in range(begin, end, _PIECE):
        last = min(end, first + _PIECE)
        count = (last - first) // mmap.PAGESIZE
        pagemap.seek(first // mmap.PAGESIZE * 8)
        entries = np.frombuffer(pagemap.read(count * 8), np.uint64)
        if entries.size != count:
            return
        pages = (entries & _IN_USE == _IN_USE).reshape(-1, size // mmap.PAGESIZE)
        moved = np.concatenate(([False], pages.mean(1) >= 0.5, [False]))
        for start, stop in np.flatnonzero(np.diff(moved)).reshape(-1, 2).tolist():
            yield first + start * size, first + stop * size


def _collapsed(begin: int, end: int) -> int:
    """Put memory on huge pages; return the number of what failed, and 0 for nothing."""
    length = ctypes.c_size_t(end - begin)
    if _library().madvise(ctypes.c_void_p(begin), length, ctypes.c_int(_COLLAPSE)) == 0:
        return 0
    return ctypes.get_errno()


def _word(number: int) -> str:
    return f"{errno.errorcode.get(number, number)}, {os.strerror(number)}"


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
