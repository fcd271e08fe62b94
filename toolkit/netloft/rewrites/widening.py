"""More channels for values between convolutions: what they hold, nothing reads.

The convolutions that give such a value get filters of zeros, and those that read it get weights of
zeros for them. Between them stand operators that do the same to each channel: whatever comes of a
zero there is finite, for finite input, and is multiplied by zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.rewrites.names import Names
from netloft.rewrites.site import Site, constant_of, held_of

__all__ = ["Widening", "widening_of"]

_ONE = {
    "Abs", "AveragePool", "Clip", "Elu", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mish", "Neg", "Relu", "Sigmoid", "Tanh",
}  # fmt: skip
"""Operators of one picture that are finite at zero; what else they read is for all channels."""

_TWO = {"Add", "Mul", "Sub"}

_SPATIAL = {2, 3, -1, -2}


@dataclass
class Widening:
    """What changes where some values get more channels.

    Attributes:
        more: Channels that are added, by value.
        giving: Convolutions that get as many filters of zeros.
        reading: Convolutions that get zeros for as many channels of their input.
    """

    more: dict[ir.Value, int] = field(default_factory=dict)
    giving: dict[ir.Node, int] = field(default_factory=dict)
    reading: dict[ir.Node, int] = field(default_factory=dict)

    def write(self, names: Names) -> None:
        """Change the convolutions and the shapes.

        Args:
            names: Of the file.
        """
        for node, more in self.giving.items():
            for place in range(1, len(node.inputs)):
                if node.inputs[place] is not None:
                    _with_zeros(node, place, more, 0, names)
        for node, more in self.reading.items():
            _with_zeros(node, 1, more, 1, names)
        for value, more in self.more.items():
            assert value.shape is not None
            batch, _, *size = value.shape
            value.shape = ir.Shape([batch, _channels(value) + more, *size])

    def around(self, value: ir.Value, center: ir.Node) -> list[ir.Value] | None:
        """Note the convolutions at both ends of a value that gets more channels.

        Args:
            value: It.
            center: The convolution that is the caller's.

        Returns:
            Values that have to get as many, because an operator stands between; None where
            something else does, or where others than this file's nodes have the value.
        """
        giver, alike = value.producer(), list[ir.Value]()
        if giver is None or value.is_graph_output() or not _channels(value):
            return None
        ends = [(giver, self.giving, giver is center or _is_open(giver))]
        ends += [
            (user, self.reading, place == 0 and _is_open(user))
            for user, place in value.uses()
            if user is not center
        ]
        for node, convolutions, is_open in ends:
            through = _through(node, value)
            if node.graph is not center.graph or not (is_open or through):
                return None
            if is_open:
                convolutions[node] = self.more[value]
            alike += through
        return alike


def widening_of(site: Site, before: int, after: int) -> Widening | None:
    """Return what has to change so that a convolution reads and gives more channels.

    It gets filters of zeros like its neighbours; what it reads of its input is left to the caller.

    Args:
        site: It.
        before: Channels that its input gets.
        after: Channels that its result gets.

    Returns:
        None where something stands between it and other convolutions that cannot have more.
    """
    found, x = Widening(), site.node.inputs[0]
    assert x is not None
    todo = [(x, before), (site.node.outputs[0], after)]
    while todo:
        value, more = todo.pop()
        if value in found.more:
            if found.more[value] != more:
                return None
            continue
        found.more[value] = more
        alike = found.around(value, site.node)
        if alike is None:
            return None
        todo += [(other, more) for other in alike]
    return found


def _is_open(node: ir.Node) -> bool:
    """Tell whether it is a convolution without groups whose weights stand in the file."""
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    return (
        (node.domain, node.op_type) == ("", "Conv")
        and node.attributes.get_int("group", 1) == 1
        and constant_of(node, 1) is not None
        and (not has_bias or constant_of(node, 2) is not None)
    )


def _through(node: ir.Node, value: ir.Value) -> list[ir.Value]:
    """Return the values with the same channels at an operator that keeps them apart, or none."""
    pictures: Sequence[ir.Value | None] = ()
    if node.op_type in _ONE or (node.op_type == "ReduceMean" and _keeps_channels(node)):
        pictures = node.inputs[:1]
    elif node.op_type in _TWO:
        pictures = [other for other in node.inputs if not _is_single(other)]
    if node.domain or not pictures or len(node.outputs) != 1:
        return []
    held = [other for other in (*pictures, *node.outputs) if other is not None]
    alike = all(_channels(other) == _channels(value) for other in held)
    return held if value in held and alike else []


def _keeps_channels(node: ir.Node) -> bool:
    """Tell whether it reduces height and width alone, in every run."""
    given: Sequence[int] = node.attributes.get_ints("axes", ())
    if len(node.inputs) > 1:
        axes = held_of(node.inputs[1])
        given = () if axes is None else axes.numpy().reshape(-1).tolist()
    keeps_lengths = node.attributes.get_int("keepdims", 1) == 1
    return bool(given) and _SPATIAL.issuperset(given) and keeps_lengths


def _is_single(value: ir.Value | None) -> bool:
    """Tell whether it is one number in every run."""
    number = held_of(value)
    return number is not None and number.size == 1 and bool(np.isfinite(number.numpy()).all())


def _channels(value: ir.Value) -> int:
    """Return how many channels a picture has; 0 where it is none, or where that is open."""
    shape = value.shape
    if shape is None or len(shape) != 4 or not isinstance(shape[1], int):
        return 0
    return shape[1]


def _with_zeros(node: ir.Node, place: int, more: int, axis: int, names: Names) -> None:
    """Give a convolution another constant, with zeros behind what it has."""
    tensor, old = constant_of(node, place), node.inputs[place]
    assert tensor is not None
    assert old is not None
    array: npt.NDArray[np.float32] = tensor.numpy()
    width = [(0, more if axis == other else 0) for other in range(array.ndim)]
    node.replace_input_with(place, names.own(f"{old.name}/widened", np.pad(array, width)))
