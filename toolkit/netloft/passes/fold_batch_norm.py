"""Fold a BatchNorm into the convolution or matrix product in front of it.

Given:
    %a = conv2d(%x)         weight W, bias b
    %b = batch_norm(%a)     gamma, beta, running mean and variance

Result:
    %a = conv2d(%x)         weight W * s, bias (b - mean) * s + beta, s = gamma / sqrt(var + eps)

Leaves alone:
    A convolution whose result something else reads too; a weight that another call reads too (one
    convolution in front of two norms); a norm with the statistics of the batch.

Source: Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2. Scale and
shift are computed in float64 and meet the weights when the file is written: each is rounded once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, fx, nn

from netloft.graph.annotation import Annotation
from netloft.graph.graph import annotation
from netloft.passes.affine import affine_of, put_affine, weight_readers, wide
from netloft.passes.edit import Edit, info_of

__all__ = ["fold_batch_norm"]


def fold_batch_norm(edit: Edit) -> None:
    """Fold each norm that is the only reader of its convolution."""
    readers = weight_readers(edit)
    for node, record in edit:
        if record.op != "batch_norm" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        operand = node.args[0]
        before = annotation(operand)
        affine = affine_of(edit, operand, before)
        scale_shift = _scale_and_shift(edit, node)
        if affine is None or scale_shift is None or len(operand.users) != 1:
            continue
        if readers[id(affine.own_weight)] > 1 or not _along_channels(operand, affine.channels):
            continue
        put_affine(edit, operand, affine.scaled(*scale_shift), _both(before, record), operand.name)
        edit.note(node, f"folded into %{operand.name}")
        operands = node.all_input_nodes
        edit.replace(node, operand)
        edit.drop_unread(operands, operand)


def _both(first: Annotation, second: Annotation) -> Annotation:
    return dataclasses.replace(
        first,
        attributes={**first.attributes, "bias": True},
        parameters=(*first.parameters, *second.parameters),
        n_params=first.n_params + second.n_params,
    )


def _along_channels(operand: fx.Node, channels: int) -> bool:
    """The norm works along axis 1, which has to be the operation's own: not so without a batch."""
    info, op = info_of(operand), annotation(operand).op
    rank = 2 if op == "linear" else int(op[-2]) + 2
    return info is not None and len(info.shape) == rank and info.shape[1] == channels


def _scale_and_shift(edit: Edit, node: fx.Node) -> tuple[Tensor, Tensor] | None:
    found = _of_module(edit, node) if node.op == "call_module" else _of_function(edit, node)
    if found is None:
        return None
    mean, variance, gamma, beta, eps = found
    scale = 1 / torch.sqrt(wide(variance) + eps)
    if gamma is not None:
        scale = scale * wide(gamma)
    shift = -wide(mean) * scale
    return scale, shift if beta is None else shift + wide(beta)


Statistics = tuple[Tensor, Tensor, Tensor | None, Tensor | None, float]


def _of_module(edit: Edit, node: fx.Node) -> Statistics | None:
    module: Any = edit.module_of(node)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if type(module) not in norms or module.running_mean is None or module.training:
        return None
    if "forward" in vars(module):
        return None
    return module.running_mean, module.running_var, module.weight, module.bias, module.eps


def _of_function(edit: Edit, node: fx.Node) -> Statistics | None:
    names = (
        "input",
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "training",
        "momentum",
        "eps",
    )
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    if given.get("training", False) is not False:
        return None
    tensors = [
        edit.tensor_of(value) if isinstance(value, fx.Node) else None
        for value in (given.get(name) for name in names[1:5])
    ]
    mean, variance, gamma, beta = tensors
    known = all(
        (given.get(n) is None) == (t is None) for n, t in zip(names[1:5], tensors, strict=True)
    )
    eps = given.get("eps", 1e-5)
    if mean is None or variance is None or not known or not isinstance(eps, float):
        return None
    return mean, variance, gamma, beta, eps
