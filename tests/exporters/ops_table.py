"""One row an operation that netloft lowers itself; a file of rows for each family."""

from __future__ import annotations

from tests.exporters.ops import (
    basic,
    convolution,
    elementwise,
    embedding,
    pad,
    pooling,
    recurrent,
    resample,
)
from tests.exporters.ops.row import Row

__all__ = ["ROWS", "Row"]

ROWS = [
    *basic.ROWS,
    *convolution.ROWS,
    *elementwise.ROWS,
    *embedding.ROWS,
    *pad.ROWS,
    *pooling.ROWS,
    *recurrent.ROWS,
    *resample.ROWS,
]
