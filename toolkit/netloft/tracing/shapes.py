"""Shapes with a symbolic batch, from runs without data at two or three batch sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from netloft.errors import TraceError
from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import BATCH, UNKNOWN
from netloft.tracing.axes import Axes
from netloft.tracing.dataless import Dataless, Values
from netloft.tracing.memory import may_share_at_one, shared_memory

__all__ = ["Shapes", "Tree", "propagate_shapes", "resized", "tensors_in"]

_SIZES = (7, 1009)
"""Two primes: what is `k*batch` at both follows the batch so."""

_THIRD = 11
"""Tells `batch+1` from `batch*batch`, which two sizes cannot."""

Tree = Any
"""What a node gives: `TensorInfo`s, numbers and the like, in tuples as the node nests them."""


@dataclass(frozen=True)
class Shapes:
    """What is known of a graph without running it on data.

    Attributes:
        trees: What each node gives, by node name.
        memory: Numbers of the memories that each node's tensors live in; see `shared_memory`.
        result: What the whole graph gives, as it nests it, in tensors without data.
    """

    trees: Mapping[str, Tree]
    memory: Mapping[str, tuple[int, ...]]
    result: Any


class _TwoSizesDoNotTell(Exception):  # noqa: N818 - a question, not a failure
    """A length differs between two sizes and is no multiple of them."""


def resized(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Return `tensor` with its first axis repeated or cut to `batch` items."""
    times = -(-batch // max(tensor.shape[0], 1))
    return tensor.repeat(times, *([1] * (tensor.dim() - 1)))[:batch]


def propagate_shapes(
    module: fx.GraphModule,
    inputs: Mapping[str, torch.Tensor],
    batch: str | int,
    axes: Axes = MappingProxyType({}),
    known: Mapping[int, Values] = MappingProxyType({}),
) -> Shapes:
    """Return what each node gives; lengths and numbers that follow the batch are symbolic.

    Args:
        module: The traced graph.
        inputs: Example inputs by name, batch first.
        batch: `dynamic`, or a fixed size.
        axes: Other open axes.
        known: Runs that tracing has made already, by batch size.

    Raises:
        TraceError: The graph fails at another batch size.
    """
    if axes:
        return _on_symbols(module, inputs, batch, axes)
    runner = Dataless(module, inputs, known)
    sizes = [next(iter(inputs.values())).shape[0]]
    if batch == "dynamic":
        sizes = [size for size in known if size > 1] or list(_SIZES)
    try:
        runs = [runner.run(size) for size in sizes]
    except TraceError as error:
        if isinstance(error.__cause__, DynamicOutputShapeException | DataDependentOutputException):
            return _on_symbols(module, inputs, batch, axes)
        raise
    try:
        trees = _joined_by_name(runs, sizes)
    except _TwoSizesDoNotTell:
        sizes.append(_THIRD)
        runs.append(runner.run(_THIRD))
        trees = _joined_by_name(runs, sizes)
    memory = _memory(module, runner, runs[0].values, batch)
    return Shapes(trees, memory, runs[0].result)


def _memory(
    module: fx.GraphModule, runner: Dataless, values: Mapping[str, Any], batch: str | int
) -> dict[str, tuple[int, ...]]:
    memory = shared_memory([values])
    if batch == "dynamic" and may_share_at_one(module, memory):
        with contextlib.suppress(TraceError):  # it is not made for one item
            return shared_memory([values, runner.run(1).values])
    return memory


def _on_symbols(
    module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], batch: str | int, axes: Axes
) -> Shapes:
    # torch's symbols bring sympy and torch._dynamo, seconds that most networks do without
    from netloft.tracing.symbolic import run_on_symbols

    opened = {name: dict(axes.get(name, {})) for name in inputs}
    if batch == "dynamic":
        # a batch of one would be taken for a length that is one for good
        inputs = {n: resized(t, _SIZES[0]) if t.dim() else t for n, t in inputs.items()}
        opened = {n: {0: BATCH, **opened[n]} if t.dim() else {} for n, t in inputs.items()}
    run, found = run_on_symbols(module, inputs, opened)
    trees = {name: _tree(value, run.length) for name, value in found.values.items()}
    return Shapes(trees, shared_memory([found.values]), found.result)


def _joined_by_name(runs: Sequence[Any], sizes: Sequence[int]) -> dict[str, Tree]:
    known: dict[object, Tree] = {}
    found = {}
    for name in runs[0].values:
        results = [run.values[name] for run in runs]
        if not all(isinstance(result, torch.Tensor) for result in results):
            found[name] = _joined([_tree(result) for result in results], sizes)
            continue
        # a network has few shapes, and many tensors of each
        key = tuple((result.shape, result.dtype) for result in results)
        if key not in known:
            known[key] = _joined([_tree(result) for result in results], sizes)
        found[name] = known[key]
    return found


def _tree(result: Any, length: Callable[[Any], Dim] = int) -> Tree:
    if isinstance(result, torch.Tensor):
        shape = tuple(length(size) for size in result.shape)
        return TensorInfo(shape, str(result.dtype).removeprefix("torch."))
    if isinstance(result, torch.SymInt):
        return length(result)
    if isinstance(result, torch.SymFloat | torch.SymBool):
        return UNKNOWN
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        return tuple(_tree(item, length) for item in result)
    return result


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
    if (remainder or offset) and len(sizes) < 3:
        raise _TwoSizesDoNotTell
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
