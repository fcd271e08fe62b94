"""Faults in constants and in the options of products."""

from __future__ import annotations

from random import Random

import numpy as np

from netloft.parity.faults.draft import Draft, Planted, attribute, set_attribute

__all__ = ["constant_changed", "factor_changed", "transposition_flipped"]


def constant_changed(draft: Draft, random: Random) -> Planted:
    """Move a number that is added, multiplied, divided by or taken to the power of."""
    for node in draft.nodes(random, "Mul", "Div", "Add", "Sub", "Pow"):
        for index in (0, 1):
            number = draft.constant(node, index)
            if number is None or number.size != 1 or not np.issubdtype(number.dtype, np.floating):
                continue
            if draft.change(node, index, number * number.dtype.type(1.01)):
                return node, f"the constant {float(number.item()):.4g} times 1.01"
    return None


def factor_changed(draft: Draft, random: Random) -> Planted:
    """Change alpha, the factor of a Gemm's product."""
    for node in draft.nodes(random, "Gemm"):
        alpha = float(attribute(node, "alpha", 1.0))
        set_attribute(node, "alpha", alpha * 1.001)
        return node, f"alpha {alpha:.3g} times 1.001"
    return None


def transposition_flipped(draft: Draft, random: Random) -> Planted:
    """Let a Gemm take a square weight the other way round."""
    for node in draft.nodes(random, "Gemm"):
        weight = draft.constant(node, 1)
        if weight is None or weight.shape[0] != weight.shape[1]:
            continue
        if not np.array_equal(weight, weight.T):
            turned = int(attribute(node, "transB", 0))
            set_attribute(node, "transB", 1 - turned)
            return node, f"transB {1 - turned} in place of {turned}"
    return None
