"""Small networks for the tests of passes, and what is asked of a graph that a pass has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from netloft.graph.cost import at_batch, tensors
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import Graph, annotation
from netloft.graph.text import print_graph
from netloft.passes import Pass, run_passes
from netloft.tracing import trace
from netloft.tracing.faithful import flatten_outputs

__all__ = ["BATCHES", "Function", "after", "equals", "net", "shapes_hold", "text", "traced"]

Function = Callable[[Any, Tensor], Any]
"""A forward pass: of the network, for its parts, and the input."""

SHAPE = (4, 6, 6)
BATCHES = (1, 2, 5)


class Net(nn.Module):
    """Has the parts that it is given and computes the function that it is given."""

    def __init__(self, function: Function, **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def net(function: Function, **parts: Any) -> nn.Module:
    """Return a network in eval mode; its norms have seen something."""
    module = Net(function, **parts)
    torch.manual_seed(0)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                for tensor in (norm.weight, norm.bias, norm.running_mean):
                    if isinstance(tensor, Tensor):
                        tensor.normal_()
                if norm.running_var is not None:
                    norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def traced(module: nn.Module, shape: Sequence[int] = SHAPE) -> Graph:
    """Return the graph of a network."""
    return trace(module, {"x": torch.randn(2, *shape)}, prove=False)


def after(graph: Graph, *passes: Pass) -> Graph:
    """Return a graph after passes, in their order."""
    return run_passes(graph, passes).graph


def text(graph: Graph) -> str:
    """Return a graph as a test holds it."""
    return "\n" + print_graph(graph)


def equals(
    graph: Graph, module: nn.Module, shape: Sequence[int] = SHAPE, *, rounding: float = 0.0
) -> bool:
    """Tell whether a graph gives what its module gives, at every batch size."""
    for batch in BATCHES:
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            wanted = flatten_outputs(module(x.clone()))
            given = flatten_outputs(graph.module(x.clone()))
        if wanted.keys() != given.keys():
            return False
        for name in wanted:
            a, b = given[name], wanted[name]
            if a.dtype != b.dtype or a.shape != b.shape:
                return False
            if not torch.allclose(a, b, rtol=rounding, atol=rounding, equal_nan=True):
                return False
    return True


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.seen[n] = super().run_node(n)
        return self.seen[n]


def shapes_hold(graph: Graph, shape: Sequence[int] = SHAPE) -> bool:
    """Tell whether every node gives what its annotation says, at every batch size."""
    for batch in BATCHES:
        recorder = _Recorder(graph.module)
        with torch.no_grad():
            recorder.run(torch.randn(batch, *shape))
        for node, given in recorder.seen.items():
            infos = tensors(annotation(node).value)
            if any(UNKNOWN in info.shape for info in infos):
                continue
            wanted = [(at_batch(info.shape, batch), info.dtype) for info in infos]
            if [(tuple(t.shape), _name(t)) for t in _tensors(given)] != wanted:
                return False
    return True


def _tensors(value: Any) -> list[Tensor]:
    return list(flatten_outputs(value).values())


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
