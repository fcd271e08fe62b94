"""Adjoints, one file an operator family."""

from netloft.gradients.adjoints import (
    activation,
    attention,
    convolution,
    elementwise,
    joining,
    matrix,
    normalisation,
    pooling,
    reduction,
    resample,
    shape,
)

__all__ = [
    "activation",
    "attention",
    "convolution",
    "elementwise",
    "joining",
    "matrix",
    "normalisation",
    "pooling",
    "reduction",
    "resample",
    "shape",
]
