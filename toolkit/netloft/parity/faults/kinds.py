"""The kinds of faults, and how one of each is planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import onnx

from netloft.defaults import MODULE
from netloft.parity.faults import (
    activations,
    arithmetic,
    biases,
    layout,
    weights,
    windows,
    wiring,
)
from netloft.parity.faults.draft import Draft, Original, Plant

__all__ = ["KINDS", "Fault", "plant"]

KINDS: Mapping[str, Plant] = {
    "weight scaled by 1e-2": weights.scaled(1e-2),
    "weight scaled by 1e-3": weights.scaled(1e-3),
    "weight scaled by 1e-4": weights.scaled(1e-4),
    "sign of one weight flipped": weights.sign_flipped,
    "channels swapped": weights.channels_swapped,
    "filter zeroed": weights.filter_zeroed,
    "weight zeroed": weights.tensor_zeroed,
    "all weights zeroed": weights.all_zeroed,
    "weight rounded to float16": weights.rounded_to_half,
    "weight rounded to bfloat16": weights.rounded_to_bfloat16,
    "square weight transposed": weights.transposed,
    "kernel mirrored": weights.mirrored,
    "weights of two layers exchanged": weights.exchanged,
    "bias zeroed": biases.zeroed,
    "bias shifted": biases.shifted,
    "epsilon changed": biases.epsilon_changed,
    "activation dropped": activations.dropped,
    "activation exchanged": activations.exchanged,
    "bound or slope changed": activations.bound_changed,
    "softmax axis changed": activations.axis_changed,
    "skip connection dropped": wiring.skip_dropped,
    "gate dropped": wiring.gate_dropped,
    "sum subtracted": wiring.subtracted,
    "operands swapped": wiring.operands_swapped,
    "concatenation turned round": wiring.concatenated_in_another_order,
    "another value taken": wiring.rewired,
    "pad moved": windows.pad_moved,
    "dilation doubled": windows.dilated,
    "stride halved": windows.stride_halved,
    "pool exchanged": windows.pool_exchanged,
    "padding counted": windows.pad_counted,
    "ceil mode flipped": windows.ceil_flipped,
    "constant changed": arithmetic.constant_changed,
    "Gemm factor changed": arithmetic.factor_changed,
    "Gemm transposition flipped": arithmetic.transposition_flipped,
    "axes exchanged": layout.permutation_changed,
    "flattened in another order": layout.flattened_in_another_order,
    "slice moved": layout.slice_moved,
    "index moved": layout.index_moved,
}
"""By name. A kind that has no place in a file is not planted there, nor is what changes nothing."""


@dataclass(frozen=True)
class Fault:
    """What was planted.

    Attributes:
        kind: A key of `KINDS`.
        node: Name of the node that is at fault.
        module: Path of the module that it belongs to, where the file tells it.
        what: What was done to it.
    """

    kind: str
    node: str
    module: str
    what: str


def plant(kind: str, original: Original, random: Random) -> tuple[Fault, onnx.ModelProto] | None:
    """Plant a fault in a copy of a file.

    Args:
        kind: A key of `KINDS`.
        original: The file; it stays as it is.
        random: Chooses the place.

    Returns:
        The fault, and the copy, whose other weights still lie in the file; None where there is no
        place for this kind.
    """
    draft = Draft(original)
    names = {node.output[0]: node.name or node.output[0] for node in draft.graph.node}
    planted = KINDS[kind](draft, random)
    if planted is None:
        return None
    node, what = planted
    module = next((entry.value for entry in node.metadata_props if entry.key == MODULE), "")
    return Fault(kind, names[node.output[0]], module, what), draft.model
