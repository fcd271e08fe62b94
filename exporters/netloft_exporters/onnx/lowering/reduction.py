"""Reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering

REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}


@lowering(*REDUCTIONS)
def reduce(
    ctx: Context,
    input: ir.Value,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    **options: Any,
) -> ir.Value:
    """torch.mean, sum, amax and amin to ReduceMean, ReduceSum, ReduceMax and ReduceMin: axes."""
    if any(value is not None for value in options.values()):
        raise Unsupported(f"a reduction with {', '.join(options)}")
    axes = [dim] if isinstance(dim, int) else list(dim or range(len(ctx.shape_of(input))))
    op_type = REDUCTIONS[ctx.record.op]
    return ctx.op(op_type, ctx.as_result(input), ctx.ints(axes), keepdims=int(keepdim))
