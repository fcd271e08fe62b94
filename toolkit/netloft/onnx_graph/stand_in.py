"""What stands in a graph for an operation of a file: it can be looked at, and not run."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from torch import nn

from netloft.errors import UsageError

__all__ = ["Operation", "operation", "result_at"]

_REMEDY = "run the file with netloft verify or netloft bench, or export the module that it is of"


class Operation(nn.Module):
    """A layer of a file."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, *_: Any) -> NoReturn:
        """Refuse to run.

        Raises:
            UsageError: Always.
        """
        raise _refusal(self.name)


@cache
def operation(name: str) -> Callable[..., Any]:
    """Return the function that stands for an operator; it refuses to run."""

    def stand_in(*_: Any) -> NoReturn:
        raise _refusal(name)

    stand_in.__name__ = stand_in.__qualname__ = f"onnx_{re.sub(r'[^0-9A-Za-z]', '', name)[:80]}"
    return stand_in


def result_at(results: Any, index: int) -> Any:
    """Return one of several results of a node."""
    return results[index]


def _refusal(name: str) -> UsageError:
    return UsageError(
        f"a graph that was read from an ONNX file cannot be run, at {name[:80]!r}", remedy=_REMEDY
    )
