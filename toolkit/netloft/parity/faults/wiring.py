"""Faults in what is joined with what."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from onnx import NodeProto

from netloft.parity.faults.draft import Draft, Planted, bypass

__all__ = [
    "concatenated_in_another_order",
    "gate_dropped",
    "operands_swapped",
    "rewired",
    "skip_dropped",
    "subtracted",
]

_SAME_VALUE = ("Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")


def _joins(draft: Draft, random: Random, kind: str) -> Iterator[NodeProto]:
    """Return the nodes that join two values, neither of them a constant."""
    for node in draft.nodes(random, kind):
        first, second = node.input
        if first != second and not draft.is_constant(first) and not draft.is_constant(second):
            yield node


def _fitting(draft: Draft, node: NodeProto) -> list[int]:
    """Return the operands that have the shape of the result."""
    made = draft.shape(node.output[0])
    shapes = [draft.shape(operand) for operand in node.input]
    return [i for i, shape in enumerate(shapes) if shape is not None and shape == made]


def skip_dropped(draft: Draft, random: Random) -> Planted:
    """Hand on one side of a sum of two branches alone."""
    return _one_side_kept(draft, random, "Add", "'{}' no longer added")


def gate_dropped(draft: Draft, random: Random) -> Planted:
    """Hand on one side of a product of two branches alone."""
    return _one_side_kept(draft, random, "Mul", "no longer multiplied by '{}'")


def _one_side_kept(draft: Draft, random: Random, kind: str, what: str) -> Planted:
    for node in _joins(draft, random, kind):
        fitting = _fitting(draft, node)
        if fitting:
            kept = random.choice(fitting)
            left_out = node.input[1 - kept]
            bypass(node, kept)
            return node, what.format(left_out)
    return None


def subtracted(draft: Draft, random: Random) -> Planted:
    """Subtract where two branches are added."""
    for node in _joins(draft, random, "Add"):
        node.op_type = "Sub"
        return node, "Add exchanged for Sub"
    return None


def operands_swapped(draft: Draft, random: Random) -> Planted:
    """Swap the operands of an operation for which the order matters."""
    for node in draft.nodes(random, "Sub", "Div", "Pow", "Where", "Less", "Greater"):
        first = 1 if node.op_type == "Where" else 0
        if node.input[first] != node.input[first + 1]:
            swapped = node.input[first + 1], node.input[first]
            node.input[first], node.input[first + 1] = swapped
            return node, f"the operands of {node.op_type} swapped"
    return None


def concatenated_in_another_order(draft: Draft, random: Random) -> Planted:
    """Turn round what is concatenated."""
    for node in draft.nodes(random, "Concat"):
        given = list(node.input)
        tensors = not all(draft.is_constant(name) for name in given)
        shape = draft.shape(given[0])
        lengths = shape is not None and len(shape) == 1  # a shape that is put together
        if tensors and not lengths and given != given[::-1]:
            del node.input[:]
            node.input.extend(given[::-1])
            return node, f"{len(given)} values concatenated from last to first"
    return None


def rewired(draft: Draft, random: Random) -> Planted:
    """Let a node take an earlier value of the same shape."""
    made = [name for node in draft.graph.node for name in node.output]
    made = [*(given.name for given in draft.graph.input), *made]
    for node in draft.nodes(random, *{n.op_type for n in draft.graph.node}):
        for index, taken in enumerate(node.input):
            shape = draft.shape(taken)
            if taken not in made or not shape or None in shape or len(shape) < 2:
                continue
            producer = draft.producers.get(taken)
            if producer is None or producer.op_type in _SAME_VALUE:
                continue
            others = [
                name
                for name in made[: made.index(taken)]
                if draft.shape(name) == shape and name not in node.input
            ]
            if others:
                node.input[index] = random.choice(others)
                return node, f"takes '{node.input[index]}' in place of '{taken}'"
    return None
