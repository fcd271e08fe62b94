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

_FLOAT_BYTES = 4
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv"}
_PRODUCTS = {"Gemm", "MatMul", "FusedMatMul", "FusedGemm", "TransposeMatMul"}
_MOVES = """
    Abs Add And AveragePool BatchNormalization BiasGelu Cast Ceil Clip Concat ConstantOfShape Cos
    DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand FastGelu Flatten Floor Gather
    GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNorm
    HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax LpNormalization Max MaxPool MemcpyFromHost MemcpyToHost Min Mod Mul
    Neg Not OneHot Or PRelu Pad Pow QuantizeLinear QuickGelu Range Reciprocal ReduceL1 ReduceL2
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu ReorderInput ReorderOutput Reshape
    Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin SkipLayerNormalization Slice
    Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh ThresholdedRelu
    Tile TopK Transpose Trilu Unsqueeze Where Xor
""".split()  # noqa: SIM905 - a hundred quoted names would hide the list
"""What has a few operations for each element that it reads: its bytes are what takes time."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """What a kernel does in one run.

    Attributes:
        macs: Multiply-adds in float32; 0 for what only moves data or has a few operations for each
            element, None where they are not counted: the peak of other types is another one.
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
        return Work(0 if kernel in _MOVES else None, moved)
    (kind, out), operands = gives[0], [shape for _, shape in reads]
    if kind == "float" and kernel in _CONVOLUTIONS:
        weight = next((shape for shape in operands[1:] if len(shape) == len(out)), None)
        return Work(None if weight is None else math.prod(out) * math.prod(weight[1:]), moved)
    if kind == "float" and kernel in _PRODUCTS:
        return _product(operands, out, moved)
    return Work(0 if kernel in _MOVES else None, moved)


def _product(operands: Sequence[Shape], out: Shape, moved: int) -> Work:
    """Return the work of a product of matrices; one that was packed before is no operand."""
    first = operands[0]
    second = next((shape for shape in operands[1:] if len(shape) > 1), None)
    rows, columns = math.prod(out[:-1]), out[-1] if out else 0
    if not rows or not columns or len(first) < 2:
        return Work(None, moved)
    # turned or not: the size of an operand, without the axis that the result has of it
    if second is not None and len(second) > 2 and math.prod(first[:-2]) != math.prod(out[:-2]):
        return Work(None, moved)  # one of them is repeated
    if second is not None and len(second) == 2:
        depth, rest = divmod(math.prod(second), columns)
        rest = rest or int(depth not in first)  # a bias, and not the matrix
    else:
        depth, rest = divmod(math.prod(first), rows)
    packed = 0 if second is not None else depth * columns * _FLOAT_BYTES
    return Work(None if rest else math.prod(out) * depth, moved + packed)


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
