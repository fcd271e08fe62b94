"""The table of lowerings: canonical operation to function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["LOWERINGS", "lowering"]

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

LOWERINGS: dict[str, Function] = {}
"""A lowering takes the context and then the operation's own arguments, in torch's order."""


def lowering(*ops: str) -> Callable[[F], F]:
    """Register a function for canonical operations; its signature is torch's own."""

    def register(function: F) -> F:
        for op in ops:
            LOWERINGS[op] = function
        return function

    return register
