"""Faults in the order of elements."""

from __future__ import annotations

from random import Random

import numpy as np
from onnx import helper

from netloft.parity.faults.draft import Draft, Planted, Shape, attribute, set_attribute

__all__ = ["flattened_in_another_order", "index_moved", "permutation_changed", "slice_moved"]


def permutation_changed(draft: Draft, random: Random) -> Planted:
    """Exchange two axes of equal length in a transposition."""
    for node in draft.nodes(random, "Transpose"):
        shape = draft.shape(node.input[0])
        if shape is None:
            continue
        order = list(attribute(node, "perm", range(len(shape))[::-1]))
        pairs = [
            (i, j)
            for i in range(len(order))
            for j in range(i)
            if shape[order[i]] == shape[order[j]] and shape[order[i]] not in (None, 1)
        ]
        if pairs:
            first, second = random.choice(pairs)
            order[first], order[second] = order[second], order[first]
            set_attribute(node, "perm", order)
            return node, f"axes {second} and {first} of the result exchanged"
    return None


def flattened_in_another_order(draft: Draft, random: Random) -> Planted:
    """Flatten channels last."""
    for node in draft.nodes(random, "Flatten", "Reshape"):
        taken, made = draft.shape(node.input[0]), draft.shape(node.output[0])
        if taken is None or made is None or not _flattens(taken, made):
            continue
        name = f"{node.input[0]}/channels_last"
        order = [0, *range(2, len(taken)), 1]
        turned = helper.make_node("Transpose", [node.input[0]], [name], perm=order)
        place = draft.place(node)
        node.input[0] = name
        draft.insert(turned, place)
        return node, "flattened with the channels last"
    return None


def _flattens(taken: Shape, made: Shape) -> bool:
    """Tell whether a batch of maps becomes one of rows, and the order of their elements counts."""
    many = [length for length in taken[2:] if length != 1]
    return len(taken) > 2 and len(made) == 2 and taken[1] not in (None, 1) and bool(many)


def slice_moved(draft: Draft, random: Random) -> Planted:
    """Let a slice begin and end one element earlier, or later."""
    for node in draft.nodes(random, "Slice"):
        starts, ends, axes = (draft.constant(node, index) for index in (1, 2, 3))
        shape = draft.shape(node.input[0])
        if starts is None or ends is None or axes is None or shape is None:
            continue
        if starts.size != 1 or (len(node.input) > 4 and not _step_is_one(draft.constant(node, 4))):
            continue
        start, end, length = int(starts.item()), int(ends.item()), shape[int(axes.item())]
        if not isinstance(length, int):
            continue
        first, last = (min(n + length if n < 0 else n, length) for n in (start, end))
        by = 1 if last < length else -1
        if first + by >= 0 and first < last:
            draft.change(node, 1, np.array([first + by], starts.dtype))
            draft.change(node, 2, np.array([last + by], ends.dtype))
            return node, f"[{first}:{last}] became [{first + by}:{last + by}]"
    return None


def _step_is_one(steps: object) -> bool:
    return isinstance(steps, np.ndarray) and bool((steps == 1).all())


def index_moved(draft: Draft, random: Random) -> Planted:
    """Take the neighbour of the element that is wanted."""
    for node in draft.nodes(random, "Gather"):
        shape, index = draft.shape(node.input[0]), draft.constant(node, 1)
        if shape is None or index is None or index.size != 1 or len(shape) < 2:
            continue
        length = shape[int(attribute(node, "axis", 0))]
        if isinstance(length, int) and length > 1:
            moved = (int(index.item()) % length + 1) % length
            draft.change(node, 1, np.full_like(index, moved))
            return node, f"element {moved} in place of {int(index.item())}"
    return None
