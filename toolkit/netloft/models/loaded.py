"""What loading a MODEL spec gives: the module, and what is needed to run it sensibly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from netloft.defaults import LABELS, MAP, PREPROCESS

__all__ = ["InputSpec", "LoadedModel"]


@dataclass(frozen=True)
class InputSpec:
    """One input of a model.

    Attributes:
        name: Parameter of `forward`; empty for the next one in order.
        shape: Lengths for a batch of one, batch first, e.g. (1, 3, 224, 224).
        dtype: Name without `torch.`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to trace.

    Attributes:
        module: In eval mode, with its weights.
        name: Short name, fit for a folder: `resnet18`, `alphago`, `net`.
        spec: As the user wrote it, but never an absolute path.
        inputs: What `forward` takes.
        domain: What the inputs are: `photo`, `go`, `digit`, `speech`, or empty where unknown.
        weights: Where the weights come from, as a sentence for the report.
        arguments: Constructor arguments that were given.
        preprocess: For photographs: `resize`, `crop` (pixels), `mean`, `std` (per channel).
        inside: The preprocessing that is a part of the module, as the file tells it; else empty.
        labels: Names of the classes, where they are known.
        map: What the output `map` shows: `method`, `layer`, `form`, `class`; empty without one.
    """

    module: nn.Module
    name: str
    spec: str
    inputs: tuple[InputSpec, ...]
    domain: str = ""
    weights: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    preprocess: Mapping[str, object] = field(default_factory=dict)
    inside: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    map: Mapping[str, object] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the file tells of the model beside its graph: JSON, by key."""
        facts = {PREPROCESS: self.inside, LABELS: self.labels, MAP: self.map}
        return {key: json.dumps(told, ensure_ascii=False) for key, told in facts.items() if told}

    def example(self, batch: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
        """Return inputs of the right shapes, drawn from N(0, 1) or small integers, by name."""
        from netloft.models.domain import noise_inputs

        return noise_inputs(self, batch, seed)
