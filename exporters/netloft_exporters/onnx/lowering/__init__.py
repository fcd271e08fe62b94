"""Lowerings: one table, filled by one file an operator family."""

from netloft_exporters.onnx.lowering import (
    activation,
    adaptive,
    convolution,
    diagonal,
    elementwise,
    gather_scatter,
    index_writes,
    indexing,
    joining,
    matrix,
    normalisation,
    pad,
    pooling,
    rearranging,
    reduction,
    shape,
)
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import LOWERINGS

__all__ = [
    "LOWERINGS",
    "Context",
    "Unsupported",
    "activation",
    "adaptive",
    "convolution",
    "diagonal",
    "elementwise",
    "gather_scatter",
    "index_writes",
    "indexing",
    "joining",
    "matrix",
    "normalisation",
    "pad",
    "pooling",
    "rearranging",
    "reduction",
    "shape",
]
