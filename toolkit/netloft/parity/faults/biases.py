"""Faults in biases, and in the small numbers of norms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np
from onnx import NodeProto

from netloft.parity.faults.draft import Array, Draft, Planted, attribute, set_attribute

__all__ = ["epsilon_changed", "shifted", "zeroed"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "BatchNormalization", "LayerNormalization",
           "InstanceNormalization", "GroupNormalization")  # fmt: skip
_EPSILON = {"BatchNormalization": 1e-5, "LayerNormalization": 1e-5, "InstanceNormalization": 1e-5,
            "GroupNormalization": 1e-5, "RMSNormalization": 1e-5}  # fmt: skip


def _biases(draft: Draft, random: Random) -> Iterator[tuple[NodeProto, int, Array]]:
    for node in draft.nodes(random, *_LAYERS, "Add"):
        for index in (0, 1) if node.op_type == "Add" else (2,):
            bias = draft.constant(node, index)
            if bias is not None and bias.size > 1 and np.issubdtype(bias.dtype, np.floating):
                yield node, index, bias


def _changed(draft: Draft, random: Random, change: Callable[[Array], Array], what: str) -> Planted:
    for node, index, bias in _biases(draft, random):
        if draft.change(node, index, change(bias)):
            return node, what
    return None


def zeroed(draft: Draft, random: Random) -> Planted:
    """Set a bias to zero that is not."""
    return _changed(draft, random, np.zeros_like, "the bias zeroed")


def shifted(draft: Draft, random: Random) -> Planted:
    """Give each channel the bias of its neighbour."""
    return _changed(
        draft, random, lambda bias: np.roll(bias.ravel(), 1).reshape(bias.shape),
        "the bias shifted by one channel",
    )  # fmt: skip


def epsilon_changed(draft: Draft, random: Random) -> Planted:
    """Make the number ten times larger that keeps a norm from dividing by zero."""
    for node in draft.nodes(random, *_EPSILON, "Add"):
        if node.op_type != "Add":
            epsilon = float(attribute(node, "epsilon", _EPSILON[node.op_type]))
            set_attribute(node, "epsilon", 10 * epsilon)
            return node, f"epsilon {epsilon:.1g} times ten"
        if not any(user.op_type == "Sqrt" for user in draft.users(node.output[0])):
            continue
        for index in (0, 1):
            small = draft.constant(node, index)
            if small is not None and small.size == 1 and 0 < float(small.item()) < 0.01:
                draft.change(node, index, small * small.dtype.type(10))
                return node, f"epsilon {float(small.item()):.1g} times ten"
    return None
