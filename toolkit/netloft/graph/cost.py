"""Multiply-adds, bytes and depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import fx

from netloft.graph.annotation import Annotation, Dim, TensorInfo
from netloft.graph.dims import BATCH, UNKNOWN, evaluate

if TYPE_CHECKING:
    from netloft.graph.graph import Graph, Totals

__all__ = ["at_batch", "bytes_of", "einsum_macs", "macs_of", "totals"]


def at_batch(
    shape: tuple[Dim, ...], batch: int, lengths: Mapping[str, int] = MappingProxyType({})
) -> tuple[int, ...]:
    """Return `shape` with its symbolic lengths worked out.

    Args:
        shape: Lengths, numbers or expressions.
        batch: Items in the batch.
        lengths: Of other open axes, by name.
    """
    return _worked_out(shape, (*lengths.items(), (BATCH, batch)))


@lru_cache(maxsize=4096)
def _worked_out(shape: tuple[Dim, ...], sizes: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    known = dict(sizes)
    # one that follows them in a way that is not known counts as one
    return tuple(_length(dim, known) for dim in shape)


def _length(dim: Dim, sizes: Mapping[str, int]) -> int:
    if dim == UNKNOWN:
        return 1
    try:
        return max(evaluate(dim, sizes), 0)
    except ValueError:  # 1//n at n = 0
        return 1


def tensors(value: TensorInfo | tuple[TensorInfo, ...] | None) -> tuple[TensorInfo, ...]:
    """Return the tensors of a value as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, TensorInfo) else value


def bytes_of(info: TensorInfo) -> int:
    """Return the bytes of a value for one item of the batch."""
    itemsize = int(getattr(torch, info.dtype).itemsize)
    return math.prod(at_batch(info.shape, 1)) * itemsize


def macs_of(
    op: str, operands: tuple[TensorInfo, ...], result: TensorInfo, attributes: Mapping[str, object]
) -> int:
    """Return the multiply-adds of one operation for one item of the batch.

    Only matrix products and convolutions count, as in the literature; a bias, a norm or an
    activation is a few per cent of them.

    Args:
        op: Canonical operation.
        operands: The tensors read, weights after inputs.
        result: The (first) tensor given.
        attributes: Hyper-parameters; `weight_shape` where the operation has a weight.
    """
    out = math.prod(at_batch(result.shape, 1))
    shapes = [at_batch(operand.shape, 1) for operand in operands]
    weight = attributes.get("weight_shape")
    if op.startswith("conv_transpose") and isinstance(weight, tuple) and shapes:
        return math.prod(shapes[0]) * math.prod(weight[1:])
    if op.startswith(("conv", "deform_conv")) and isinstance(weight, tuple):
        return out * math.prod(weight[1:])
    if op == "linear" and isinstance(weight, tuple):
        return out * int(weight[-1])
    if op in ("matmul", "bmm", "mm", "baddbmm", "addmm"):
        inner = shapes[-2:-1] if op in ("addmm", "baddbmm") else shapes[:1]
        return out * inner[0][-1] if inner and inner[0] else 0
    if op == "einsum":
        return einsum_macs(str(attributes.get("equation", "")), shapes)
    matrices = attributes.get("matrix_elements")
    if isinstance(matrices, int) and shapes:
        return _layer_macs(shapes[0], at_batch(result.shape, 1), matrices, attributes)
    if op == "multihead_attention" and shapes:
        return _attention_macs(shapes[0])
    if op == "scaled_dot_product_attention" and len(shapes) >= 3 and len(shapes[1]) >= 2:
        length = shapes[1][-2]
        return math.prod(shapes[0]) * length + out * length
    return 0


