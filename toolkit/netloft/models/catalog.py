"""The models that have a name of their own here, and the names that torchvision has.

The first part needs no torch, so that a list of names comes at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netloft.models.vision import torchvision_models

__all__ = ["BUILTINS", "Builtin", "closest", "torchvision_kind", "torchvision_names"]


@dataclass(frozen=True)
class Builtin:
    """A model that netloft brings.

    Attributes:
        name: MODEL on the command line.
        home: `module:attribute` of what builds it.
        inputs: Shapes for a batch of one, as `--input` writes them.
        domain: What the inputs are: `photo`, `go`, `digit` or `speech`.
        description: One line.
        source: Where the architecture was published.
        arguments: Constructor arguments that this name stands for.
    """

    name: str
    home: str
    inputs: tuple[str, ...]
    domain: str
    description: str
    source: str
    arguments: Mapping[str, object] = field(default_factory=dict)


_SEIDE = "Seide, Li and Yu, Interspeech 2011"
# The name, hidden layers and width of netloft.models.acoustic.TABLE, which needs torch to import.
_ACOUSTIC = (
    ("1x2k", 1, 2048),
    ("2x2k", 2, 2048),
    ("3x2k", 3, 2048),
    ("4x2k", 4, 2048),
    ("5x2k", 5, 2048),
    ("7x2k", 7, 2048),
    ("1x3772", 1, 3772),
    ("1x4634", 1, 4634),
    ("1x16k", 1, 16384),
)


def _acoustic(name: str, layers: int, size: int) -> Builtin:
    plural = "layer" if layers == 1 else "layers"
    return Builtin(
        name=f"acoustic-{name}",
        home="netloft.models.acoustic:AcousticNet",
        inputs=("1x429",),
        domain="speech",
        description=f"acoustic model, {layers} sigmoid {plural} of {size}",
        source=_SEIDE,
        arguments={"layers": layers, "size": size},
    )


_ALL = (
    Builtin(
        name="alphago",
        home="netloft.models.alphago:PolicyNet",
        inputs=("1x48x19x19",),
        domain="go",
        description="AlphaGo's policy network; k=128, 192, 256 or 384 filters",
        source="Silver et al., Nature 529, 2016",
    ),
    Builtin(
        name="myresnet",
        home="netloft.models.resnet:build",
        inputs=("1x3x224x224",),
        domain="photo",
        description="two-stage residual network; block=basic|bottleneck, layers=[1,1]",
        source="He, Zhang, Ren and Sun, CVPR 2016",
    ),
    Builtin(
        name="mnist",
        home="netloft.models.mnist:MnistNet",
        inputs=("1x1x28x28",),
        domain="digit",
        description="convolutional network for handwritten digits",
        source="LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86, 1998",
    ),
    Builtin(
        name="acoustic",
        home="netloft.models.acoustic:AcousticNet",
        inputs=("1x429",),
        domain="speech",
        description="acoustic model; layers=5, size=2048",
        source=_SEIDE,
    ),
    *(_acoustic(*row) for row in _ACOUSTIC),
)
BUILTINS: Mapping[str, Builtin] = {builtin.name: builtin for builtin in _ALL}
"""By name. The code is this project's own, under its licence; the weights are random."""

_KINDS = ("segmentation", "detection", "video", "optical_flow", "quantization")


def torchvision_names() -> tuple[str, ...]:
    """Return the names that torchvision's registry has, sorted; imports torchvision."""
    return tuple(torchvision_models().list_models())


def torchvision_kind(name: str) -> str:
    """Return `classification`, `segmentation`, `detection`, `video`, `optical_flow` or so."""
    home = torchvision_models().get_model_builder(name).__module__.split(".")
    return next((kind for kind in _KINDS if kind in home), "classification")


def closest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of `names` that `name` may have meant, the best first."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return tuple(by_lower[candidate] for candidate in found)
