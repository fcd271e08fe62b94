"""Fold a scale of each channel into the convolutions or matrix products behind it.

Given:
    %c = sub(%x, mean)
    %s = mul(%c, scale)     one number for each channel, or one for all
    %y = conv2d(%s)         weight W, padded with zeros

Result:
    %c = sub(%x, mean)
    %y = conv2d(%c)         weight W[:, i] * scale[i]

A padded zero stays zero under a scale, so this is exact at the borders too. It is not so for a
shift, which stays where it is: moved into the bias, it would shift the padding.

Leaves alone:
    A scale that anything else reads too; a weight that another call reads too; a scale along
    another axis, or one that changes the element type; what is not finite.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx

from netloft.passes.affine import Affine, affine_of, input_of, put_affine, weight_readers, wide
from netloft.passes.edit import Edit, info_of

__all__ = ["fold_scale"]

_SMALLEST, _LARGEST = 1e-9, 1e9
"""Beyond these a weight could leave float32's range where the scaled value did not."""


def fold_scale(edit: Edit) -> None:
    """Fold each scale that is read by such operations alone."""
    shared = weight_readers(edit)
    for node, record in reversed(list(edit)):  # of two in a row the later first
        if record.op not in ("mul", "div") or not node.users:
            continue
        operand, factor = _parts(edit, node, record.op)
        if operand is None or factor is None or info_of(operand) is None:
            continue
        readers = {user: affine_of(edit, user, user.meta["netloft"]) for user in node.users}
        folded = {
            user: _folded(node, user, operand, factor, affine)
            for user, affine in readers.items()
            if affine is not None and shared[id(affine.own_weight)] == 1
        }
        if len(folded) < len(readers) or None in folded.values():
            continue
        for user, affine in folded.items():
            assert affine is not None
            put_affine(edit, user, affine, user.meta["netloft"], user.name)
            user.args = (operand,)
            edit.note(user, f"%{node.name} is folded into its weight")
        operands = node.all_input_nodes
        edit.erase(node)
        edit.drop_unread(operands, next(iter(folded)))


def _parts(edit: Edit, node: fx.Node, op: str) -> tuple[fx.Node | None, Tensor | None]:
    """Return the operand of a product and its known factor; None where there is none."""
    if len(node.args) != 2 or node.kwargs:
        return None, None
    first, second = node.args
    factor = _known(edit, second)
    if factor is None and op == "mul":
        first, factor = second, _known(edit, first)
    if factor is None or not isinstance(first, fx.Node):
        return None, None
    return first, 1 / factor if op == "div" else factor


def _known(edit: Edit, argument: object) -> Tensor | None:
    if isinstance(argument, fx.Node):
        tensor = edit.tensor_of(argument)
        return wide(tensor) if tensor is not None and tensor.dtype.is_floating_point else None
    if isinstance(argument, int | float) and not isinstance(argument, bool):
        return torch.tensor(float(argument), dtype=torch.float64)
    return None


def _folded(
    node: fx.Node, user: fx.Node, operand: fx.Node, factor: Tensor, affine: Affine
) -> Affine | None:
    """Return what a reader of a product is without it; None where it cannot do without."""
    before = info_of(operand)
    if before is None or before != info_of(node) or input_of(user) is not node:
        return None
    if affine.own_weight.dtype not in (torch.float32, torch.float64):
        return None  # a shorter type has no room for small weights
    rank = len(before.shape)
    axis = rank - 1 if affine.op == "linear" else 1
    if affine.op != "linear" and rank != int(affine.op[-2]) + 2:
        return None  # no batch: the channels lie elsewhere
    channels = before.shape[axis]
    lengths = [1] * (rank - factor.dim()) + list(factor.shape)
    others = math.prod(lengths[:axis] + lengths[axis + 1 :])
    if not isinstance(channels, int) or others != 1 or lengths[axis] not in (1, channels):
        return None
    size = factor.abs()
    if not bool(((size >= _SMALLEST) & (size <= _LARGEST)).all()):
        return None
    return affine.scaling_input(factor.reshape(-1).expand(channels))
