"""What a graph gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx

from netloft.graph.cost import tensors
from netloft.graph.graph import annotation

__all__ = ["output_nodes"]


def output_nodes(result: Any) -> list[str]:
    """Return the name of the node behind each tensor of a graph's result; empty for a number."""
    if isinstance(result, fx.Node):
        # a leaf module or function may give several tensors at once (an LSTM, a chunk)
        return [result.name] * max(len(tensors(annotation(result).value)), 1)
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return [name for item in result for name in output_nodes(item)]
    return [] if result is None else [""]
