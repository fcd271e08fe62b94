"""Functions that torch.fx takes for one operation and that hold most of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any
from unittest import mock

from torch import fx

__all__ = ["HelperMetError", "is_helper", "unwrapped_helpers"]

_MODULES = "torchvision.models."
"""Functions of these modules are marked with `fx.wrap` and plain Python on tensors; they are gone
through, for what they hold is most of the network (the attention of a Swin transformer)."""


class HelperMetError(Exception):
    """A helper was called, and this way of tracing does not go through it."""


def is_helper(target: Any) -> bool:
    """Tell whether what a node calls is such a function."""
    return isinstance(target, FunctionType) and target.__module__.startswith(_MODULES)


@contextlib.contextmanager
def unwrapped_helpers() -> Iterator[None]:
    """Let fx forget for a while that helpers are wrapped; it has no public way to ask for it."""
    registry = getattr(fx._symbolic_trace, "_wrapped_fns_to_patch", {})
    helpers = [
        key for key, names in registry.items() if str(names.get("__name__")).startswith(_MODULES)
    ]
    with mock.patch.dict(registry):
        for key in helpers:
            del registry[key]
        yield
