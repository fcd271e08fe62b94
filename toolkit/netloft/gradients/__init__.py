"""Gradients of a graph's values, as operations of a graph."""

from netloft.gradients import adjoints
from netloft.gradients.adjoint import ADJOINTS, NoAdjointError
from netloft.gradients.proof import check_gradient
from netloft.gradients.walk import Walk, adopt, functional

__all__ = [
    "ADJOINTS",
    "NoAdjointError",
    "Walk",
    "adjoints",
    "adopt",
    "check_gradient",
    "functional",
]
