"""Memory is put on huge pages where Linux can, and only what a session brought."""

from __future__ import annotations

import ctypes
import errno
import io
import mmap
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from netloft.runtime import huge_pages
from netloft.runtime.huge_pages import HugePages, everything_on_huge_pages, why_no_huge_pages

MIB = 1 << 20

HABIT = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ALWAYS = HABIT.exists() and "[always]" in HABIT.read_text(encoding="ascii")

can = pytest.mark.skipif(bool(why_no_huge_pages()), reason=f"huge pages: {why_no_huge_pages()}")
asked = pytest.mark.skipif(ALWAYS, reason="this system puts all memory on huge pages unasked")


class Block:
    """Memory of 16 MiB, which is no part of a larger one."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, 18 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.map.madvise(mmap.MADV_DONTFORK, MIB, 16 * MIB)  # what lies around it has no such mark
        view = (ctypes.c_char * 1).from_buffer(self.map)
        self.begin = ctypes.addressof(view) + MIB
        del view

    def fill(self, begin: int = 0, end: int = 16 * MIB) -> None:
        self.map[MIB + begin : MIB + end] = bytes([7]) * (end - begin)

    def is_full(self) -> bool:
        return self.map[MIB : 17 * MIB] == bytes([7]) * (16 * MIB)

    def huge(self) -> int:
        """Return the bytes of it that are on huge pages."""
        return sum(huge for begin, end, huge in regions() if begin <= self.begin < end)


def regions() -> Iterator[tuple[int, int, int]]:
    begin = end = 0
    for line in Path("/proc/self/smaps").read_text("utf-8", "replace").splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin, end = (int(found[n], 16) for n in (1, 2))
        elif line.startswith("AnonHugePages:"):
            yield begin, end, int(line.split()[1]) * 1024


@pytest.fixture
def block() -> Iterator[Block]:
    made = Block()
    yield made
    made.map.close()


def run(pages: HugePages, length: int, work: Callable[[], object] = str) -> None:
    """Stand in for a run with inputs of a length."""
    with pages.around({"x": np.ones(length)}):
        work()


@can
@asked
def test_what_it_takes_goes_onto_huge_pages_after_the_second_run(block: Block) -> None:
    """What is taken when it starts, in the first run and in the second."""
    pages, others = HugePages(), list[Block]()
    block.fill()

    def take() -> None:
        others.append(Block())
        others[-1].fill()

    with pages.watching():
        take()
    between = Block()
    between.fill()
    run(pages, 3, take)
    assert [other.huge() for other in others] == [0, 0]
    run(pages, 3, take)
    assert all(other.huge() >= 12 * MIB for other in others)
    assert all(other.is_full() for other in others)
    assert (block.huge(), between.huge()) == (0, 0), "these are not the session's"
    for other in (*others, between):
        other.map.close()


@can
@asked
def test_everything(block: Block) -> None:
    block.fill()
    assert everything_on_huge_pages() == ""
    assert block.huge() >= 12 * MIB
    assert block.is_full()


@can
@asked
def test_what_is_hardly_in_use_takes_no_more_memory(block: Block) -> None:
    """A page in each megabyte of the middle is; the system itself would fill the rest."""
    block.fill(0, 4 * MIB)
    block.fill(12 * MIB)
    for place in range(4 * MIB, 12 * MIB, MIB):
        block.fill(place, place + 1)
    everything_on_huge_pages()
    assert 0 < block.huge() <= 8 * MIB


def test_two_runs_with_the_largest_inputs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "why_no_huge_pages", str)
    monkeypatch.setattr(huge_pages, "_put", put.append)
    pages = HugePages()
    found = []
    for length in (4, 3, 4, 4, 3, 5, 4, 5, 5):
        run(pages, length)
        found.append(len(put))
    assert found == [0, 0, 1, 1, 1, 1, 1, 2, 2]


def test_a_run_that_fails_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "why_no_huge_pages", str)
    monkeypatch.setattr(huge_pages, "_put", put.append)
    pages = HugePages()
    run(pages, 4)
    with pytest.raises(ZeroDivisionError):
        run(pages, 4, lambda: 1 / 0)
    assert put == []
    run(pages, 4)
    assert len(put) == 1


def entries(*pages: int) -> io.BytesIO:
    """Return a `pagemap`; of each page whether it is in memory, and this process's alone."""
    both, shared = 1 << 63 | 1 << 56, 1 << 63
    return io.BytesIO(np.array([(0, shared, both)[page] for page in pages], np.uint64).tobytes())


