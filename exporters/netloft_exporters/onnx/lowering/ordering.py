"""Elements in order of size."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.moves import axis_of, gathered, product
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("topk")
def topk(
    ctx: Context,
    input: ir.Value,
    k: Dim,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
) -> tuple[ir.Value, ir.Value]:
    """torch.topk to TopK: k, axis, largest, sorted."""
    return _ranked(ctx, input, k, dim, largest, int(sorted))


@lowering("sort")
def sort(
    ctx: Context, input: ir.Value, dim: int = -1, descending: bool = False, *, stable: Any = None
) -> tuple[ir.Value, ir.Value]:
    """torch.sort to TopK of all: axis, largest; of equal ones the first comes first."""
    return _ranked(ctx, input, _length(ctx, input, dim), dim, descending)


@lowering("argsort")
def argsort(
    ctx: Context, input: ir.Value, dim: int = -1, descending: bool = False, *, stable: Any = None
) -> ir.Value:
    """torch.argsort to TopK of all: axis, largest."""
    return _ranked(ctx, input, _length(ctx, input, dim), dim, descending)[1]


@lowering("msort")
def msort(ctx: Context, input: ir.Value) -> ir.Value:
    """torch.msort to TopK of all along axis 0."""
    return _ranked(ctx, input, _length(ctx, input, 0), 0, False)[0]


@lowering("kthvalue")
def kthvalue(
    ctx: Context, input: ir.Value, k: Dim, dim: int = -1, keepdim: bool = False
) -> tuple[ir.Value, ir.Value]:
    """torch.kthvalue to TopK of the smallest (k, axis) and Gather of its last."""
    values, indices = _ranked(ctx, input, k, dim, False)
    return _last(ctx, values, dim, keepdim), _last(ctx, indices, dim, keepdim)


@lowering("median")
def median(ctx: Context, input: ir.Value, dim: int | None = None, keepdim: bool = False) -> Any:
    """torch.median, the lower of two, to TopK of the smallest half and Gather of its last."""
    flat = ctx.reshape(input, (product(ctx.shape_of(input)),)) if dim is None else input
    length, axis = _length(ctx, flat, dim or 0), dim or 0
    half = (length + 1) // 2 if isinstance(length, int) else f"({length}+1)//2"
    values, indices = _ranked(ctx, flat, half, axis, False)
    if dim is None:
        return _last(ctx, values, axis, False)
    return _last(ctx, values, axis, keepdim), _last(ctx, indices, axis, keepdim)


def _length(ctx: Context, value: ir.Value, dim: int) -> Dim:
    shape = ctx.shape_of(value)
    return shape[dim] if shape else 1


def _ranked(
    ctx: Context, value: ir.Value, k: Dim, dim: int, largest: bool, sorted: int = 1
) -> tuple[ir.Value, ir.Value]:
    """Return the first `k` values in order, and their indices."""
    info = ctx.info_of(value)
    if not info.shape:
        return value, ctx.constant(0, "int64")
    axis = axis_of(dim, len(info.shape))
    # ONNX Runtime has no kernel for truths
    wide = "uint8" if info.dtype == "bool" else info.dtype
    values, indices = ctx.ops(
        "TopK",
        ctx.cast(value, wide),
        ctx.length(k),
        outputs=2,
        axis=axis,
        largest=int(largest),
        sorted=sorted,
    )
    shape = (*info.shape[:axis], k, *info.shape[axis + 1 :])
    ctx.know(values, TensorInfo(shape, wide))
    return ctx.cast(values, info.dtype), ctx.know(indices, TensorInfo(shape, "int64"))


def _last(ctx: Context, value: ir.Value, dim: int, keepdim: bool) -> ir.Value:
    rank = len(ctx.shape_of(value))
    if not rank:
        return value
    index = ctx.ints([-1]) if keepdim else ctx.constant(-1, "int64")
    return gathered(ctx, value, index, axis_of(dim, rank))
