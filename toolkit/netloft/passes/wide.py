"""Run a graph in float64, weights and all."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn

from netloft.passes.affine import Affine

__all__ = ["WideInterpreter", "called_wide", "widened"]


def widened(value: Any) -> Any:
    """Return a floating-point tensor in float64, and anything else as it is."""
    floating = isinstance(value, torch.Tensor) and value.dtype.is_floating_point
    return value.detach().double() if floating else value


class WideInterpreter(fx.Interpreter):
    """Run a graph module with float64 in the place of float32.

    A module's weights are widened for its own call alone. A cast to float32 is one to float64, so
    that it rounds nothing and shares memory where it did; one to a shorter type is what it was.
    """

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a weight in float64."""
        return widened(super().get_attr(target, args, kwargs))

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a widened copy of the module."""
        return called_wide("call_module", self.fetch_attr(target), args, kwargs)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function."""
        return called_wide("call_function", target, args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method."""
        return called_wide("call_method", target, args, kwargs)


def called_wide(op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a call gives with float64 in the place of float32.

    Args:
        op: As fx calls it.
        target: The function, the module itself, or the name of a method.
        args: Widened ones.
        kwargs: Likewise.
    """
    if op == "call_module":
        return _without_float32(_wide_module(target)(*args, **kwargs))
    args = tuple(_wide_type(argument) for argument in args)
    kwargs = {name: _wide_type(argument) for name, argument in kwargs.items()}
    if op == "call_method":
        name = "double" if target == "float" else str(target)
        return _without_float32(getattr(args[0], name)(*args[1:], **kwargs))
    return _without_float32(target(*args, **kwargs))


def _wide_module(module: nn.Module) -> nn.Module:
    if isinstance(module, Affine):  # which computes in the type of its input
        return module
    return copy.deepcopy(module).double()


def _wide_type(argument: Any) -> Any:
    return torch.float64 if argument is torch.float32 else argument


def _without_float32(result: Any) -> Any:
    """Widen what a call made anew in float32, such as a factory's tensor."""
    if isinstance(result, torch.Tensor):
        return result.double() if result.dtype is torch.float32 else result
    return result
