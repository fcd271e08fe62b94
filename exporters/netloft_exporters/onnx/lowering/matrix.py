"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.arithmetic import scaled, swapped
from netloft_exporters.onnx.lowering.context import Context, Unsupported, dtype_of
from netloft_exporters.onnx.lowering.moves import axis_of, broadcast_shape, permuted, product
from netloft_exporters.onnx.lowering.reduction import reduced
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["affine", "multiplied"]


def multiplied(ctx: Context, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return the matrix product of two values of one element type."""
    dtype = ctx.info_of(a).dtype
    if dtype not in ("int8", "uint8", "int16"):
        return ctx.op("MatMul", a, b)
    # ONNX Runtime has no kernel; what the wider sum carries over is cut off again
    wide = ctx.op("MatMul", ctx.cast(a, "int32"), ctx.cast(b, "int32"))
    return ctx.op("Cast", wide, to=dtype_of(dtype))


# products and a bias


@lowering("linear")
def linear(
    ctx: Context, input: ir.Value, weight: ir.Value, bias: ir.Value | None = None
) -> ir.Value:
    """torch.nn.functional.linear to Gemm (transB) on two axes, else to MatMul and Add."""
    shape = ctx.shape_of(input)
    if len(ctx.shape_of(weight)) == 1:
        made = multiplied(ctx, input, weight)
        return made if bias is None else ctx.op("Add", made, bias)
    if len(shape) == 2 and ctx.info_of(input).dtype.startswith("float"):
        return ctx.op("Gemm", input, weight, bias, transB=1)
    if shape[-1] == 0:
        raise Unsupported("linear of no features, which ONNX Runtime fuses wrongly")
    return affine(ctx, input, ctx.transposed(weight), bias)


def affine(ctx: Context, value: ir.Value, matrix: ir.Value, bias: ir.Value | None) -> ir.Value:
    """Return a value times a matrix of inputs by outputs, and a bias."""
    made = multiplied(ctx, value, matrix)
    made = made if bias is None else ctx.op("Add", made, bias)
    shape = (*ctx.shape_of(value)[:-1], ctx.shape_of(matrix)[-1])
    return ctx.know(made, TensorInfo(shape, ctx.info_of(value).dtype))


@lowering("bilinear")
def bilinear(
    ctx: Context,
    input1: ir.Value,
    input2: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None = None,
) -> ir.Value:
    """torch.nn.functional.bilinear to two MatMuls: by the weight, and of both inputs."""
    outputs, first, second = ctx.fixed(ctx.shape_of(weight))
    lead, dtype = ctx.shape_of(input1)[:-1], ctx.result.dtype
    tensor = weight.const_value
    if tensor is None:
        table = ctx.reshape(permuted(ctx, weight, [1, 0, 2]), (first, outputs * second))
    else:
        table = ctx.derived(
            ("by input", id(weight)),
            f"{weight.name}_by_input",
            lambda: tensor.numpy().transpose(1, 0, 2).reshape(first, -1),
            TensorInfo((first, outputs * second), dtype),
        )
    rows = ctx.reshape(affine(ctx, input1, table, None), (*lead, outputs, second))
    made = ctx.op("MatMul", rows, ctx.reshape(input2, (*lead, second, 1)))
    made = ctx.reshape(ctx.know(made, TensorInfo((*lead, outputs, 1), dtype)), ctx.result.shape)
    return made if bias is None else ctx.op("Add", made, bias)


# products of two


@lowering("matmul", "bmm", "mm", "mv", "dot", "vdot", "linalg_matmul")
def matmul(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.matmul, bmm, mm, mv and dot to MatMul."""
    return multiplied(ctx, *ctx.operands(input, other))


swapped("rmatmul", matmul)


@lowering("outer", "ger")
def outer(ctx: Context, input: ir.Value, vec2: ir.Value) -> ir.Value:
    """torch.outer to Mul of a column and a row."""
    column, row = ctx.operands(input, vec2)
    return ctx.op("Mul", ctx.reshape(column, (*ctx.shape_of(column), 1)), row)


@lowering("linalg_vecdot")
def vecdot(ctx: Context, x: ir.Value, y: ir.Value, *, dim: int = -1) -> ir.Value:
    """torch.linalg.vecdot to Mul and ReduceSum: axes."""
    shape = broadcast_shape([ctx.shape_of(x), ctx.shape_of(y)])
    made = ctx.op("Mul", *ctx.operands(x, y))
    ctx.know(made, TensorInfo(shape, ctx.result.dtype))
    return reduced(ctx, "ReduceSum", made, [axis_of(dim, len(shape))], False)


@lowering("inner")
def inner(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.inner to MatMul over the last axes; by a number to Mul."""
    if not ctx.shape_of(input) or not ctx.shape_of(other):
        return ctx.op("Mul", *ctx.operands(input, other))
    return tensordot(ctx, input, other, ([-1], [-1]))


@lowering("tensordot")
def tensordot(ctx: Context, a: ir.Value, b: ir.Value, dims: Any = 2, **_: Any) -> ir.Value:
    """torch.tensordot to Transposes, Reshapes to matrices, MatMul and Reshape."""
    ranks = len(ctx.shape_of(a)), len(ctx.shape_of(b))
    if isinstance(dims, int):
        dims = (range(ranks[0] - dims, ranks[0]), range(dims))
    if isinstance(dims, ir.Value):
        raise Unsupported("tensordot over axes that are a tensor")
    over_a, over_b = ([axis_of(d, n) for d in given] for given, n in zip(dims, ranks, strict=True))
    lengths = zip(over_a, over_b, strict=True)
    if any(ctx.shape_of(a)[i] != ctx.shape_of(b)[j] for i, j in lengths):
        raise Unsupported("tensordot over an axis of one and one of more")
    left, right = (
        [axis for axis in range(n) if axis not in over]
        for over, n in zip((over_a, over_b), ranks, strict=True)
    )
    first, second = permuted(ctx, a, [*left, *over_a]), permuted(ctx, b, [*over_b, *right])
    rows = ctx.reshape(first, _halves(ctx.shape_of(first), len(left)))
    columns = ctx.reshape(second, _halves(ctx.shape_of(second), len(over_b)))
    made = ctx.know(
        multiplied(ctx, rows, columns),
        TensorInfo((ctx.shape_of(rows)[0], ctx.shape_of(columns)[1]), ctx.result.dtype),
    )
    return ctx.reshape(made, ctx.result.shape)


def _halves(shape: Sequence[Dim], axes: int) -> tuple[Dim, Dim]:
    return product(shape[:axes]), product(shape[axes:])


@lowering("kron")
def kron(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.kron to Mul, with each axis of both beside the other's, and Reshape."""
    rank = len(ctx.result.shape)
    a, b = ctx.operands(input, other)
    of_a, of_b = ((1,) * (rank - len(ctx.shape_of(v))) + ctx.shape_of(v) for v in (a, b))
    pairs = list(zip(of_a, of_b, strict=True))
    first = ctx.reshape(a, [dim for n, _ in pairs for dim in (n, 1)])
    second = ctx.reshape(b, [dim for _, n in pairs for dim in (1, n)])
    shape = tuple(dim for pair in pairs for dim in pair)
    made = ctx.know(ctx.op("Mul", first, second), TensorInfo(shape, ctx.result.dtype))
    return ctx.reshape(made, ctx.result.shape)


# products of many


@lowering("linalg_multi_dot", "chain_matmul")
def multi_dot(ctx: Context, *tensors: Any) -> ir.Value:
    """torch.linalg.multi_dot to MatMuls, from left to right."""
    given: Sequence[ir.Value] = tensors[0] if isinstance(tensors[0], list | tuple) else tensors
    made = given[0]
    for value in given[1:]:
        made = ctx.op("MatMul", made, value)
    return made


@lowering("linalg_matrix_power", "matrix_power")
def matrix_power(ctx: Context, A: ir.Value, n: int) -> ir.Value:  # noqa: N803 - torch's name
    """torch.linalg.matrix_power to MatMuls, by squaring."""
    if n < 1:
        raise Unsupported("an inverse of a matrix, or its power of 0")
    bits = f"{n:b}"[1:]
    made = A
    for bit in bits:
        made = ctx.op("MatMul", made, made)
        made = ctx.op("MatMul", made, A) if bit == "1" else made
    return made


# products added to something


@lowering("addmm")
def addmm(
    ctx: Context, input: ir.Value, mat1: ir.Value, mat2: ir.Value, *, beta: Any = 1, alpha: Any = 1
) -> ir.Value:
    """torch.addmm to Gemm: alpha, beta; of integers to MatMul and Add."""
    # ONNX Runtime forgets `beta` where there is nothing to add up
    if not ctx.result.dtype.startswith("float") or ctx.shape_of(mat1)[1] == 0:
        return _added(ctx, input, multiplied(ctx, mat1, mat2), beta, alpha)
    bias = None if beta == 0 else input
    return ctx.op("Gemm", mat1, mat2, bias, alpha=float(alpha), beta=float(beta))


@lowering("addmv", "baddbmm")
def addmv(
    ctx: Context, input: ir.Value, first: ir.Value, second: ir.Value, **factors: Any
) -> ir.Value:
    """torch.addmv and baddbmm to MatMul, Mul by `alpha` and `beta`, and Add."""
    return _added(ctx, input, multiplied(ctx, first, second), **factors)


@lowering("addbmm")
def addbmm(
    ctx: Context, input: ir.Value, batch1: ir.Value, batch2: ir.Value, **factors: Any
) -> ir.Value:
    """torch.addbmm to MatMul, ReduceSum over the batch, Mul by `alpha` and `beta`, and Add."""
    made = multiplied(ctx, batch1, batch2)
    shape = (ctx.shape_of(batch1)[0], *ctx.result.shape)
    made = ctx.know(made, TensorInfo(shape, ctx.result.dtype))
    return _added(ctx, input, reduced(ctx, "ReduceSum", made, [0], False), **factors)


@lowering("addr")
def addr(ctx: Context, input: ir.Value, vec1: ir.Value, vec2: ir.Value, **factors: Any) -> ir.Value:
    """torch.addr to Mul of a column and a row, Mul by `alpha` and `beta`, and Add."""
    return _added(ctx, input, outer(ctx, vec1, vec2), **factors)


def _added(
    ctx: Context, input: ir.Value, made: ir.Value, beta: Any = 1, alpha: Any = 1
) -> ir.Value:
    made = scaled(ctx, made, alpha)
    # with 0, torch does not read it: NaN in it does not count
    return made if beta == 0 else ctx.op("Add", scaled(ctx, ctx.as_result(input), beta), made)
