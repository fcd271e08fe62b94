"""Functions that torch.fx takes for one operation and that hold most of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any
from unittest import mock

from torch import fx, nn

__all__ = ["HelperMetError", "has_helpers", "is_helper", "unwrapped_helpers"]

_MODULES = "torchvision.models."
"""Functions of these modules are marked with `fx.wrap` and plain Python on tensors; they are gone
through, for what they hold is most of the network (the attention of a Swin transformer)."""


class HelperMetError(Exception):
    """A helper was called, and this way of tracing does not go through it."""


def is_helper(target: Any) -> bool:
    """Tell whether what a node calls is such a function."""
    return isinstance(target, FunctionType) and target.__module__.startswith(_MODULES)


def has_helpers(module: nn.Module) -> bool:
    """Tell whether a network has classes from a file with helpers, which they are there for."""
    homes = {home for _, home in _registered()}
    return any(type(m).__module__ in homes for m in module.modules())


def _registered() -> list[tuple[Any, str]]:
    """Return the keys of helpers in fx's registry, with the modules that they are defined in."""
    homes = ((key, str(names.get("__name__"))) for key, names in _registry().items())
    return [(key, home) for key, home in homes if home.startswith(_MODULES)]


def _registry() -> dict[Any, dict[str, Any]]:
    """Return what fx keeps of wrapped functions; it has no public way to ask for it."""
    registry: dict[Any, dict[str, Any]] = getattr(fx._symbolic_trace, "_wrapped_fns_to_patch", {})
    return registry


@contextlib.contextmanager
def unwrapped_helpers() -> Iterator[None]:
    """Let fx forget for a while that helpers are wrapped."""
    helpers, registry = _registered(), _registry()
    with mock.patch.dict(registry):
        for key, _ in helpers:
            del registry[key]
        yield
