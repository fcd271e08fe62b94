"""Pooling to a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.pooling import MAX_TYPES, max_with_indices
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import FLOATS, batched, need, unbatched

__all__ = ["adaptive_mean", "by_matrices"]

Matrix = npt.NDArray[np.float64]

SMALL_MAP = 1024
"""Elements of a map whose mean GlobalAveragePool gives within some roundings of float32."""


@lowering("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(
    ctx: Context, input: ir.Value, output_size: int | Sequence[int | None]
) -> ir.Value:
    """torch.nn.functional.adaptive_avg_pool to GlobalAveragePool, AveragePool or MatMul.

    GlobalAveragePool (of small maps) or ReduceMean where one element is left, AveragePool where all
    windows are alike, and else a product with a constant matrix for each axis.
    """
    return adaptive_mean(ctx, input, int(ctx.record.op[-2]))


def adaptive_mean(ctx: Context, input: ir.Value, n: int) -> ir.Value:
    """Return means over the last `n` axes, as many as the result has."""
    changed = _changed(ctx, input, n)
    if not changed:
        return input
    wanted = ctx.results[0].shape
    if all(wanted[axis] == 1 for axis in changed):
        if len(changed) == len(wanted) - 2 and ctx.result.dtype in FLOATS and _is_small(ctx, input):
            return ctx.op("GlobalAveragePool", input)  # keeps the blocked layout of a convolution
        return ctx.op("ReduceMean", input, ctx.ints(changed), keepdims=1)
    even = _even(ctx, input, n)
    if even is not None and ctx.result.dtype in FLOATS:
        kernel, stride = even
        value = batched(ctx, input, n + 2)
        made = ctx.op("AveragePool", value, kernel_shape=kernel, strides=stride)
        return unbatched(ctx, made, input, n + 2)
    given = ctx.shape_of(input)
    sizes = {axis: ctx.fixed([given[axis], wanted[axis]]) for axis in changed}
    return by_matrices(ctx, input, {a: _mean_matrix(*size) for a, size in sizes.items()})


def _is_small(ctx: Context, input: ir.Value) -> bool:
    """Tell whether a plain sum of a map is near enough to its mean.

    On the CPU, ONNX Runtime's GlobalAveragePool adds up one by one: it is off by 2e-6 at 56 x 56
    and by 1e-5 at 300 x 300, where ReduceMean is off by 2e-7 and 1e-6, and PyTorch by 1e-7.
    """
    lengths = ctx.shape_of(input)[2:]
    known = [length for length in lengths if isinstance(length, int)]
    return len(known) == len(lengths) and math.prod(known) <= SMALL_MAP


def _changed(ctx: Context, input: ir.Value, n: int) -> list[int]:
    """Return which of the last axes get another length, counted from the end."""
    given, wanted = ctx.shape_of(input), ctx.results[0].shape
    return [axis for axis in range(-n, 0) if given[axis] != wanted[axis]]


def _bounds(size: int, out: int) -> list[tuple[int, int]]:
    """Return begin and end of each window, as torch has them."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _even(ctx: Context, input: ir.Value, n: int) -> tuple[list[int], list[int]] | None:
    """Return kernel and stride where windows of one length lie at one distance on every axis."""
    given, wanted = ctx.shape_of(input)[-n:], ctx.results[0].shape[-n:]
    found = [_even_axis(size, out) for size, out in zip(given, wanted, strict=True)]
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < n:
        return None
    return [kernel for kernel, _ in pairs], [stride for _, stride in pairs]


def _even_axis(size: Dim, out: Dim) -> tuple[int, int] | None:
    if size == out:
        return 1, 1
    if not isinstance(size, int) or not isinstance(out, int):
        return None
    bounds = _bounds(size, out)
    kernels = {end - begin for begin, end in bounds}
    strides = {b[0] - a[0] for a, b in pairwise(bounds)} or {1}
    if len(kernels) > 1 or len(strides) > 1 or 0 in strides:
        return None
    return kernels.pop(), strides.pop()


def _mean_matrix(size: int, out: int) -> Matrix:
    matrix = np.zeros((size, out))
    for i, (begin, end) in enumerate(_bounds(size, out)):
        matrix[begin:end, i] = 1 / (end - begin)
    return matrix


