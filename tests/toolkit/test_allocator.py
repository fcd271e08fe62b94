"""The C library's thresholds: set and put back, or left alone."""

from __future__ import annotations

import ctypes
import platform

import pytest

from netloft import allocator
from netloft.allocator import large_blocks_kept


class Library:
    """Says what it was asked for."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.most, self.asked = most, list[tuple[int, int]]()

    def mallopt(self, parameter: int, value: int) -> int:
        self.asked.append((parameter, value))
        return int(value <= self.most)

    def malloc_trim(self, pad: int) -> int:
        self.asked.append((0, pad))
        return 1


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    for name in allocator._SETTINGS:
        monkeypatch.delenv(name, raising=False)


def given(library: Library, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    with large_blocks_kept():
        during = list(library.asked)
    assert library.asked[: len(during)] == during
    return library.asked


@pytest.mark.usefixtures("usual")
def test_both_thresholds_are_raised_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mib = 1 << 20
    assert given(Library(), monkeypatch) == [
        (-3, 256 * mib), (-1, 512 * mib), (-3, 32 * mib), (-1, 64 * mib), (0, 0)
    ]  # fmt: skip


@pytest.mark.usefixtures("usual")
def test_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    with pytest.raises(KeyError), large_blocks_kept():
        raise KeyError
    assert library.asked[-1] == (0, 0)


@pytest.mark.usefixtures("usual")
def test_a_refused_threshold_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older glibc takes 32 MiB at most; the other threshold alone would stop its own rule."""
    assert given(Library(most=1 << 25), monkeypatch) == [(-3, 1 << 28)]


@pytest.mark.usefixtures("usual")
def test_who_has_set_it_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "2")
    assert given(Library(), monkeypatch) == []


@pytest.mark.usefixtures("usual")
def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert given(Library(), monkeypatch) == []


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc"
    or [int(part) for part in platform.libc_ver()[1].split(".")[:2]] < [2, 36],
    reason="not run: known of glibc 2.36 and newer",
)
def test_this_library_takes_it() -> None:
    library = ctypes.CDLL(None)
    try:
        assert allocator._set(library, allocator._KEPT)
    finally:
        assert allocator._set(library, allocator._USUAL)
