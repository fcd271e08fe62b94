"""Tensors made of numbers, whose sizes may follow the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import expanded, filled
from netloft_exporters.onnx.lowering.registry import lowering

# What memory holds that nothing was written to is not defined: zeros are right too.
_NUMBERS = {"zeros": 0, "empty": 0, "ones": 1}


@lowering(*_NUMBERS, *(f"new_{name}" for name in _NUMBERS))
def zeros(ctx: Context, *_: Any, **__: Any) -> ir.Value:
    """torch.zeros, ones, empty, Tensor.new_zeros and the like to a constant or ConstantOfShape."""
    number = _NUMBERS[ctx.record.op.removeprefix("new_")]
    return filled(ctx, number, ctx.result.shape, ctx.result.dtype)


@lowering(*(f"{name}_like" for name in _NUMBERS))
def zeros_like(ctx: Context, input: ir.Value, **_: Any) -> ir.Value:
    """torch.zeros_like, ones_like and empty_like to a constant or Expand."""
    return _alike(ctx, _NUMBERS[ctx.record.op.removesuffix("_like")], input)


@lowering("full_like", "fill")
def full_like(ctx: Context, input: ir.Value, fill_value: Any = None, **named: Any) -> ir.Value:
    """torch.full_like and fill to a constant or Expand."""
    return _alike(ctx, named.get("value", fill_value), input)


@lowering("full", "new_full")
def full(ctx: Context, *args: Any, fill_value: Any = None, **_: Any) -> ir.Value:
    """torch.full and Tensor.new_full to a constant or Expand."""
    number = args[-1] if fill_value is None else fill_value
    return expanded(ctx, ctx.operands(number)[0], ctx.result.shape)


def _alike(ctx: Context, number: Any, input: ir.Value) -> ir.Value:
    """Return one number in the shape of a value, which need not be taken apart for it."""
    (value,) = ctx.operands(number)
    if all(isinstance(dim, int) for dim in ctx.result.shape):
        return expanded(ctx, value, ctx.result.shape)
    return ctx.op("Expand", value, ctx.op("Shape", input))


@lowering("tensor", "new_tensor", "as_tensor")
def tensor(ctx: Context, *args: Any, data: Any = None, **_: Any) -> ir.Value:
    """torch.tensor and Tensor.new_tensor to a constant; sizes that follow the batch to Concat."""
    content = args[-1] if data is None else data
    if isinstance(content, ir.Value | str):
        return ctx.operands(content)[0]
    flat = np.asarray(content, dtype=object).ravel().tolist()
    if not any(isinstance(item, str) for item in flat):
        return ctx.constant(content, ctx.result.dtype)
    if not all(isinstance(item, str | int) for item in flat):
        raise Unsupported("a tensor of computed values")
    found = ctx.know(ctx.dims(flat), TensorInfo((len(flat),), "int64"))
    return ctx.cast(ctx.reshape(found, ctx.result.shape), ctx.result.dtype)


@lowering("arange")
def arange(ctx: Context, *args: Any, **named: Any) -> ir.Value:
    """torch.arange to a constant, or to Range where its limits follow the batch."""
    given = dict(zip(["end"] if len(args) == 1 else ["start", "end", "step"], args, strict=False))
    given |= {name: value for name, value in named.items() if name in ("start", "end", "step")}
    start, end, step = (given.get(*pair) for pair in (("start", 0), ("end", 0), ("step", 1)))
    if not any(isinstance(number, str) for number in (start, end, step)):
        dtype = getattr(torch, ctx.result.dtype)
        return ctx.constant(torch.arange(start, end, step, dtype=dtype).numpy(), ctx.result.dtype)
    if any(isinstance(number, float) for number in (start, end, step)):
        return _steps(ctx, start, step)
    info = TensorInfo(ctx.result.shape, "int64")
    made = ctx.op("Range", *(ctx.scalar(number) for number in (start, end, step)))
    return ctx.cast(ctx.know(made, info), ctx.result.dtype)


def _steps(ctx: Context, start: float | str, step: float | str) -> ir.Value:
    """Count in whole numbers and scale them: ONNX Runtime's Range of floats adds up roundings."""
    count, info = ctx.scalar(ctx.result.shape[0]), TensorInfo(ctx.result.shape, "float64")
    whole = ctx.op("Range", ctx.scalar(0), count, ctx.scalar(1))
    number = ctx.cast(ctx.know(whole, TensorInfo(info.shape, "int64")), "float64")
    first, factor = (
        ctx.scalar(n, "float64") if isinstance(n, str) else ctx.constant(n, "float64")
        for n in (start, step)
    )
    made = ctx.op("Add", ctx.op("Mul", number, factor), first)
    return ctx.cast(ctx.know(made, info), ctx.result.dtype)


@lowering("linspace")
def linspace(ctx: Context, start: Any, end: Any, steps: Any, **_: Any) -> ir.Value:
    """torch.linspace to a constant."""
    if not all(isinstance(number, int | float) for number in (start, end, steps)):
        raise Unsupported("linspace between numbers that are computed")
    dtype = getattr(torch, ctx.result.dtype)
    return ctx.constant(torch.linspace(start, end, steps, dtype=dtype).numpy(), ctx.result.dtype)


@lowering("eye")
def eye(ctx: Context, n: Dim, m: Dim | None = None, **_: Any) -> ir.Value:
    """torch.eye to a constant, or to Equal of two Ranges where its sizes follow the batch."""
    rows, columns = ctx.result.shape
    if isinstance(rows, int) and isinstance(columns, int):
        return ctx.constant(np.eye(rows, columns), ctx.result.dtype)
    numbers = [
        ctx.know(
            ctx.op("Range", ctx.scalar(0), ctx.scalar(size), ctx.scalar(1)),
            TensorInfo((size,), "int64"),
        )
        for size in (rows, columns)
    ]
    made = ctx.op("Equal", ctx.reshape(numbers[0], (rows, 1)), numbers[1])
    return ctx.cast(ctx.know(made, TensorInfo((rows, columns), "bool")), ctx.result.dtype)
