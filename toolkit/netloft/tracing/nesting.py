"""Room on Python's stack for modules in modules: tracing takes three times as much as running."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from torch import nn

__all__ = ["room_for"]

FRAMES = 40
"""Calls on the stack for each level of modules: running takes 3, torch.fx about 9 of them."""


@contextlib.contextmanager
def room_for(module: nn.Module) -> Iterator[None]:
    """Let a module that Python can run be copied and traced too, however deep it is nested."""
    depth = max(path.count(".") for path, _ in module.named_modules()) + 1
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + FRAMES * depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
