"""Lowerings: one table, filled by one file an operator family."""

from netloft_exporters.onnx.lowering import (
    activation,
    adaptive,
    convolution,
    elementwise,
    gather_scatter,
    index_writes,
    indexing,
    matrix,
    normalisation,
    pad,
    pooling,
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
    "elementwise",
    "gather_scatter",
    "index_writes",
    "indexing",
    "matrix",
    "normalisation",
    "pad",
    "pooling",
    "reduction",
    "shape",
]
