"""Run a graph in float64, weights and all."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from netloft.passes.affine import Affine
from netloft.passes.edit import Edit

__all__ = ["WideInterpreter", "widened"]


def widened(value: Any) -> Any:
    """Return a floating-point tensor in float64, and anything else as it is."""
    floating = isinstance(value, torch.Tensor) and value.dtype.is_floating_point
    return value.detach().double() if floating else value


class WideInterpreter(fx.Interpreter):
    """Run a graph module in float64; a module's weights are widened for its own call alone."""

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a weight in float64."""
        return widened(super().get_attr(target, args, kwargs))

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a widened copy of the module."""
        module = self.fetch_attr(target)
        if not isinstance(module, Affine):  # which computes in the type of its input
            module = copy.deepcopy(module).double()
        return module(*args, **kwargs)

    @staticmethod
    def evaluate(edit: Edit, node: fx.Node, known: Mapping[fx.Node, Any]) -> Any:
        """Return what one node gives for known operands.

        Args:
            edit: The graph.
            node: A call.
            known: Values of its operands.
        """
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: _value(known, n))
        with torch.no_grad():
            if node.op == "call_module":
                return copy.deepcopy(edit.module_of(node)).double()(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            return node.target(*args, **kwargs)  # type: ignore[operator]


def _value(known: Mapping[fx.Node, Any], node: fx.Node) -> Any:
    value = known[node]
    if isinstance(value, tuple | list):
        return type(value)(widened(item) for item in value)
    return widened(value)
