"""One row an operation that netloft lowers itself; a file of rows for each family."""

from __future__ import annotations

from tests.exporters.ops import (
    activation,
    attention,
    basic,
    convolution,
    elementwise,
    embedding,
    factories,
    gather_scatter,
    indexing,
    matrix,
    normalisation,
    pad,
    pooling,
    recurrent,
    reduction,
    resample,
    shape,
    transformer,
    vision,
)
from tests.exporters.ops.row import Row

__all__ = ["ROWS", "Row"]

ROWS = [
    *basic.ROWS,
    *activation.ROWS,
    *attention.ROWS,
    *convolution.ROWS,
    *elementwise.ROWS,
    *embedding.ROWS,
    *factories.ROWS,
    *gather_scatter.ROWS,
    *indexing.ROWS,
    *matrix.ROWS,
    *normalisation.ROWS,
    *pad.ROWS,
    *pooling.ROWS,
    *recurrent.ROWS,
    *reduction.ROWS,
    *resample.ROWS,
    *shape.ROWS,
    *transformer.ROWS,
    *vision.ROWS,
]
