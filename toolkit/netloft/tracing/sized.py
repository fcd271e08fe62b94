"""Tracing with lengths known: a path that depends on a fixed length, or a helper, is gone through.

The plain tracer knows nothing of a tensor, so that `if x.shape[2] > 7` stops it. Here each node is
run without data as it is made, at several batch sizes, and a length that is the same at all of them
is a plain number. A length that differs stays a node of the graph, and stops a branch as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from netloft.errors import TraceError, first_line
from netloft.tracing.axes import Axes, lengths_of, stretched
from netloft.tracing.dataless import Steps, Values
from netloft.tracing.helpers import unwrapped_helpers
from netloft.tracing.proxies import RecordingProxy
from netloft.tracing.shapes import resized
from netloft.tracing.source import current_source, describe
from netloft.tracing.tracer import Tracer

__all__ = ["SizedTracer"]

_SIZES = (1, 2, 1009)
"""Small ones too: what is cut off at five items is as long as the batch before."""

_PLAIN = ("dim", "ndimension", "numel", "nelement", "is_floating_point", "is_complex", "size")
"""Methods that read what is known of a tensor."""


class SizedProxy(RecordingProxy):
    """A proxy for a tensor whose shape and element type can be asked for."""

    tracer: SizedTracer

    @property
    def shape(self) -> Any:
        """Lengths: numbers, and proxies where they follow the batch."""
        return self.tracer.shape_of(self)

    @property
    def dtype(self) -> Any:
        """Element type."""
        return self._of_tensor("dtype")

    @property
    def ndim(self) -> Any:
        """Number of axes."""
        return self._of_tensor("ndim")

    @property
    def device(self) -> Any:
        """The CPU: what is traced lies there."""
        return torch.device("cpu")

    def _of_tensor(self, name: str) -> Any:
        value = self.tracer.values[self.node][0]
        return (
            getattr(value, name) if isinstance(value, torch.Tensor) else super().__getattr__(name)
        )

    def size(self, dim: Any = None) -> Any:
        """Return the shape, or one length of it."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        length = self.tracer.length_of(self)
        return super().__len__() if length is None else length

    def __iter__(self) -> Iterator[Any]:
        length = self.tracer.length_of(self)
        itself: Any = self
        return super().__iter__() if length is None else (itself[i] for i in range(length))

    def new_zeros(self, *size: Any, **options: Any) -> Any:
        """Make a tensor now, where its shape is known."""
        return self._made("new_zeros", size, options)

    def new_ones(self, *size: Any, **options: Any) -> Any:
        """Make a tensor now, where its shape is known."""
        return self._made("new_ones", size, options)

    def new_full(self, *size: Any, **options: Any) -> Any:
        """Make a tensor now, where its shape is known."""
        return self._made("new_full", size, options)

    def _made(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        flat = [item for arg in args for item in (arg if isinstance(arg, tuple | list) else [arg])]
        if any(isinstance(item, fx.Proxy) for item in (*flat, *options.values())):
            return self.tracer.create_proxy("call_method", method, (self, *args), options)
        like = torch.empty((), dtype=self.dtype)
        return getattr(like, method)(*args, **options)


class SizedTracer(Tracer):
    """Trace a module with what is known of shapes.

    Args:
        inputs: Example inputs by name.
        batch: `dynamic`, or the one batch size that the graph is for.
        axes: Other open axes.

    Attributes:
        values: What each node gives at each batch size.
    """

    def __init__(self, inputs: Mapping[str, torch.Tensor], batch: str | int, axes: Axes) -> None:
        super().__init__(inputs)
        self._variants = _variants(inputs, batch, axes)
        self._sizes = () if axes else _SIZES if batch == "dynamic" else (_items(inputs),)
        self._steps: Steps | None = None
        self._running = False
        self.values: dict[fx.Node, list[Any]] = {}
        self._lengths: dict[tuple[fx.Node, int], Any] = {}

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """Trace, and go through the helpers that are known."""
        assert isinstance(root, nn.Module)
        self._steps = Steps(root, self._variants)
        with unwrapped_helpers(), torch.no_grad():
            return super().trace(root, concrete_args)

    def runs(self, graph: fx.Graph) -> dict[int, Values]:
        """Return what each node of the finished graph gave, by batch size, where that is known."""
        assert self._steps is not None
        return dict(zip(self._sizes, self._steps.whole(graph) or (), strict=False))

    def forget(self) -> None:
        """Let go of what each node gave."""
        self._steps = None
        self.values.clear()

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node in the proxy that knows its shape."""
        return SizedProxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Make a node and run it without data."""
        node = super().create_node(*args, **kwargs)
        if node.op != "output":
            self.values[node] = self._run_dataless(node)
        return node

    def _run_dataless(self, node: fx.Node) -> list[Any]:
        assert self._steps is not None
        self._running = True
        try:
            return self._steps.run(node)
        except Exception as error:
            raise TraceError(
                f"the graph does not run at every batch size: {first_line(error)}",
                node=node.name,
                source=describe(current_source()),
                remedy="write sizes in terms of x.shape, or export with a fixed --batch N",
            ) from error
        finally:
            self._running = False

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Record a call of a module, but for one that is made to learn its shape."""
        if self._running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Record a read of a weight, but for one that is made to learn a shape."""
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Record an operation; one that only reads what is known gives a plain value."""
        proxy = super().create_proxy(kind, target, *args, **kwargs)
        if kind != "call_method" or target not in _PLAIN:
            return proxy
        found = self.values[proxy.node]
        if not isinstance(found[0], int | bool) or any(value != found[0] for value in found):
            return proxy
        self.graph.erase_node(proxy.node)
        return found[0]

    def shape_of(self, proxy: fx.Proxy) -> Any:
        """Return the shape of what a proxy stands for."""
        found = self.values[proxy.node]
        if not isinstance(found[0], torch.Tensor):
            return fx.Proxy.__getattr__(proxy, "shape")
        return tuple(
            self._length(proxy, axis, lengths)
            for axis, lengths in enumerate(zip(*(value.shape for value in found), strict=True))
        )

    def _length(self, proxy: fx.Proxy, axis: int, found: tuple[int, ...]) -> Any:
        if len(set(found)) == 1:
            return found[0]
        key = (proxy.node, axis)
        if key not in self._lengths:
            self._lengths[key] = self.create_proxy("call_method", "size", (proxy, axis), {})
        return self._lengths[key]

    def length_of(self, proxy: fx.Proxy) -> int | None:
        """Return how many items a tensor or a tuple has; None where that follows the batch."""
        lengths = {_count(value) for value in self.values[proxy.node]}
        return lengths.pop() if len(lengths) == 1 else None


def _variants(
    inputs: Mapping[str, torch.Tensor], batch: str | int, axes: Axes
) -> list[dict[str, torch.Tensor]]:
    """Return inputs without data; an open length is another one at least once."""
    plain = {name: tensor.to("meta") for name, tensor in inputs.items()}
    doubled = {symbol: 2 * length for symbol, length in lengths_of(axes, inputs).items()}
    other = stretched(plain, axes, doubled)
    if batch != "dynamic":
        return [plain, other] if doubled else [plain]
    return [
        {name: resized(tensor, size) if tensor.dim() else tensor for name, tensor in made.items()}
        for made, size in zip((plain, plain, other), _SIZES, strict=True)
    ]


def _items(inputs: Mapping[str, torch.Tensor]) -> int:
    return next(iter(inputs.values())).shape[0]


def _count(value: Any) -> int | None:
    if isinstance(value, torch.Tensor):
        return value.shape[0] if value.dim() else None
    return len(value) if isinstance(value, tuple | list) else None
