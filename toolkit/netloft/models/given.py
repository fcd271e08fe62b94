"""A module that its user holds already, as a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from netloft.models.loaded import InputSpec, LoadedModel
from netloft.tracing.guard import check_module
from netloft.tracing.tracer import bind_inputs

__all__ = ["of_module"]


def of_module(
    module: nn.Module,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    name: str = "",
    *,
    batch: str | int = "dynamic",
    seed: int = 0,
    **around: Any,
) -> tuple[LoadedModel, dict[str, torch.Tensor]]:
    """Return a module as a model, and inputs to trace it with.

    Args:
        module: In eval mode.
        example_inputs: What it takes itself, in order or by name.
        name: Short name; the class in lower case by default.
        batch: `dynamic`, or the one size that it takes.
        seed: Of the pictures that are traced with where there is preprocessing.
        around: `preprocess`, `head`, `labels` and those of a map, for
            `netloft.models.wrapping.wrap`.
    """
    check_module(module)
    example = bind_inputs(module, example_inputs)
    model = LoadedModel(
        module=module,
        name=name or type(module).__name__.lower(),
        spec=type(module).__name__,
        inputs=tuple(
            InputSpec(key, (1, *t.shape[1:]), str(t.dtype).removeprefix("torch."))
            for key, t in example.items()
        ),
        weights="as the module held them",
    )
    if all(value in (None, "", ()) for value in around.values()):
        return model, example
    # here, since it brings pictures with it and one export in a hundred needs it
    from netloft.models.wrapping import wrap

    model = wrap(model, **around, batch=batch, seed=seed)
    if model.inside:
        return model, model.example(seed=seed)
    return model, dict(zip((spec.name for spec in model.inputs), example.values(), strict=True))
