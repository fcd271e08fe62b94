"""Grad-CAM as papers and packages work it out: hooks and PyTorch's autograd, nothing of netloft."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.parity.compare import measure
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.reference import moved

Array = npt.NDArray[Any]

ROUNDED = 5
"""Inputs one rounding away that show how far PyTorch's own float32 error spreads."""


@dataclass(frozen=True)
class Verdict:
    """A file's map beside the eager one in float64."""

    status: str
    error: float
    floor: float


class HookedDenseNet(nn.Module):
    """torchvision's DenseNet with its last ReLU, there a function, as a module: `relu`."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.features, self.relu, self.classifier = net.features, nn.ReLU(), net.classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


def eager_map(
    net: nn.Module, layer: str, x: Tensor, method: str, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return scores and map; of a module that is called several times its last call is meant."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: object, made: Tensor) -> Tensor:
        seen.append(made)
        return made.clone()  # what follows may write into it

    handle = net.get_submodule(layer).register_forward_hook(keep)
    with torch.enable_grad():
        scores = net(x)
        handle.remove()
        chosen = scores.gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, seen[-1])
    pictures = seen[-1].detach()
    weights = _weights(pictures, gradient, method)
    raw = torch.einsum("nc,nchw->nhw", weights, pictures).clamp(min=0)
    sized = F.interpolate(_scaled(raw)[:, None], size=x.shape[2:], mode="bilinear")
    return scores.detach(), _scaled(sized[:, 0])


def _weights(pictures: Tensor, gradient: Tensor, method: str) -> Tensor:
    if method == "gradcam":
        return gradient.flatten(2).mean(2)
    g, total = gradient.flatten(2), pictures.flatten(2).sum(2, keepdim=True)
    share = torch.where(g == 0, 0, g**2 / (2 * g**2 + total * g**3 + 1e-6))
    return (share * g.clamp(min=0)).sum(2)


def _scaled(maps: Tensor) -> Tensor:
    return torch.stack([(one - one.min()) / ((one - one.min()).max() + 1e-7) for one in maps])


def judged(
    given: Array, net: nn.Module, layer: str, x: Tensor, method: str, classes: Tensor
) -> Verdict:
    """Hold a map to the eager one in float64; PyTorch's error in float32 is the noise floor."""
    wide = eager_map(copy.deepcopy(net).double(), layer, x.double(), method, classes)[1].numpy()
    generator = torch.Generator().manual_seed(0)
    near = [moved(x, x.dtype, generator) for _ in range(ROUNDED)]
    singles = [eager_map(net, layer, each, method, classes)[1].numpy() for each in (x, *near)]
    own = [measure(single, wide).scaled for single in singles]
    floor = DEFAULT_POLICY.floor(max(own), own)
    error = measure(given, wide).scaled
    return Verdict(DEFAULT_POLICY.status(error, floor), error, floor)


def regret(given: Array, net: nn.Module, x: Tensor) -> float:
    """Return how much worse than the best the classes are that a file chose, by float64 scores."""
    with torch.no_grad():
        scores = copy.deepcopy(net).double()(x.double()).numpy()
    chosen = np.take_along_axis(scores, given.argmax(1)[:, None], 1)
    return float((scores.max(1, keepdims=True) - chosen).max() / np.abs(scores).max())
