"""The module that holds a graph's nodes and weights."""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.fx._lazy_graph_module import _LazyGraphModule

__all__ = ["compiled", "make_module"]


def make_module(root: nn.Module | dict[str, Any], graph: fx.Graph, name: str) -> fx.GraphModule:
    """Return a module of a graph, whose Python code is written when it is first run or read.

    Most graphs are drawn, lowered or gone through node by node, and never run; writing and
    compiling the code of a deep network takes 0.1 s.

    Args:
        root: Whose modules and weights the nodes read, or these by target.
        graph: The nodes.
        name: Class of the module.
    """
    return _LazyGraphModule(root, graph, name)


def compiled(module: nn.Module) -> nn.Module:
    """Return a module; one of a graph has its code, and so the signature of its inputs."""
    if isinstance(module, fx.GraphModule):
        _LazyGraphModule.force_recompile(module)
    return module
