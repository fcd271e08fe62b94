"""MODEL spec in; out comes a module in eval mode, and what is needed to run it sensibly.

>>> module = netloft.load("alphago", k=192)

Torch is imported when a model is loaded, not before: a list of names needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from netloft.models.loaded import InputSpec, LoadedModel

__all__ = ["load", "load_model"]


def load(spec: str, *, weights: str | None = None, seed: int = 0, **arguments: object) -> nn.Module:
    """Load the network that a MODEL spec names.

    A spec of a file or a module runs that code.

    Args:
        spec: A built-in name, `torchvision:NAME`, `timm:NAME`, `package.module:attribute` or
            `path/to/file.py:attribute`; or a `.pt2` archive, which is checked first.
        weights: A file, or the name of weights that torchvision publishes; random by default.
        seed: Of random weights; the caller's generators are left as they were.
        arguments: For the constructor.

    Returns:
        The module, in eval mode. Random BatchNorm networks have calibrated statistics, where
        their inputs are known.

    Raises:
        SpecError: The spec names nothing that can be built with these arguments, or an archive
            that could run code.
        CheckpointError: The weights cannot be read, or do not fit.
        MissingError: timm is asked for and not installed.
        DownloadError: The weights have to be fetched and cannot be.
    """
    from netloft.models.loading import load_model as run

    return run(spec, arguments, weights, (), seed, needs_inputs=False).module


def load_model(
    spec: str,
    *,
    arguments: Mapping[str, object] | None = None,
    weights: str | None = None,
    inputs: Sequence[InputSpec] = (),
    seed: int = 0,
    trust: bool = False,
) -> LoadedModel:
    """Load the network that a MODEL spec names, with its inputs, domain and preprocessing.

    Args:
        spec: As for `load`.
        arguments: For the constructor.
        weights: As for `load`.
        inputs: Shapes to take in place of the model's own; a user's network has none unless it
            states `netloft_inputs`.
        seed: Of random weights and of the inputs that calibrate them.
        trust: Load a `.pt2` archive unchecked. That runs whatever code its maker put there, with
            the rights of this process.

    Raises:
        SpecError: The spec names nothing that can be built with these arguments, or an archive
            that could run code.
        InputError: The inputs are unknown, or one is not an argument of `forward`.
        CheckpointError: The weights cannot be read, or do not fit.
        MissingError: timm is asked for and not installed.
        DownloadError: The weights have to be fetched and cannot be.
    """
    from netloft.models.loading import load_model as run

    return run(spec, arguments or {}, weights, inputs, seed, needs_inputs=True, trust=trust)
