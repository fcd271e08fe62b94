"""What torchvision and timm say of the inputs that their networks want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from netloft.errors import InputError
from netloft.models.catalog import torchvision_kind
from netloft.models.loaded import InputSpec
from netloft.models.vision import torchvision_models

__all__ = ["from_timm", "from_torchvision"]

_FRAMES = 16
_SIDE = {"segmentation": 520, "video": 112}
_FLOW_SIDE = 128
"""RAFT halves its features four times after dividing the picture by 8."""


def from_torchvision(
    name: str, module: nn.Module, weights: Any | None, needed: bool
) -> tuple[tuple[InputSpec, ...], dict[str, object]]:
    """Return the inputs of a torchvision model, and how its photographs are prepared.

    Args:
        name: In torchvision's registry.
        module: The network, as it was built.
        weights: The weights enum member that was asked for; the default one's by default.
        needed: Refuse a model that takes no tensors; otherwise it has no inputs.

    Raises:
        InputError: The model takes a list of pictures (detection).
    """
    kind = torchvision_kind(name)
    if kind == "detection" and not needed:
        return (), {}
    if kind == "detection":
        raise InputError(
            f"'{name}' takes a list of pictures of any sizes, and a graph's inputs are tensors",
            remedy="wrap the network in a module of your own whose forward takes one tensor",
        )
    chosen = weights or getattr(torchvision_models().get_model_weights(name), "DEFAULT", None)
    if kind == "optical_flow":
        shape = (1, 3, _FLOW_SIDE, _FLOW_SIDE)
        flow: dict[str, object] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
        return (InputSpec("image1", shape), InputSpec("image2", shape)), flow
    steps = _steps_for(module, vars(chosen.transforms()) if chosen is not None else {})
    side = _SIDE.get(kind, 224)
    height, width = _pair(steps.get("crop_size") or steps.get("resize_size") or side)
    frames: tuple[int, ...] = ()
    if kind == "video":
        least = chosen.meta.get("min_temporal_size", 1) if chosen is not None else 1
        frames = (max(least, _FRAMES),)
    return (InputSpec("", (1, 3, *frames, height, width)),), _preprocess(steps)


def _steps_for(module: nn.Module, steps: Mapping[str, Any]) -> dict[str, Any]:
    """Return the steps with the one size that a vision transformer takes, whoever trained it."""
    side = getattr(module, "image_size", None)
    if not isinstance(side, int) or not steps.get("crop_size"):
        return dict(steps)
    zoom = min(_pair(steps.get("resize_size") or side)) / min(_pair(steps["crop_size"]))
    return {**steps, "crop_size": side, "resize_size": round(side * zoom)}


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def _preprocess(steps: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    if steps.get("resize_size"):
        found["resize"] = min(_pair(steps["resize_size"]))
    if steps.get("crop_size"):
        found["crop"] = min(_pair(steps["crop_size"]))
    for key in ("mean", "std"):
        if steps.get(key):
            found[key] = tuple(steps[key])
    if "interpolation" in steps:
        found["interpolation"] = steps["interpolation"].value
    return found


def from_timm(module: nn.Module) -> tuple[tuple[InputSpec, ...], dict[str, object]]:
    """Return the input of a timm model, and how its photographs are prepared."""
    stated = getattr(module, "pretrained_cfg", None) or {}
    channels, height, width = stated.get("input_size", (3, 224, 224))
    found: dict[str, object] = {
        "crop": height,
        "resize": round(height / stated.get("crop_pct", 0.875)),
    }
    found |= {key: stated[key] for key in ("mean", "std", "interpolation") if key in stated}
    return (InputSpec("", (1, channels, height, width)),), found