def by_matrices(ctx: Context, input: ir.Value, matrices: dict[int, Matrix]) -> ir.Value:
    """Multiply axes with constant matrices.

    Args:
        ctx: The graph under construction.
        input: What to multiply.
        matrices: `(given, wanted)` by axis, counted from the end.
    """
    dtype = ctx.info_of(input).dtype
    if 0 in ctx.shape_of(input):
        raise Unsupported(f"{ctx.record.op} of nothing")
    for axis, matrix in matrices.items():
        shape = list(ctx.shape_of(input))
        shape[axis] = matrix.shape[1]
        if axis == -1:
            made = ctx.op("MatMul", input, ctx.constant(matrix, dtype))
        else:
            rows = ctx.constant(matrix.T, dtype)
            inner = ctx.fixed(shape[axis + 1 :])
            flat = [*ctx.shape_of(input)[: axis + 1 or None], int(np.prod(inner))]
            value = ctx.reshape(input, flat)
            made = ctx.op("MatMul", rows, value)
            ctx.know(made, TensorInfo((*flat[:-2], matrix.shape[1], flat[-1]), dtype))
            made = ctx.reshape(made, shape)
        input = ctx.know(made, TensorInfo(tuple(shape), dtype))
    return input


@lowering("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(
    ctx: Context,
    input: ir.Value,
    output_size: int | Sequence[int | None],
    return_indices: bool = False,
) -> ir.Value | tuple[ir.Value, ir.Value]:
    """torch.nn.functional.adaptive_max_pool to ReduceMax, MaxPool, or Gather and ReduceMax.

    MaxPool where all windows are alike; else each axis is gathered window by window, the shorter
    ones filled up with an element that they have already.
    """
    n = int(ctx.record.op[-2])
    need(ctx, input, MAX_TYPES)
    even = _even(ctx, input, n)
    if even is not None:
        attributes = {"kernel_shape": even[0], "strides": even[1]}
        if return_indices:
            return max_with_indices(ctx, input, attributes, n)
        made = ctx.op("MaxPool", batched(ctx, input, n + 2), **attributes)
        return unbatched(ctx, made, input, n + 2)
    if return_indices:
        return _uneven_with_indices(ctx, input, n)
    changed = _changed(ctx, input, n)
    wanted = ctx.result.shape
    if all(wanted[axis] == 1 for axis in changed):
        return ctx.op("ReduceMax", input, ctx.ints(changed), keepdims=1)
    given = ctx.shape_of(input)
    for axis in changed:
        table = _window_table(*ctx.fixed([given[axis], wanted[axis]]))
        gathered = ctx.op("Gather", input, ctx.constant(table, "int64"), axis=axis)
        input = ctx.op("ReduceMax", gathered, ctx.ints([axis]), keepdims=0)
    return input


def _window_table(size: int, out: int) -> npt.NDArray[np.int64]:
    """Return the elements of each window; a short one has its first again."""
    bounds = _bounds(size, out)
    longest = max(end - begin for begin, end in bounds)
    steps = np.arange(longest)
    return np.stack([np.where(steps < end - b, b + steps, b) for b, end in bounds])


def _uneven_with_indices(ctx: Context, input: ir.Value, n: int) -> tuple[ir.Value, ir.Value]:
    """Gather every window of the flat plane, in torch's order: the first of equal maxima wins."""
    shape, out = ctx.shape_of(input), ctx.results[0].shape
    given, wanted = ctx.fixed(shape[-n:]), ctx.fixed(out[-n:])
    table = np.zeros((1, 1), np.int64)
    for size, length in zip(given, wanted, strict=True):
        axis = _window_table(size, length)
        table = table[:, None, :, None] * size + axis[None, :, None, :]
        table = table.reshape(table.shape[0] * length, -1)
    flat = ctx.reshape(input, [*shape[:-n], int(np.prod(given))])
    gathered = ctx.op("Gather", flat, ctx.constant(table, "int64"), axis=-1)
    values = ctx.op("ReduceMax", gathered, ctx.ints([-1]), keepdims=0)
    found = ctx.op("ArgMax", gathered, axis=-1, keepdims=0)
    first = ctx.constant(np.arange(len(table)) * table.shape[1], "int64")
    places = ctx.op("Gather", ctx.constant(table.reshape(-1), "int64"), ctx.op("Add", found, first))
    for part, info in zip((values, places), ctx.results, strict=True):
        ctx.know(part, TensorInfo((*out[:-n], len(table)), info.dtype))
    return ctx.reshape(values, out), ctx.reshape(places, out)
