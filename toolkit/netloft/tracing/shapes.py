"""Shapes with a symbolic batch, from two runs without data at two batch sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

from netloft.errors import TraceError, first_line
from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import BATCH, UNKNOWN
from netloft.tracing.source import describe

__all__ = ["Tree", "propagate_shapes", "resized", "tensors_in"]

_SIZES = (4, 7, 11)  # none is 0 or 1, which PyTorch may treat apart; the third proves the line

Tree = Any
"""What a node gives: `TensorInfo`s, numbers and the like, in tuples as the node nests them."""


class _Recorder(fx.Interpreter):
    """Run a graph on tensors without data and write down what each node gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.trees: dict[str, Tree] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note its result; an error is told with the node's line."""
        try:
            result = super().run_node(n)
        except Exception as error:
            raise TraceError(
                f"the graph does not run at every batch size: {first_line(error)}",
                node=n.name,
                source=describe(n.meta.get("netloft_source")),
                remedy="write sizes in terms of x.shape, or export with a fixed --batch N",
            ) from error
        self.trees[n.name] = _tree(result)
        return result


def _tree(result: Any) -> Tree:
    if isinstance(result, torch.Tensor):
        return TensorInfo(tuple(result.shape), str(result.dtype).removeprefix("torch."))
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        return tuple(_tree(item) for item in result)
    return result


def resized(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Return `tensor` with its first axis repeated or cut to `batch` items."""
    times = -(-batch // max(tensor.shape[0], 1))
    return tensor.repeat(times, *([1] * (tensor.dim() - 1)))[:batch]


def propagate_shapes(
    module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], batch: str | int
) -> dict[str, Tree]:
    """Return what each node gives; lengths and numbers that follow the batch are symbolic.

    Args:
        module: The traced graph.
        inputs: Example inputs by name, batch first.
        batch: `dynamic`, or a fixed size.

    Raises:
        TraceError: The graph fails at another batch size.
    """
    sizes = _SIZES if batch == "dynamic" else (next(iter(inputs.values())).shape[0],)
    runs = [_run(module, inputs, size) for size in sizes]
    return {name: _joined([run[name] for run in runs], sizes) for name in runs[0]}


def _run(module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], size: int) -> dict[str, Tree]:
    recorder = _Recorder(module)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = [
            mode.from_tensor(
                tensor.new_empty((size, *tensor.shape[1:])) if tensor.dim() else tensor
            )
            for tensor in inputs.values()
        ]
        recorder.run(*fakes)
    return recorder.trees


def _joined(trees: Sequence[Tree], sizes: Sequence[int]) -> Tree:
    """Hold the runs against each other: what differs follows the batch."""
    first = trees[0]
    if isinstance(first, TensorInfo):
        if len({len(tree.shape) for tree in trees}) > 1:
            raise TraceError(
                "the graph's shapes have another rank at another batch size",
                remedy="export with a fixed --batch N",
            )
        lengths = zip(*(tree.shape for tree in trees), strict=True)
        return TensorInfo(tuple(_dim(found, sizes) for found in lengths), first.dtype)
    if isinstance(first, tuple):
        if len({len(tree) for tree in trees}) > 1:
            raise TraceError(
                "the graph gives another number of tensors at another batch size",
                remedy="export with a fixed --batch N",
            )
        return tuple(_joined(items, sizes) for items in zip(*trees, strict=True))
    if type(first) is int:
        return _dim(trees, sizes)
    return first if all(_alike(first, tree) for tree in trees) else UNKNOWN


def _alike(first: object, other: object) -> bool:
    return type(first) is type(other) and (first is other or bool(first == other))


def _dim(found: Sequence[int], sizes: Sequence[int]) -> Dim:
    if len(set(found)) == 1:
        return int(found[0])
    factor, remainder = divmod(found[1] - found[0], sizes[1] - sizes[0])
    offset = found[0] - factor * sizes[0]
    line = [factor * size + offset for size in sizes]
    if remainder or factor < 1 or line != list(found):
        return UNKNOWN
    text = BATCH if factor == 1 else f"{factor}*{BATCH}"
    return f"{text}{offset:+d}" if offset else text


def tensors_in(tree: Tree) -> tuple[TensorInfo, ...]:
    """Return the tensors of a tree, in order."""
    if isinstance(tree, TensorInfo):
        return (tree,)
    if isinstance(tree, tuple):
        return tuple(info for item in tree for info in tensors_in(item))
    return ()