def einsum_macs(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the multiply-adds of a sum of products, each of all letters' lengths.

    Args:
        equation: Such as `bij,bjk->bik`; `...` stands for any number of axes.
        shapes: Of the operands.
    """
    left = equation.replace(" ", "").partition("->")[0].split(",")
    if len(left) != len(shapes) or len(left) < 2:
        return 0
    lengths: dict[str, int] = {}
    for letters, shape in zip(left, shapes, strict=True):
        before, dots, after = letters.partition("...")
        middle = len(shape) - len(before) - len(after)
        if middle < 0 or (middle and not dots):
            return 0
        more = [f".{i}" for i in range(middle, 0, -1)]  # counted from the right
        for letter, length in zip((*before, *more, *after), shape, strict=True):
            lengths[letter] = max(length, lengths.get(letter, 0))
    return math.prod(lengths.values()) * (len(left) - 1)


def _layer_macs(
    operand: tuple[int, ...],
    result: tuple[int, ...],
    matrices: int,
    attributes: Mapping[str, object],
) -> int:
    """A recurrent or transformer layer: every matrix once for each step of the sequence.

    The two products of an attention over `length` steps are added for each attention inside.
    """
    if not operand or not result:
        return 0
    *_, length, _width = (1, *operand)
    steps = math.prod(operand[:-1])
    attentions = int(str(attributes.get("attentions", 0)))
    return steps * matrices + attentions * 2 * steps * length * result[-1]


def _attention_macs(query: tuple[int, ...]) -> int:
    """Self-attention over `(batch, length, embedding)`: four projections and two products."""
    if len(query) < 2:
        return 0
    *_, length, embedding = query
    return 4 * length * embedding * embedding + 2 * length * length * embedding


def totals(graph: Graph) -> Totals:
    """Add up a graph; see `Totals` for the units."""
    from netloft.graph.graph import Totals

    records = [record for _, record in graph]
    dead = sum(module.n_params for module in graph.dead_modules)
    dead += sum(graph.unused_parameters.values())
    return Totals(
        n_params=sum(record.n_params for record in records),
        n_dead_params=dead,
        macs=sum(record.macs for record in records),
        peak_activation_bytes=max(alive_bytes(graph).values(), default=0),
        depth=_depth(graph),
    )


_VIEWS = (
    "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "getitem", "identity",
    "dropout", "chunk", "split", "expand",
)  # fmt: skip


def alive_bytes(graph: Graph) -> dict[str, int]:
    """Return the bytes of values that are alive while each node runs, for one item of the batch.

    The graph is run in order, and memory is freed after the last reader of whatever lives in it.
    """
    from netloft.graph.graph import annotation

    nodes = [node for node in graph.module.graph.nodes if node.op != "output"]
    homes = _homes(nodes)
    last_use: dict[object, int] = {}
    for index, node in enumerate(nodes):
        for value in (node, *node.all_input_nodes):
            last_use |= dict.fromkeys(homes[value], index)
    for value in next(iter(reversed(graph.module.graph.nodes))).all_input_nodes:
        last_use |= dict.fromkeys(homes[value], len(nodes))
    alive, found = 0, dict[str, int]()
    ends: dict[int, int] = {}
    for index, node in enumerate(nodes):
        record = annotation(node)
        if node in homes[node] and record.family != "parameter":
            alive += record.bytes_out
            ends[last_use[node]] = ends.get(last_use[node], 0) + record.bytes_out
        found[node.name] = alive
        alive -= ends.pop(index, 0)
    return found


def _homes(nodes: list[fx.Node]) -> dict[fx.Node, frozenset[fx.Node]]:
    """Return the nodes that made the memory which each node's tensors live in, itself or others.

    A trace tells which memory each tensor lives in; of a file only the operations' names say it.
    """
    from netloft.graph.graph import annotation

    homes: dict[fx.Node, frozenset[fx.Node]] = {}
    maker: dict[int, fx.Node] = {}
    for node in nodes:
        record, operands = annotation(node), node.all_input_nodes
        if record.memory:
            homes[node] = frozenset(maker.setdefault(number, node) for number in record.memory)
        else:
            shares = bool(operands) and _shares_memory(record)
            homes[node] = homes[operands[0]] if shares else frozenset({node})
    return homes


def _shares_memory(record: Annotation) -> bool:
    """A view or an in-place result lives in its operand's memory."""
    return record.op in _VIEWS or record.attributes.get("inplace") is True


_IN_A_ROW = {"multihead_attention": 4, "scaled_dot_product_attention": 2}
"""Products, one behind the other, of what is written as one operation."""


def _depth(graph: Graph) -> int:
    from netloft.graph.graph import annotation

    depth: dict[object, int] = {}
    for node in graph.module.graph.nodes:
        record = annotation(node)
        own = _IN_A_ROW.get(record.op, 1) if record.macs else 0
        depth[node] = own + max((depth[n] for n in node.all_input_nodes), default=0)
    return max(depth.values(), default=0)
