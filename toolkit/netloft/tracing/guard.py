"""What is refused before tracing, and what a forward pass must leave as it was."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from netloft.errors import InputError, TraceError
from netloft.tracing.shapes import resized

__all__ = ["as_batched", "changed_weight", "check_module", "plain_state", "random_state"]


def check_module(module: nn.Module) -> None:
    """Refuse a module that a graph cannot stand for, before any work.

    Raises:
        TraceError: It trains, hides its forward behind a hook, or lies on another device.
    """
    if not isinstance(module, nn.Module):
        raise TraceError(
            f"a {type(module).__name__} is not a torch.nn.Module",
            remedy="give a module, or load one with netloft.load",
        )
    name = type(module).__name__
    training = [path for path, child in module.named_modules() if child.training]
    if training:
        raise TraceError(
            f"{name} is in training mode",
            module=training[0] or "the whole network",
            remedy="call .eval() before tracing",
        )
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise TraceError(
            f"{name} has a forward hook, or a forward of its own instance, at its root",
            remedy="put the network into a module whose forward calls it",
        )
    tensors = (*module.named_parameters(), *module.named_buffers())
    away = [(path, t.device) for path, t in tensors if t.device.type != "cpu"]
    if away:
        raise TraceError(
            f"'{away[0][0]}' of {name} is on {away[0][1]}",
            remedy="call .cpu() before tracing; CUDA is chosen with --provider cuda",
        )


def as_batched(inputs: Mapping[str, torch.Tensor], batch: str | int) -> dict[str, torch.Tensor]:
    """Check the batch of the inputs, and give them a fixed one's size.

    Raises:
        InputError: There is no batch axis, the sizes differ, or `batch` is not a size.
    """
    sizes = {name: t.shape[0] for name, t in inputs.items() if t.dim()}
    if not sizes:
        raise InputError(
            "no input has a batch axis", remedy="give an --input whose first axis is the batch"
        )
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"the inputs have different batch sizes: {sizes}",
            remedy="give every --input the same first length",
        )
    if batch == "dynamic":
        return dict(inputs)
    if not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch {batch!r} is not a size", remedy="give 'dynamic' or 1, 2, …")
    return {name: resized(t, batch) if t.dim() else t for name, t in inputs.items()}


def random_state() -> dict[str, object]:
    """Return the state of each generator that a forward pass may draw from."""
    _, keys, *position = np.random.get_state()
    return {
        "torch": torch.random.get_rng_state().numpy().tobytes(),
        "random": random.getstate(),
        "numpy": np.asarray(keys).tobytes() + repr(position).encode(),
    }


def plain_state(module: nn.Module) -> dict[str, object]:
    """Return the plain attributes of a module and all below it: numbers, text, flags."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, child in module.named_modules()
        for name, value in vars(child).items()
        if isinstance(value, bool | int | float | str) and not name.startswith("_")
    }


def changed_weight(original: nn.Module, used: nn.Module) -> str:
    """Return the name of a parameter or buffer that is no longer what it was; empty if none.

    Contents are compared, because a write through `.data` leaves no other trace.
    """
    before, after = _state(original), _state(used)
    for name, tensor in before.items():
        now = after.get(name)
        if now is None or now.shape != tensor.shape or not _same(tensor, now):
            return name
    return ""


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    # under every name: one that came while it was traced must not hide the tensor's own
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())
