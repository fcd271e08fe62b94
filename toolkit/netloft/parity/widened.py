"""Modules run with other weights without a copy of them: each is changed where it is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["Reread", "Widened", "widened"]


class Reread(TorchFunctionMode):
    """While active, what modules hold in a floating type is read as something else.

    One weight is changed at a time and let go after the call that read it, so the memory that it
    takes is that of the largest layer.

    Args:
        change: Gives what is read in the place of a tensor.
        modules: Whose parameters, buffers and plain tensors are meant.
    """

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self._change = change
        # kept, so that no other tensor comes to have the identity of one
        self._held = {id(t): t for module in modules for t in _tensors(module)}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function on changed weights."""
        if getattr(func, "__name__", "") == "__get__" and id(args[0]) in self._held:
            return self._attribute(func, args[0])
        return func(*self._read(args), **self._read(kwargs or {}))

    def _attribute(self, func: Callable[..., Any], tensor: torch.Tensor) -> Any:
        """Return an attribute of a weight as the changed one would give it, without making one."""
        found = func(tensor)
        return self._change(found) if isinstance(found, torch.Tensor) else found

    def _read(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._change(value) if id(value) in self._held else value
        if isinstance(value, tuple | list):
            return type(value)(self._read(item) for item in value)
        if isinstance(value, dict):
            return {key: self._read(item) for key, item in value.items()}
        return value


class Widened(Reread):
    """While active, what modules hold in a smaller floating type is read as float64."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(widened, *modules)

    def _attribute(self, func: Callable[..., Any], tensor: torch.Tensor) -> Any:
        found = super()._attribute(func, tensor)
        return torch.float64 if found is tensor.dtype else found


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    plain = (value for child in module.modules() for value in vars(child).values())
    for value in itertools.chain(module.parameters(), module.buffers(), plain):
        if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
            yield value


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Return a floating tensor in float64, and any other as it is."""
    return tensor.double() if tensor.dtype.is_floating_point else tensor
