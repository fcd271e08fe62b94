"""Operations that are said to come from elsewhere: a gradient from what it is the gradient of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from netloft.graph.annotation import ModuleCall, Source

__all__ = ["Origin", "current_origin", "told_as"]


@dataclass(frozen=True)
class Origin:
    """Where an operation is said to come from.

    Attributes:
        calls: Module calls around it, root first.
        source: Line of the user's code; None where there is none.
    """

    calls: tuple[ModuleCall, ...]
    source: Source | None


_CURRENT: ContextVar[Origin | None] = ContextVar("netloft_origin", default=None)


def current_origin() -> Origin | None:
    """Return what was said last; None where the stack tells."""
    return _CURRENT.get()


@contextlib.contextmanager
def told_as(calls: tuple[ModuleCall, ...], source: Source | None) -> Iterator[None]:
    """Let everything that is traced meanwhile come from these calls and this line."""
    token = _CURRENT.set(Origin(calls, source))
    try:
        yield
    finally:
        _CURRENT.reset(token)
