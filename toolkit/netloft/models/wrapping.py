"""Put preprocessing in front of a network and a head behind it, and name its classes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from netloft.errors import InputError, UsageError, first_line
from netloft.models.build import one_thread, seeded
from netloft.models.labels import read_labels
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.models.photographs import IMAGENET_MEAN, IMAGENET_STD
from netloft.models.pipeline import Head, Normalise, Pipeline
from netloft.tracing.clone import detached_copy
from netloft.tracing.faithful import flatten_outputs, silent

__all__ = ["Statistics", "wrap"]

Statistics = Mapping[str, Sequence[float]]
"""`mean` and `std` of each channel, of values in [0, 1]."""

_IMAGENET: Statistics = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_WRITE = "write it as imagenet, model, or mean=0.5,0.5,0.5,std=0.25,0.25,0.25 of values in [0, 1]"
_LEFT_TO_THE_CALLER = ("resize", "crop", "interpolation")


def wrap(
    model: LoadedModel,
    *,
    preprocess: str | Statistics | None = None,
    head: str | Sequence[str] = (),
    labels: str | Path | Sequence[str] | None = None,
    map: str = "",
    layer: str = "",
    class_index: int | None = None,
    batch: str | int = "dynamic",
    seed: int = 0,
) -> LoadedModel:
    """Return a model whose module takes pictures as bytes, gives an answer, or knows its classes.

    Args:
        model: What was loaded; it is not changed.
        preprocess: `imagenet`, `model` for what the model states, or `mean` and `std` of each
            channel, of values in [0, 1]. The input is then bytes (batch, height, width, channels).
        head: `softmax`, `topK`, or both.
        labels: A file with one name a line, the names, or `imagenet`; by default those of
            torchvision's weights.
        map: `gradcam` or `gradcam++`: give a map of the picture too.
        layer: Of the map: path of the module whose values are weighed.
        class_index: Of the map: the class that is explained; None for the best of each picture.
        batch: `dynamic`, or the one size that the network takes.
        seed: Of the input that the network is run on once, for a head, labels or a map.

    Raises:
        UsageError: One of them is written wrongly.
        InputError: The network does not take pictures, or its output is not (batch, classes).
        CheckError: The gradient that a map is made of is not autograd's.
    """
    _check_map(map, layer, class_index, head)
    statistics = None if preprocess is None else _statistics(model, preprocess)
    softmax, top_k = _parse_head((head,) if isinstance(head, str) else head)
    names = model.labels if labels is None else read_labels(labels)
    if head or labels is not None:
        outputs = _run(model, batch if isinstance(batch, int) else 1, seed)
        _check_labels(model, names, outputs)
        if head:
            _check_scores(model, outputs, softmax, top_k)
    changed = dataclasses.replace(model, labels=names)
    if statistics is not None:
        changed = _taking_pictures(changed, statistics)
    if statistics is not None or head:
        first = None if statistics is None else Normalise(**statistics, dtype=_dtype(model))
        last = Head(softmax, top_k) if head else None
        changed = dataclasses.replace(changed, module=Pipeline(model.module, first, last))
    if not map:
        return changed
    from netloft.models.mapping import with_map  # it brings the gradients with it

    return with_map(changed, map, layer=layer, class_index=class_index, batch=batch, seed=seed)


def _check_map(map: str, layer: str, class_index: int | None, head: str | Sequence[str]) -> None:
    if map and head:
        raise UsageError(
            "--with explains the scores, and --head takes them away",
            remedy="leave one of them out; a program can take the softmax of the scores",
        )
    if not map and (layer or class_index is not None):
        raise UsageError(
            "--layer and --class are of a map", remedy="add --with gradcam, or leave them out"
        )


def _statistics(model: LoadedModel, preprocess: str | Statistics) -> dict[str, tuple[float, ...]]:
    """Return mean and std for each channel of the one picture that the model takes."""
    channels = _channels(model)
    given = _named(model, preprocess) if isinstance(preprocess, str) else preprocess
    if set(given) != {"mean", "std"}:
        raise UsageError(f"--preprocess has {', '.join(given) or 'nothing'}", remedy=_WRITE)
    found = {}
    for key, value in given.items():
        numbers = tuple(float(number) for number in value)
        if len(numbers) not in (1, channels):
            raise InputError(
                f"--preprocess is for pictures of {len(numbers)} channels, and {model.name} takes "
                f"pictures of {channels}",
                remedy=f"give --preprocess mean=…,std=… with {channels} number"
                f"{'s' if channels > 1 else ''} each",
            )
        found[key] = numbers * (channels // len(numbers))
    fits = all(0 <= mean <= 1 for mean in found["mean"])
    if not fits or not all(0 < std < float("inf") for std in found["std"]):
        raise UsageError(
            "--preprocess has a mean outside of 0 to 1, or a std that is not above 0",
            remedy="both are of values in [0, 1]: divide those of bytes by 255",
        )
    return found


def _channels(model: LoadedModel) -> int:
    """Return how many channels the one picture has that the model takes."""
    shapes = [spec.shape[1:] for spec in model.inputs]
    is_picture = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] in (1, 3)
    is_float = all(spec.dtype in ("float32", "float64") for spec in model.inputs)
    if not is_picture or not is_float or model.domain not in ("", "photo", "digit"):
        told = " and ".join(f"{_told(spec.shape[1:])} of {spec.dtype}" for spec in model.inputs)
        raise InputError(
            f"--preprocess is for a network that takes one picture as batch x channels x height x "
            f"width of float32, and {model.name} takes {told}",
            remedy="leave --preprocess out, or give as --input what the network itself takes, "
            "such as 1x3x224x224",
        )
    return shapes[0][0]


def _told(item: Sequence[int]) -> str:
    return " x ".join(map(str, ("batch", *item)))


def _named(model: LoadedModel, preprocess: str) -> Statistics:
    """Return the mean and std that a text names."""
    if preprocess == "imagenet":
        return _IMAGENET
    if preprocess == "model":
        if not model.preprocess:
            raise InputError(
                f"{model.name} does not state its preprocessing",
                remedy="state it as netloft_preprocess, or give mean=…,std=…",
            )
        stated: Mapping[str, Any] = {**_IMAGENET, **model.preprocess}
        return {key: stated[key] for key in ("mean", "std")}
    match = re.fullmatch(r"mean=([^=]+?),\s*std=([^=]+)", preprocess.strip())
    try:
        texts = {} if match is None else dict(zip(("mean", "std"), match.groups(), strict=True))
        found = {key: [float(part) for part in text.split(",")] for key, text in texts.items()}
    except ValueError:
        found = {}
    if not found:
        raise UsageError(f"--preprocess '{preprocess}' is not known", remedy=_WRITE)
    return found


def _dtype(model: LoadedModel) -> torch.dtype:
    found = getattr(torch, model.inputs[0].dtype)
    assert isinstance(found, torch.dtype)
    return found


def _taking_pictures(model: LoadedModel, statistics: Statistics) -> LoadedModel:
    batch, channels, height, width = model.inputs[0].shape
    inside: dict[str, object] = {
        "layout": "NHWC",
        "dtype": "uint8",
        "colour": "RGB" if channels == 3 else "grey",
        "mean": list(statistics["mean"]),
        "std": list(statistics["std"]),
    }
    inside |= _left_to_the_caller(model.preprocess, min(height, width))
    spec = InputSpec("images", (batch, height, width, channels), "uint8")
    return dataclasses.replace(model, inputs=(spec,), inside=inside)


def _left_to_the_caller(preprocess: Mapping[str, object], side: int) -> dict[str, object]:
    """Return how a picture becomes one of the network's size; of another, the same part of it."""
    found = {key: preprocess[key] for key in _LEFT_TO_THE_CALLER if key in preprocess}
    crop, resize = found.get("crop"), found.get("resize")
    if isinstance(crop, int) and crop != side:
        found["crop"] = side
        if isinstance(resize, int):
            found["resize"] = round(resize * side / crop)
    return found


