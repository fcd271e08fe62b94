"""The most that this machine's processors can do: measured, and not taken from a data sheet.

A large matrix product is no measure of it: on AMD's processors MKL reaches two fifths. Here a loop
of fused multiply-adds that stay in registers is compiled for this very processor, and another that
reads and writes more than the caches hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from netloft.errors import MissingError
from netloft.speed.caches import cache_bytes, free_bytes

__all__ = ["Peak", "array_bytes", "check_peak", "measure_peak"]

# Independent sums, so that no multiply-add waits for the one before: latency 4 and two units need
# eight. The factor keeps them finite, and the compiler cannot know it.
_SOURCE = r"""
#include <stddef.h>
typedef float lanes __attribute__((vector_size(WIDTH)));
#define SUMS 12

float multiply_add(long times, float factor) {
  lanes x = {0}, sums[SUMS];
  x += factor;
  for (int i = 0; i < SUMS; i++) sums[i] = x * (float)i;
  for (long t = 0; t < times; t++)
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * x + x;
  for (int i = 1; i < SUMS; i++) sums[0] += sums[i];
  return sums[0][0];
}

void triad(float *restrict a, const float *restrict b, const float *restrict c, size_t n, float s) {
  for (size_t i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}

int lanes_in_a_register(void) { return WIDTH / sizeof(float); }
"""
_SUMS = 12

_ARRAY_BYTES = 1 << 26
"""Of an array, three for each thread, where the caches are small and the threads few."""

_LEAST_BYTES, _MOST_BYTES = 1 << 30, 1 << 33
"""Of all arrays together: with many threads, and with large caches."""

_CACHES = 4
"""How many times what the last caches hold all arrays have together."""

_BURSTS = 8
_BURST_S = 0.03


@dataclass(frozen=True)
class Peak:
    """What the processors reach together.

    Attributes:
        threads: How many worked.
        gflops: 10^9 floating-point operations in float32 per second; a multiply-add is two.
        gbs: 10^9 bytes per second from and to memory, in a[i] = b[i] + s c[i], as the STREAM
            benchmark counts them: two reads and a write.
    """

    threads: int
    gflops: float
    gbs: float

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def measure_peak(threads: int) -> Peak:
    """Measure with some threads at once; the best of several bursts counts.

    Args:
        threads: That work at the same time.

    Raises:
        MissingError: There is no C compiler, it cannot compile this, or the result cannot be run.
    """
    with _told(), _library() as library:
        return _measured(library, threads)


def check_peak() -> None:
    """Check that the peak can be measured here, before minutes of anything else.

    Raises:
        MissingError: As of `measure_peak`.
    """
    with _told(), _library():
        pass


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError) as error:
        raise MissingError(
            f"the peak of this machine cannot be measured: {error or 'no memory'}",
            remedy="set TMPDIR to a folder from which programs may run, or use fewer --threads",
        ) from error


@contextlib.contextmanager
def _library() -> Iterator[ctypes.CDLL]:
    """Give the loops, compiled and loaded."""
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        library = ctypes.CDLL(str(_compiled(Path(folder))))
        library.multiply_add.argtypes = [ctypes.c_long, ctypes.c_float]
        library.multiply_add.restype = ctypes.c_float
        library.triad.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t, ctypes.c_float]
        library.triad.restype = None
        yield library


def _measured(library: ctypes.CDLL, threads: int) -> Peak:
    with ThreadPoolExecutor(threads) as pool:
        flops = _flops(library, pool, threads)
        rate = _bytes(library, pool, threads)
    return Peak(threads, round(flops / 1e9, 1), round(rate / 1e9, 2))


def _flops(library: ctypes.CDLL, pool: ThreadPoolExecutor, threads: int) -> float:
    each = 2 * _SUMS * int(library.lanes_in_a_register())

    def burn(times: int) -> None:
        library.multiply_add(times, 0.5)

    times = 1 << 16
    while (taken := _seconds(pool, 1, functools.partial(burn, times))) < _BURST_S:
        times = int(times * max(2, 1.2 * _BURST_S / max(taken, 1e-6)))
    work = functools.partial(burn, times)
    best = min(_seconds(pool, threads, work) for _ in range(_BURSTS))
    return each * times * threads / best


def _bytes(library: ctypes.CDLL, pool: ThreadPoolExecutor, threads: int) -> float:
    n = array_bytes(threads, cache_bytes(), free_bytes()) // 4
    arrays = [[(ctypes.c_float * n)() for _ in range(3)] for _ in range(threads)]
    left = iter(arrays * (_BURSTS + 1))

    def once() -> None:
        a, b, c = next(left)
        library.triad(a, b, c, n, 3.0)

    _seconds(pool, threads, once)  # the first one brings the pages
    best = min(_seconds(pool, threads, once) for _ in range(_BURSTS))
    return 3.0 * 4 * n * threads / best


def array_bytes(threads: int, cached: int, free: int | None) -> int:
    """Return the bytes of each array that is read or written to measure the memory.

    All of them together are four times what the caches hold, so that nothing is read from these,
    and no more than half of the memory that is free: there the rate may be that of the caches.

    Args:
        threads: That have three arrays each.
        cached: Bytes that the last caches hold together; 0 where that is not known.
        free: Bytes of memory; None where that is not known.
    """
    wanted = max(min(3 * threads * _ARRAY_BYTES, _LEAST_BYTES), _CACHES * cached)
    allowed = min(_MOST_BYTES, _MOST_BYTES if free is None else free // 2)
    return max(min(wanted, allowed) // (3 * threads), 1 << 12)


def _seconds(pool: ThreadPoolExecutor, threads: int, work: Callable[[], object]) -> float:
    """Return how long it takes until every thread has done the work once."""
    start = time.perf_counter()
    for done in [pool.submit(work) for _ in range(threads)]:
        done.result()
    return time.perf_counter() - start


def _compiled(folder: Path) -> Path:
    """Compile for this processor; vectors are as wide as its registers."""
    compiler = _c_compiler()
    source, library = folder / "peak.c", folder / "peak.so"
    source.write_text(_SOURCE, encoding="ascii")
    command = [
        compiler, "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared",
        "-fPIC", f"-DWIDTH={_register_bytes(compiler)}", "-o", str(library), str(source),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        why = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[0]
        raise MissingError(
            f"{compiler} cannot compile the loop that measures the peak: {why}",
            remedy="set CC to GCC or Clang",
        )
    return library


def _register_bytes(compiler: str) -> int:
    asked = [compiler, "-march=native", "-dM", "-E", "-x", "c", os.devnull]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    known = {"__AVX512F__": 64, "__AVX__": 32}
    return next((size for name, size in known.items() if name in ended.stdout), 16)


def _c_compiler() -> str:
    names = [name for name in (os.environ.get("CC", ""), "gcc", "clang", "cc") if name]
    found = next(filter(None, map(shutil.which, names)), "")
    if not found or sys.platform == "win32":
        raise MissingError(
            "the peak of this machine needs a C compiler, and none is on PATH",
            remedy="install gcc or clang, or set CC",
        )
    return found