@pytest.mark.parametrize(
    ("pages", "begin", "end", "used"),
    [
        ((2,) * 12, 0, 12, [(0, 12)]),
        ((2,) * 12, 1, 11, [(4, 8)]),
        ((2,) * 12, 5, 7, []),
        ((2, 0, 2, 0, 2, 0, 0, 0, 2, 2, 0, 2), 0, 12, [(0, 4), (8, 12)]),
        ((2, 2, 2, 2, 1, 1, 1, 2, 0, 0, 2, 2), 0, 12, [(0, 4), (8, 12)]),
        ((2,) * 8, 0, 12, []),
    ],
)
def test_what_is_in_use(
    pages: tuple[int, ...], begin: int, end: int, used: list[tuple[int, int]]
) -> None:
    """Of huge pages that are four usual ones each, those of which half is."""
    page = mmap.PAGESIZE
    found = huge_pages._used(entries(*pages), begin * page, end * page, 4 * page)
    assert [(first // page, last // page) for first, last in found] == used


def test_a_long_range_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    page = mmap.PAGESIZE
    monkeypatch.setattr(huge_pages, "_PIECE", 8 * page)
    found = huge_pages._used(entries(*[2] * 20), 0, 20 * page, 4 * page)
    assert [(a // page, b // page) for a, b in found] == [(0, 8), (8, 16), (16, 20)]


@can
def test_what_cannot_be_read_is_told_and_nothing_else_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(huge_pages, "_PAGEMAP", Path("/absent"))
    assert "/absent" in why_no_huge_pages.__wrapped__()
    assert "/absent" in everything_on_huge_pages()
    pages = HugePages()
    for _ in range(3):
        run(pages, 3)


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ((), ((0, 10), (20, 30))),
        (((0, 10),), ((20, 30),)),
        (((5, 25),), ((0, 5), (25, 30))),
        (((22, 24), (26, 28)), ((0, 10), (20, 22), (24, 26), (28, 30))),
        (((10, 20), (40, 50)), ((0, 10), (20, 30))),
        (((0, 30),), ()),
    ],
)
def test_ranges_without_others(others: huge_pages.Ranges, left: huge_pages.Ranges) -> None:
    assert huge_pages._without(((0, 10), (20, 30)), others) == left


def test_no_huge_pages_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    why = why_no_huge_pages.__wrapped__
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "no huge pages" in why()
    monkeypatch.undo()
    monkeypatch.setattr(huge_pages, "_SIZE", Path("/absent"))
    assert "no huge pages" in why()


@can
def test_a_system_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_COLLAPSE", 9999)  # as one before 6.1 knows it
    assert "EINVAL" in why_no_huge_pages.__wrapped__()
    block = Block()
    block.fill()
    assert "stay on small pages: EINVAL" in everything_on_huge_pages()
    block.map.close()
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "why_no_huge_pages", lambda: "refused")
    monkeypatch.setattr(huge_pages, "_put", put.append)
    pages = HugePages()
    for _ in range(3):
        run(pages, 3)
    assert everything_on_huge_pages() == "refused"
    assert put == []


@can
@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_system_that_could_not_just_now_can(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(huge_pages, "_collapsed", lambda *_: number)
    assert why_no_huge_pages.__wrapped__() == ""


@can
def test_pages_that_no_network_fills_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_huge", lambda: 512 * MIB)
    assert "512 MiB" in why_no_huge_pages.__wrapped__()
