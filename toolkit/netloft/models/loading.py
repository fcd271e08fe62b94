"""The steps of loading a model, in order: resolve, build, describe, weigh, calibrate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from netloft.models.build import build, seeded
from netloft.models.calibrate import calibrate, wake_zeros
from netloft.models.inputs import (
    bind_names,
    missing_inputs,
    parse_input,
    stated_inputs,
    stated_preprocess,
)
from netloft.models.lazy import fill_lazy
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.models.preprocess import from_timm, from_torchvision
from netloft.models.spec import Target, resolve
from netloft.models.weights import fetch, load_file, published

__all__ = ["load_model"]


def load_model(
    spec: str,
    arguments: Mapping[str, object],
    weights: str | None,
    inputs: Sequence[InputSpec],
    seed: int,
    *,
    needs_inputs: bool,
    trust: bool = False,
) -> LoadedModel:
    """Load a model; see `netloft.models.load_model`.

    Args:
        spec: MODEL.
        arguments: For the constructor.
        weights: A file or a name.
        inputs: In place of the model's own.
        seed: Of random weights and calibration.
        needs_inputs: Refuse a model whose inputs are unknown.
        trust: Load a `.pt2` archive unchecked.
    """
    with seeded(seed):  # a file may build its network, or draw numbers, when it is imported
        target = resolve(spec, trust=trust)
    enum = published(target, weights) if weights else None
    published_as = fetch(enum, target) if enum is not None else ""
    module = build(target, arguments, seed, enum)
    own, preprocess = _own_inputs(target, module, enum, needs_inputs and not inputs)
    model = LoadedModel(
        module=module,
        name=target.name,
        spec=target.spec,
        inputs=bind_names(module, inputs or own),
        domain=_domain(target, preprocess),
        weights=published_as,
        arguments=dict(arguments),
        preprocess=preprocess,
        labels=() if enum is None else tuple(enum.meta.get("categories") or ()),
    )
    if needs_inputs and not model.inputs:
        raise missing_inputs(module, spec)
    fill_lazy(model, seed)
    if enum is not None:
        return model
    if weights:
        sentence = load_file(module, Path(weights).expanduser())
        return dataclasses.replace(model, weights=sentence)
    return _with_random_weights(model, target, seed)


def _own_inputs(
    target: Target, module: nn.Module, weights: Any | None, needed: bool
) -> tuple[tuple[InputSpec, ...], Mapping[str, object]]:
    if target.builtin is not None:
        inputs = tuple(parse_input(text) for text in target.builtin.inputs)
        return inputs, stated_preprocess(module)
    if target.origin == "torchvision":
        return from_torchvision(target.name, module, weights, needed)
    if target.origin == "timm":
        return from_timm(module)
    return stated_inputs(module), stated_preprocess(module)


def _domain(target: Target, preprocess: Mapping[str, object]) -> str:
    if target.builtin is not None:
        return target.builtin.domain
    return "photo" if target.origin != "user" or preprocess else ""


def _with_random_weights(model: LoadedModel, target: Target, seed: int) -> LoadedModel:
    if isinstance(target.make, nn.Module):
        return dataclasses.replace(model, weights=target.weights or "as the network held them")
    if target.origin == "user":
        done = [f"as its constructor makes them, seed {seed}"]
    else:
        done = [f"random, seed {seed}"]
        done.append(wake_zeros(model.module, seed))
    if model.inputs:
        done.append(calibrate(model, seed))
    return dataclasses.replace(model, weights="; ".join(filter(None, done)))
