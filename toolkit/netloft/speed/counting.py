"""Multiply-adds of a kernel, from the shapes of what it reads and gives.

ONNX Runtime packs the weights of many kernels when a session starts, and notes no shape of them
afterwards: those are told from the result, or from the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["COUNTS", "INT8", "MOVES", "NOTHING", "Counted", "FromFile", "Shape"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FromFile:
    """What a file itself says of a kernel.

    Attributes:
        weight: Shape of a convolution's weight; empty where it is not known.
        equation: An Einsum's.
    """

    weight: Shape = ()
    equation: str = ""


NOTHING = FromFile()


class Counted(NamedTuple):
    """What a kernel has to do.

    Attributes:
        macs: Multiply-adds; None where the shapes do not say it.
        packed: Elements of weights that were packed before, and are not among what it reads.
    """

    macs: int | None
    packed: int = 0


_Count = Callable[[Sequence[Shape], Sequence[Shape], FromFile], Counted]
"""Shapes of what a kernel reads and gives, and what the file says, to what it has to do."""

_UNKNOWN = Counted(None)


def _weight(reads: Sequence[Shape], out: Shape, known: FromFile) -> tuple[Shape, int]:
    """Return the shape of a convolution's weight, and its elements where they were packed."""
    noted = next((shape for shape in reads[1:] if len(shape) == len(out) != 0), ())
    if noted and noted != out:  # which would be a sum that was fused
        return noted, 0
    return known.weight, math.prod(known.weight) if known.weight else 0


def _convolution(reads: Sequence[Shape], gives: Sequence[Shape], known: FromFile) -> Counted:
    weight, packed = _weight(reads, gives[0], known)
    return Counted(math.prod(gives[0]) * math.prod(weight[1:]), packed) if weight else _UNKNOWN


def _transposed(reads: Sequence[Shape], gives: Sequence[Shape], known: FromFile) -> Counted:
    weight, packed = _weight(reads, gives[0], known)
    return Counted(math.prod(reads[0]) * math.prod(weight[1:]), packed) if weight else _UNKNOWN


def _product(reads: Sequence[Shape], gives: Sequence[Shape], _: FromFile) -> Counted:
    """Count a product of matrices; one that was packed before is no operand."""
    first, out = reads[0], gives[0]
    second = next((shape for shape in reads[1:] if len(shape) > 1), None)
    rows, columns = math.prod(out[:-1]), out[-1] if out else 0
    if not rows or not columns or len(first) < 2:
        return _UNKNOWN
    # turned or not: the size of an operand, without the axis that the result has of it
    if second is not None and len(second) > 2 and math.prod(first[:-2]) != math.prod(out[:-2]):
        return _UNKNOWN  # one of them is repeated
    if second is not None and len(second) == 2:
        depth, rest = divmod(math.prod(second), columns)
        rest = rest or int(depth not in first)  # a bias, and not the matrix
    else:
        depth, rest = divmod(math.prod(first), rows)
    packed = 0 if second is not None else depth * columns
    return Counted(None if rest else math.prod(out) * depth, packed)


def _einsum(reads: Sequence[Shape], gives: Sequence[Shape], known: FromFile) -> Counted:
    """Count every combination of the letters once; of three operands the order is not known."""
    terms = known.equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(reads) or len(terms) > 2:
        return _UNKNOWN
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, reads, strict=True):
        before, dots, after = term.partition("...")
        more = len(shape) - len(before) - len(after)
        if more < 0 or (more and not dots):
            return _UNKNOWN
        letters = [*before, *(f"...{i}" for i in range(more, 0, -1)), *after]
        for letter, length in zip(letters, shape, strict=True):
            lengths[letter] = max(lengths.get(letter, 1), length)
    return Counted(math.prod(lengths.values()) if len(terms) == 2 else 0)


def _recurrent(gates: int) -> _Count:
    def count(reads: Sequence[Shape], gives: Sequence[Shape], _: FromFile) -> Counted:
        if len(reads[0]) != 3 or len(gives[0]) not in (3, 4):
            return _UNKNOWN
        (steps, batch, wide), out = reads[0], gives[0]  # all steps, or the state after the last
        ways, hidden = out[1] if len(out) == 4 else out[0], out[-1]
        weights = ways * gates * hidden * (wide + hidden)
        noted = sum(math.prod(s) for s in reads[1:] if len(s) == 3 and s[1] == gates * hidden)
        return Counted(steps * batch * weights, max(weights - noted, 0))

    return count


def _attention(reads: Sequence[Shape], gives: Sequence[Shape], _: FromFile) -> Counted:
    """Count both products: of queries with keys, and of that with values; a mask spares none."""
    query, out = reads[0], gives[0]
    if len(reads) >= 3 and len(reads[1]) in (3, 4) and len(query) in (3, 4):
        reach = gives[1][-2] if len(gives) > 1 and len(gives[1]) > 2 else reads[1][-2]
        return Counted((math.prod(query) + math.prod(out)) * reach)
    if len(query) != 3 or len(out) != 3 or len(gives) > 1 or any(len(s) > 2 for s in reads[1:]):
        return _UNKNOWN
    # ONNX Runtime's own: the three projections are in it
    (batch, steps, wide), hidden = query, out[-1]
    packed = 0 if any(len(shape) == 2 for shape in reads[1:2]) else wide * 3 * hidden
    return Counted(batch * steps * hidden * (3 * wide + 2 * steps), packed)


COUNTS: Mapping[str, _Count] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv"), _convolution),
    **dict.fromkeys(("QLinearConv", "ConvInteger"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("Gemm", "MatMul", "FusedMatMul", "FusedGemm", "TransposeMatMul"), _product),
    **dict.fromkeys(("QGemm", "QLinearMatMul", "MatMulInteger"), _product),
    **dict.fromkeys(("MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _product),
    "Einsum": _einsum,
    **dict.fromkeys(("LSTM", "DynamicQuantizeLSTM"), _recurrent(4)),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
    **dict.fromkeys(("Attention", "MultiHeadAttention"), _attention),
}
"""Kernel to what counts its multiply-adds."""

INT8 = frozenset(
    """
    ConvInteger DynamicQuantizeLSTM DynamicQuantizeMatMul MatMulInteger MatMulIntegerToFloat QGemm
    QLinearConv QLinearMatMul
    """.split()  # noqa: SIM905 - as below
)
"""Those whose factors are bytes, whatever they give."""

MOVES = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization BiasGelu Cast CastLike Ceil Clip
    Compress Concat ConstantOfShape Cos CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Expand FastGelu Flatten Floor Gather GatherElements
    GatherND Gelu GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNorm
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization Max MaxPool MemcpyFromHost
    MemcpyToHost Min Mish Mod Mul Neg NhwcMaxPool NonZero Not OneHot Or PRelu Pad Pow
    QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu
    RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu ReorderInput ReorderOutput Reshape Resize Round ScatterElements
    ScatterND Selu Shape Sigmoid Sign SimplifiedLayerNormalization Sin SkipLayerNormalization
    SkipSimplifiedLayerNormalization Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze
    Sub Sum Swish Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
    """.split()  # noqa: SIM905 - a hundred quoted names would hide the list
)
"""What has a few operations for each element that it reads: its bytes are what takes time."""
