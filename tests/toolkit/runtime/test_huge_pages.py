"""Memory is put on huge pages where Linux can, and only what a session brought."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from netloft.runtime import huge_pages
from netloft.runtime.huge_pages import HugePages, everything_on_huge_pages, why_no_huge_pages

MIB = 1 << 20
HUGE = 2 * MIB

can = pytest.mark.skipif(bool(why_no_huge_pages()), reason=f"huge pages: {why_no_huge_pages()}")


class Block:
    """Memory of 16 MiB on small pages."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        view = (ctypes.c_char * 1).from_buffer(self.map)
        self.begin = ctypes.addressof(view)
        del view

    def fill(self, begin: int = 0, end: int = 16 * MIB) -> None:
        self.map[begin:end] = bytes([7]) * (end - begin)

    def huge(self) -> int:
        """Return the bytes of it that are on huge pages."""
        return sum(huge for begin, end, huge in regions() if begin < self.begin + MIB < end)


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


@can
def test_what_came_since_is_put_on_huge_pages(block: Block) -> None:
    before = block.huge()
    pages = HugePages()
    other = Block()
    other.fill()
    pages.after({"x": np.ones(3)})
    assert other.huge() - before >= 12 * MIB
    assert other.map[:] == bytes([7]) * (16 * MIB)
    other.map.close()


@can
def test_what_was_there_stays_as_it_is(block: Block) -> None:
    block.fill()
    before = block.huge()
    HugePages().after({})
    assert block.huge() == before


@can
def test_everything(block: Block) -> None:
    block.fill()
    everything_on_huge_pages()
    assert block.huge() >= 12 * MIB
    assert block.map[:] == bytes([7]) * (16 * MIB)


@can
def test_what_is_not_in_use_takes_no_more_memory(block: Block) -> None:
    """The middle was never touched: the system would refuse the whole, or fill it."""
    block.fill(0, 4 * MIB)
    block.fill(12 * MIB)
    everything_on_huge_pages()
    assert 0 < block.huge() <= 8 * MIB


@can
def test_only_larger_inputs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "_put", put.append)
    pages = HugePages()
    for length in (0, 4, 4, 3, 5):
        pages.after({"x": np.ones(length)})
    assert len(put) == 3


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
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "why_no_huge_pages", lambda: "refused")
    monkeypatch.setattr(huge_pages, "_put", put.append)
    HugePages().after({"x": np.ones(3)})
    everything_on_huge_pages()
    assert put == []
