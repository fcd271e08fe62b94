"""Lazy layers take their sizes from the first input that they see; show them one."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from netloft.errors import InputError, first_line
from netloft.models.build import one_thread, seeded
from netloft.models.domain import noise_inputs
from netloft.models.loaded import LoadedModel
from netloft.models.usercode import blame
from netloft.tracing.faithful import silent

__all__ = ["fill_lazy", "has_lazy"]


def has_lazy(module: nn.Module) -> bool:
    """Tell whether some weight has no size yet."""
    return any(is_lazy(tensor) for tensor in itertools.chain(module.parameters(), module.buffers()))


def fill_lazy(model: LoadedModel, seed: int) -> None:
    """Give lazy layers their sizes and their first weights, in place; other models are left alone.

    Args:
        model: With its inputs, where they are known.
        seed: Of the weights.

    Raises:
        InputError: The inputs are unknown, or the forward pass fails on them.
    """
    if not has_lazy(model.module):
        return
    name = type(model.module).__name__
    if not model.inputs:
        raise InputError(
            f"{name} has lazy layers, whose sizes follow from its inputs",
            remedy="give --input, or state netloft_inputs in the class",
        )
    inputs = noise_inputs(model, 2, seed)
    try:
        with one_thread(), seeded(seed), torch.no_grad(), silent():
            model.module(**inputs)
    except Exception as error:
        said = first_line(error)
        raise InputError(
            f"{name} has lazy layers, and its forward pass fails on these inputs: {said}",
            source=blame(error),
            remedy="give the --input that it is made for",
        ) from error
    if has_lazy(model.module):
        raise InputError(
            f"{name} has lazy layers that its forward pass does not reach",
            remedy="remove them, or give them their sizes",
        )
