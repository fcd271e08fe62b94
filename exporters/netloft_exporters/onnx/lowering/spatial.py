"""What convolution, pooling, padding and resampling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported

__all__ = ["FLOATS", "Lengths", "batched", "need", "tuple_of", "unbatched"]

Lengths = int | Sequence[int]

FLOATS = ("float32", "float16")
"""Element types that ONNX Runtime's CPU kernels of convolution and pooling take."""


def tuple_of(value: Any, n: int) -> list[int]:
    """Return one int as n of them, and a sequence as a list.

    Raises:
        Unsupported: One of them follows the batch.
    """
    values = [value] * n if isinstance(value, int | str) else list(value)
    if not all(isinstance(item, int) for item in values):
        raise Unsupported("a kernel, stride or padding that follows the batch")
    return [int(item) for item in values] * (n // len(values))


def need(ctx: Context, value: ir.Value, dtypes: Sequence[str] = FLOATS) -> None:
    """Say no to an element type that ONNX Runtime has no kernel for."""
    dtype = ctx.info_of(value).dtype
    if dtype not in dtypes:
        raise Unsupported(f"{ctx.record.op} on {dtype}, which ONNX Runtime has no kernel for")


def batched(ctx: Context, input: ir.Value, rank: int) -> ir.Value:
    """Return a value of `rank` axes: one that lacks the batch gets one of length 1."""
    info = ctx.info_of(input)
    if len(info.shape) == rank:
        return input
    made = ctx.op("Unsqueeze", input, ctx.ints([0]))
    return ctx.know(made, TensorInfo((1, *info.shape), info.dtype))


def unbatched(ctx: Context, value: ir.Value, input: ir.Value, rank: int) -> ir.Value:
    """Take the axis away again that `batched` gave to `input`."""
    if len(ctx.shape_of(input)) == rank:
        return value
    return ctx.op("Squeeze", value, ctx.ints([0]))
