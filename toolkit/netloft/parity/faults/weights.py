"""Faults in the values of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from netloft.parity.faults.draft import Array, Draft, Plant, Planted, attribute

__all__ = [
    "all_zeroed",
    "channels_swapped",
    "exchanged",
    "filter_zeroed",
    "mirrored",
    "rounded_to_bfloat16",
    "rounded_to_half",
    "scaled",
    "sign_flipped",
    "tensor_zeroed",
    "transposed",
]

_OPERANDS = {
    "Conv": (1,), "ConvTranspose": (1,), "Gemm": (0, 1), "MatMul": (0, 1), "Gather": (0,),
    "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2),
}  # fmt: skip
_FLOATS = ("float32", "float64", "float16")

Place = tuple[NodeProto, int]


def _places(draft: Draft, random: Random, *kinds: str) -> list[Place]:
    found = [
        (node, index)
        for node in draft.nodes(random, *(kinds or _OPERANDS))
        for index in _OPERANDS[node.op_type]
        if index < len(node.input) and draft.is_constant(node.input[index])
    ]
    random.shuffle(found)
    return found


def _weights(draft: Draft, random: Random, *kinds: str) -> Iterator[tuple[Place, Array]]:
    """Read one weight after another, in a random order."""
    for node, index in _places(draft, random, *kinds):
        weight = draft.constant(node, index)
        if weight is not None and weight.dtype.name in _FLOATS and weight.size > 1:
            yield (node, index), weight


def _changed(
    draft: Draft, random: Random, change: Callable[[Place, Array], Array | None], what: str
) -> Planted:
    """Change the first weight that the change applies to, and is not as it was."""
    for (node, index), weight in _weights(draft, random):
        made = change((node, index), weight)
        if made is not None and draft.change(node, index, made.astype(weight.dtype)):
            return node, what
    return None


def scaled(by: float) -> Plant:
    """Return the fault of a weight that is larger by a fraction."""

    def plant(draft: Draft, random: Random) -> Planted:
        factor = 1 + by
        return _changed(draft, random, lambda _, w: w * factor, f"the weight times {factor}")

    return plant


def sign_flipped(draft: Draft, random: Random) -> Planted:
    """Flip the sign of one element."""
    for (node, index), weight in _weights(draft, random):
        filled = np.flatnonzero(weight)
        if len(filled):
            at = int(random.choice(filled))
            place = np.unravel_index(at, weight.shape)
            weight[place] = -weight[place]
            draft.change(node, index, weight)
            return node, f"the sign of weight{[int(i) for i in place]} flipped"
    return None


def _axis(node: NodeProto) -> int:
    """Return the axis of a weight's output channels."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"ConvTranspose": 1, "MatMul": -1, "LSTM": 1, "GRU": 1, "RNN": 1}.get(node.op_type, 0)


def channels_swapped(draft: Draft, random: Random) -> Planted:
    """Exchange two output channels."""

    def swap(place: Place, weight: Array) -> Array | None:
        rows = np.moveaxis(weight, _axis(place[0]), 0)
        if len(rows) < 2:
            return None
        first, second = random.sample(range(len(rows)), 2)
        rows[[first, second]] = rows[[second, first]]
        return weight

    return _changed(draft, random, swap, "two output channels of the weight swapped")


def filter_zeroed(draft: Draft, random: Random) -> Planted:
    """Set the weights of one output channel to zero."""

    def zero(place: Place, weight: Array) -> Array | None:
        rows = np.moveaxis(weight, _axis(place[0]), 0)
        if len(rows) < 2:
            return None
        rows[random.randrange(len(rows))] = 0
        return weight

    return _changed(draft, random, zero, "one output channel of the weight zeroed")


def tensor_zeroed(draft: Draft, random: Random) -> Planted:
    """Set one weight to zero."""
    return _changed(draft, random, lambda _, w: np.zeros_like(w), "the weight zeroed")


def all_zeroed(draft: Draft, random: Random) -> Planted:
    """Set every weight to zero, without writing zeros."""
    places = _places(draft, random)
    names = dict.fromkeys(node.input[index] for node, index in places)
    for name in names:
        _zero_everywhere(draft, name)
    return (places[0][0], f"all {len(names)} weights zeroed") if names else None


def _zero_everywhere(draft: Draft, name: str) -> None:
    kind, shape = draft.forget(name)
    lengths = f"{name}/shape"
    draft.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), lengths))
    zero = helper.make_tensor("zero", kind, [1], [0])
    node = helper.make_node("ConstantOfShape", [lengths], [name], value=zero)
    draft.insert(node, 0)


def rounded_to_half(draft: Draft, random: Random) -> Planted:
    """Round one weight to float16."""

    def half(_: Place, weight: Array) -> Array | None:
        fits = np.abs(weight).max() < np.finfo(np.float16).max
        return weight.astype(np.float16) if fits else None

    return _changed(draft, random, half, "the weight rounded to float16")


def rounded_to_bfloat16(draft: Draft, random: Random) -> Planted:
    """Round one weight to bfloat16: the upper half of a float32, to the nearest even."""

    def upper(_: Place, weight: Array) -> Array:
        bits = weight.astype(np.float32).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        bits = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)

    return _changed(draft, random, upper, "the weight rounded to bfloat16")


def transposed(draft: Draft, random: Random) -> Planted:
    """Transpose a weight that is as wide as it is high."""

    def turn(_: Place, weight: Array) -> Array | None:
        square = weight.ndim >= 2 and weight.shape[0] == weight.shape[1]
        return np.swapaxes(weight, 0, 1) if square else None

    return _changed(draft, random, turn, "the square weight transposed")


def mirrored(draft: Draft, random: Random) -> Planted:
    """Turn the kernels of a convolution round, as a true convolution has them."""
    for (node, index), weight in _weights(draft, random, "Conv", "ConvTranspose"):
        axes = tuple(range(2, weight.ndim))
        if draft.change(node, index, np.flip(weight, axes)):
            return node, "the kernels turned round"
    return None


def exchanged(draft: Draft, random: Random) -> Planted:
    """Exchange the weights of two layers of the same shape."""
    by_shape: dict[object, Place] = {}
    for node, index in _places(draft, random):
        key = node.op_type, draft.shape(node.input[index])
        other, place = by_shape.setdefault(key, (node, index))
        if other.input[place] == node.input[index]:
            continue
        mine, theirs = draft.constant(node, index), draft.constant(other, place)
        if mine is not None and theirs is not None and not np.array_equal(mine, theirs):
            node.input[index], other.input[place] = other.input[place], node.input[index]
            return node, f"its weight exchanged with that of {other.name or other.output[0]}"
    return None
