"""How near a kernel comes to what the machine can do.

The roofline model (Williams, Waterman and Patterson, 2009): a kernel takes at least as long as its
multiply-adds at the processors' peak, and as its bytes at the memory's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netloft.speed.peak import Peak

__all__ = ["Work", "limit_ms", "total", "work_of"]

_BYTES = {
    "float": 4, "double": 8, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "int32": 4,
    "int64": 8, "bool": 1,
}  # fmt: skip
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv"}
_PRODUCTS = {"Gemm", "MatMul", "FusedMatMul", "FusedGemm", "TransposeMatMul"}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """What a kernel does in one run.

    Attributes:
        macs: Multiply-adds in float32; 0 for what only moves data or has a few operations for each
            element, None where they are not counted: for whole numbers of 8 bits the peak is
            another one.
        bytes: That it reads and writes, weights and all, each once.
    """

    macs: int | None
    bytes: int


def work_of(kernel: str, facts: Mapping[str, Any]) -> Work:
    """Return the work of a kernel.

    Args:
        kernel: Its name, such as `Conv`.
        facts: What ONNX Runtime notes of a run: types, shapes and bytes of what it reads and gives.
    """
    reads, gives = (
        _tensors(facts.get(key, ())) for key in ("input_type_shape", "output_type_shape")
    )
    keys = "activation_size", "parameter_size", "output_size"
    moved = sum(int(facts.get(key, 0)) for key in keys)
    if not reads or not gives:
        return Work(0, moved)
    (kind, out), (_, first) = gives[0], reads[0]
    if kernel in _CONVOLUTIONS:
        weight = next((s for _, s in reads[1:] if len(s) == len(out)), None)
        return Work(None if weight is None else math.prod(out) * math.prod(weight[1:]), moved)
    if kernel in _PRODUCTS and first and out:
        if all(len(shape) < 2 for _, shape in reads[1:]):  # packed before, and no operand any more
            moved += first[-1] * out[-1] * _BYTES.get(kind, 4)
        return Work(math.prod(out) * first[-1], moved)
    return Work(None if "Q" in kernel or "Integer" in kernel else 0, moved)


def total(works: Sequence[Work]) -> Work:
    """Return the work of several kernels."""
    macs = [work.macs for work in works if work.macs is not None]
    counted = len(macs) == len(works)
    return Work(sum(macs) if counted else None, sum(work.bytes for work in works))


def _tensors(found: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[str, Shape]]:
    return [(kind, tuple(shape)) for entry in found for kind, shape in entry.items()]


def limit_ms(work: Work, peak: Peak) -> float | None:
    """Return the least milliseconds that work can take; None where it is not counted."""
    if work.macs is None:
        return None
    return max(2 * work.macs / peak.gflops, work.bytes / peak.gbs) / 1e6
