"""Faults in activations."""

from __future__ import annotations

from random import Random

from onnx import NodeProto

from netloft.parity.faults.draft import Draft, Planted, attribute, bypass, set_attribute

__all__ = ["axis_changed", "bound_changed", "dropped", "exchanged"]

_OTHERS = {
    "Relu": "LeakyRelu", "LeakyRelu": "Relu", "PRelu": "Relu", "Sigmoid": "HardSigmoid",
    "HardSigmoid": "Sigmoid", "Tanh": "Softsign", "Erf": "Tanh", "Elu": "Selu", "Selu": "Elu",
    "HardSwish": "Relu", "Softplus": "Relu", "Softmax": "LogSoftmax", "LogSoftmax": "Softmax",
    "Mish": "Softplus",
}  # fmt: skip
"""What each is mistaken for."""
_ELEMENTWISE = tuple(kind for kind in _OTHERS if "max" not in kind)


def _changes_nothing(draft: Draft, node: NodeProto) -> bool:
    """Tell whether a node rectifies what cannot be negative, or is rectified after it."""
    if node.op_type not in ("Relu", "LeakyRelu"):
        return False
    users = list(draft.users(node.output[0]))
    again = bool(users) and all(user.op_type == "Relu" for user in users)
    return again or draft.not_negative(node.input[0])


def dropped(draft: Draft, random: Random) -> Planted:
    """Leave an activation out."""
    for node in draft.nodes(random, *_ELEMENTWISE, "Clip", "Gelu"):
        if not _changes_nothing(draft, node):
            what = f"{node.op_type} left out"
            bypass(node)
            return node, what
    return None


def exchanged(draft: Draft, random: Random) -> Planted:
    """Put another activation in the place of one."""
    for node in draft.nodes(random, *_OTHERS, "Clip", "Gelu"):
        if _changes_nothing(draft, node):
            continue
        before = node.op_type
        if before == "Gelu":
            exact = attribute(node, "approximate", b"none") == b"none"
            set_attribute(node, "approximate", "tanh" if exact else "none")
            return node, "Gelu by tanh" if exact else "Gelu by erf"
        if before == "Clip":
            if draft.constant(node, 1) is None or draft.constant(node, 2) is None:
                continue
            del node.input[2:]
            return node, "Clip without its upper bound"
        keep_axis = "max" in before
        del node.input[1:]
        if not keep_axis:
            del node.attribute[:]
        node.op_type = _OTHERS[before]
        return node, f"{before} exchanged for {node.op_type}"
    return None


def bound_changed(draft: Draft, random: Random) -> Planted:
    """Move a bound, or the slope of an activation, by a hundredth."""
    alphas = {"LeakyRelu": 0.01, "Elu": 1.0, "HardSigmoid": 0.2, "Selu": 1.67326, "Celu": 1.0}
    for node in draft.nodes(random, "Clip", *alphas):
        if node.op_type != "Clip":
            alpha = float(attribute(node, "alpha", alphas[node.op_type]))
            set_attribute(node, "alpha", alpha * 1.01)
            return node, f"alpha {alpha:.3g} times 1.01"
        for index in (2, 1):
            bound = draft.constant(node, index)
            if bound is not None and draft.change(node, index, bound * bound.dtype.type(1.01)):
                return node, f"a bound {float(bound.item()):.3g} times 1.01"
    return None


def axis_changed(draft: Draft, random: Random) -> Planted:
    """Let a softmax go along another axis."""
    for node in draft.nodes(random, "Softmax", "LogSoftmax"):
        shape = draft.shape(node.input[0])
        if shape is None or len(shape) < 2:
            continue
        before = int(attribute(node, "axis", -1)) % len(shape)
        others = [a for a, length in enumerate(shape) if a != before and length != 1]
        if others and shape[before] != 1:
            set_attribute(node, "axis", random.choice(others))
            return node, f"along axis {attribute(node, 'axis')} instead of {before}"
    return None