def _parse_head(head: Sequence[str]) -> tuple[bool, int]:
    """Return whether there is a softmax, and how many of the best classes are wanted."""
    wrong = [word for word in head if not re.fullmatch(r"softmax|top[1-9][0-9]{0,5}", word)]
    counts = [int(word.removeprefix("top")) for word in head if word not in ("softmax", *wrong)]
    if wrong or len(counts) > 1:
        what = f"'{wrong[0]}' is not known" if wrong else "is given two numbers of classes"
        raise UsageError(
            f"--head {what}", remedy="write it as softmax, or as top5 for the five best classes"
        )
    return "softmax" in head, sum(counts)


def _run(model: LoadedModel, items: int, seed: int) -> dict[str, torch.Tensor]:
    """Run the network once, to see what it gives."""
    inputs = model.example(items, seed)
    try:
        with one_thread(), seeded(seed), torch.no_grad(), silent():
            return flatten_outputs(detached_copy(model.module)(**inputs))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"{model.name} fails on an input of its own shape: {first_line(error)}",
            remedy="give the right --input, or a fixed --batch",
        ) from error


def _check_labels(
    model: LoadedModel, names: Sequence[str], outputs: Mapping[str, torch.Tensor]
) -> None:
    classes = {tensor.shape[1] for tensor in outputs.values() if tensor.dim() > 1}
    if names and len(names) not in classes:
        told = " and ".join(f"{number:,}" for number in sorted(classes)) or "no"
        raise InputError(
            f"there are {len(names):,} labels, and {model.name} tells {told} classes apart",
            remedy="give one label for each class, in order",
        )


def _check_scores(
    model: LoadedModel, outputs: Mapping[str, torch.Tensor], softmax: bool, top_k: int
) -> None:
    (scores, *more) = outputs.values()
    if more or scores.dim() != 2 or not scores.dtype.is_floating_point:
        told = " and ".join(_told(tensor.shape[1:]) for tensor in outputs.values())
        raise InputError(
            f"--head is for scores of batch x classes, and {model.name} gives {told}",
            remedy="leave --head out",
        )
    if top_k > scores.shape[1]:
        raise InputError(
            f"--head top{top_k} of {scores.shape[1]} classes", remedy="ask for fewer classes"
        )
    if softmax and bool((scores >= 0).all()) and bool((scores.sum(1) - 1).abs().max() < 1e-4):
        raise InputError(
            f"{model.name} gives probabilities already: they are not negative and add up to 1",
            remedy="leave --head softmax out; --head top5 ranks them as they are",
        )
