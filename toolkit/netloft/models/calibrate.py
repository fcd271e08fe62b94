"""Give a randomly initialised network statistics and heads with which its output means something.

Fresh BatchNorm statistics are mean 0 and variance 1, whatever comes in: signals then grow or
vanish through the depth of the network. Some of torchvision's heads start at zero. On such a
network a parity check compares rounding noise, or zero with zero.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netloft.errors import first_line
from netloft.models.build import one_thread, seeded
from netloft.models.domain import domain_inputs, noise_inputs
from netloft.models.loaded import LoadedModel
from netloft.tracing.clone import detached_copy
from netloft.tracing.faithful import flatten_outputs, silent

__all__ = ["calibrate", "wake_zeros"]

_log = logging.getLogger(__name__)

ITEMS = 8
ITEMS_LARGE = 2
LARGE_PIXELS = 320 * 320
"""Pictures above this many pixels are costly: they are calibrated on fewer items."""
SMALLEST_VARIANCE = 1e-3
"""Of the layer's mean: a channel that was dead on a few items must not be amplified on others."""
SAME_OUTPUT = 1e-6
"""Relative difference of two items' outputs below which the network ignores its input."""


def calibrate(model: LoadedModel, seed: int) -> str:
    """Set fresh BatchNorm statistics from inputs of the model's domain, in place.

    Args:
        model: With a module that was built here with random weights.
        seed: Of the inputs.

    Returns:
        What was done, as part of a sentence; empty where there is nothing to do.
    """
    norms = _fresh_norms(model.module)
    if not norms:
        return ""
    inputs, what = _inputs(model, seed)
    try:
        with one_thread(), seeded(seed), torch.no_grad(), silent():
            # a forward pass may change other state of its module, so a copy makes it
            work = detached_copy(model.module)
            seen = _fresh_norms(work)
            _collect(work, seen, inputs)
            outputs = flatten_outputs(work(**{name: t[:2] for name, t in inputs.items()}))
    except Exception as error:  # noqa: BLE001 - the inputs may not fit: tracing says where
        reason = first_line(error)
        # whoever runs the module next is told by an error of its own
        _log.info("BatchNorm not calibrated: the forward pass failed: %s", reason)
        return f"{_layers(len(norms))} not calibrated, for the forward pass failed"
    for norm, source in zip(norms, seen, strict=True):
        norm.load_state_dict(source.state_dict())
    # an auxiliary head that runs in training alone keeps its fresh statistics
    ran = sum(not _is_fresh(norm) for norm in norms)
    done = f"{_layers(ran)} calibrated on {what}"
    if _varies(outputs):
        return done
    _log.warning("the output of %s does not depend on its input", model.name)
    return f"{done}; its output does not depend on its input"


def _layers(count: int) -> str:
    return f"{count} BatchNorm layer{'' if count == 1 else 's'}"


def _fresh_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers with statistics; none if any of them has seen data."""
    found = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    norms = [m for m in found if m.running_mean is not None and m.running_var is not None]
    return norms if all(_is_fresh(norm) for norm in norms) else []


def _is_fresh(norm: _BatchNorm) -> bool:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    counted = norm.num_batches_tracked is not None and bool(norm.num_batches_tracked != 0)
    moved = bool((norm.running_mean != 0).any()) or bool((norm.running_var != 1).any())
    return not counted and not moved


def _inputs(model: LoadedModel, seed: int) -> tuple[dict[str, torch.Tensor], str]:
    pixels = max((math.prod(spec.shape[2:]) for spec in model.inputs), default=0)
    items = ITEMS if pixels <= LARGE_PIXELS else ITEMS_LARGE
    real = domain_inputs(model, items, seed)
    return real if real else (noise_inputs(model, items, seed), f"{items} items of noise")


def _collect(
    module: nn.Module, norms: list[_BatchNorm], inputs: Mapping[str, torch.Tensor]
) -> None:
    for norm in norms:
        norm.momentum = None  # the plain average of the passes
        norm.train()
    module(**inputs)
    for norm in norms:
        norm.eval()
        variance = cast(torch.Tensor, norm.running_var)
        variance.clamp_(min=SMALLEST_VARIANCE * float(variance.mean()))


def _varies(outputs: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether the outputs of two items differ by more than rounding."""
    for tensor in outputs.values():
        if tensor.dim() and tensor.shape[0] == 2 and tensor.dtype.is_floating_point:
            first, second = tensor.double()
            scale = float(torch.maximum(first.abs(), second.abs()).max())
            if float((first - second).abs().max()) > SAME_OUTPUT * scale:
                return True
    return False


def wake_zeros(module: nn.Module, seed: int) -> str:
    """Give weights that start at zero, or nearly, values that let a signal through.

    Heads of torchvision's vision transformers are zero; ConvNeXt's layer scales are 1e-6, which
    hides all of its blocks behind their shortcuts.

    Returns:
        What was done, as part of a sentence; empty where there is nothing to do.
    """
    generator = torch.Generator().manual_seed(seed)
    heads = scales = 0
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                weight = layer.weight
                if weight.numel() and not bool(weight.any()):
                    fan_in = weight[0].numel()
                    weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)
                    heads += 1
        for name, parameter in module.named_parameters():
            if name.endswith("layer_scale") and float(parameter.abs().max()) < 1e-4:
                parameter.fill_(1)
                scales += 1
    done = [f"{heads} zero weight{'s' if heads > 1 else ''} set to random values"] if heads else []
    done += [f"{scales} layer scale{'s' if scales > 1 else ''} set to 1"] if scales else []
    return "; ".join(done)
