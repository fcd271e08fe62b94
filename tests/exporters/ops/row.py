"""A use of an operation: what to call, on what, and by which route it is lowered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["IMAGE", "Row"]

IMAGE = (1, 4, 12, 10)


@dataclass(frozen=True)
class Row:
    """A use of an operation.

    Attributes:
        name: For the test's name.
        call: The network's forward; a module's weights are seeded.
        shape: Of the one input, for a batch of one.
        route: `netloft`, or `torch.onnx` where our own lowering says no.
    """

    name: str
    call: Callable[[Tensor], object] | nn.Module
    shape: tuple[int, ...] = IMAGE
    route: str = "netloft"
