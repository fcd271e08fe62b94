"""Matrix products."""

from __future__ import annotations

import onnx_ir as ir

from netloft_exporters.onnx.lowering.context import Context
from netloft_exporters.onnx.lowering.registry import lowering


@lowering("linear")
def linear(
    ctx: Context, input: ir.Value, weight: ir.Value, bias: ir.Value | None = None
) -> ir.Value:
    """torch.nn.functional.linear to Gemm (transB) on two axes, else to MatMul and Add."""
    if len(ctx.shape_of(input)) == 2:
        return ctx.op("Gemm", input, weight, bias, transB=1)
    product = ctx.op("MatMul", input, ctx.transposed(weight))
    return product if bias is None else ctx.op("Add", product, bias)


@lowering("matmul", "bmm", "mm")
def matmul(ctx: Context, input: ir.Value, other: ir.Value) -> ir.Value:
    """torch.matmul, bmm and mm to MatMul."""
    return ctx.op("MatMul", input, other)
