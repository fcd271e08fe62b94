"""How near a kernel comes to what the machine can do.

The roofline model (Williams, Waterman and Patterson, 2009): a kernel takes at least as long as its
multiply-adds at the processors' peak, and as its bytes at the memory's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from netloft.speed.counting import COUNTS, INT8, MOVES, NOTHING, FromFile, Shape
from netloft.speed.peak import Peak

__all__ = ["BYTES_ALONE", "Limit", "Work", "limit_of", "total", "work_of"]

BYTES_ALONE = "bytes alone"
"""What sets the limit of multiply-adds whose peak was not measured: less than that may be true."""

_FLOAT32 = "float32"
_BYTES = {_FLOAT32: 4, "float64": 8, "float16": 2, "bfloat16": 2, "int8": 1}
_NAMES = {"float": _FLOAT32, "double": "float64"}


@dataclass(frozen=True)
class Work:
    """What a kernel does in one run.

    Attributes:
        macs: Multiply-adds; 0 for what only moves data or has a few operations for each element,
            None where they are not counted.
        bytes: That it reads and writes, weights and all, each once.
        precision: Element type of the factors, such as `float32` or `int8`.
    """

    macs: int | None
    bytes: int
    precision: str = _FLOAT32


class Limit(NamedTuple):
    """The least time that work can take.

    Attributes:
        ms: Milliseconds.
        by: What takes as long: `multiply-adds`, `bytes`, or `BYTES_ALONE`.
    """

    ms: float
    by: str


def work_of(kernel: str, facts: Mapping[str, Any], known: FromFile = NOTHING) -> Work:
    """Return the work of a kernel.

    Args:
        kernel: Its name, such as `Conv`.
        facts: What ONNX Runtime notes of a run: types, shapes and bytes of what it reads and gives.
        known: What the file says of it.
    """
    reads, gives = (
        _tensors(facts.get(key, ())) for key in ("input_type_shape", "output_type_shape")
    )
    keys = "activation_size", "parameter_size", "output_size"
    moved = sum(int(facts.get(key, 0)) for key in keys)
    if kernel not in COUNTS or not reads or not gives:
        return Work(0 if kernel in MOVES else None, moved)
    kind = "int8" if kernel in INT8 else _NAMES.get(gives[0][0], gives[0][0])
    shapes = [shape for _, shape in reads], [shape for _, shape in gives]
    counted = COUNTS[kernel](*shapes, known)
    if counted.macs is None or kind not in _BYTES:
        return Work(None, moved)
    return Work(counted.macs, moved + counted.packed * _BYTES[kind], kind)


def total(works: Sequence[Work]) -> Work:
    """Return the work of several kernels of one kind."""
    macs = [work.macs for work in works if work.macs is not None]
    counted = len(macs) == len(works)
    moved = sum(work.bytes for work in works)
    return Work(sum(macs) if counted else None, moved, works[0].precision if works else _FLOAT32)


def _tensors(found: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[str, Shape]]:
    return [(kind, tuple(shape)) for entry in found for kind, shape in entry.items()]


def limit_of(work: Work, peak: Peak) -> Limit | None:
    """Return the least that work can take; None where it is not counted.

    The peak is that of float32: of other multiply-adds the bytes alone set a limit.
    """
    if work.macs is None:
        return None
    moving = work.bytes / peak.gbs / 1e6
    if work.macs and work.precision != _FLOAT32:
        return Limit(moving, BYTES_ALONE)
    computing = 2 * work.macs / peak.gflops / 1e6
    return Limit(computing, "multiply-adds") if computing > moving else Limit(moving, "bytes")
