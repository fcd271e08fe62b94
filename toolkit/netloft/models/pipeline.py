"""A network with what stands around it: pictures made numbers before, an answer after."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["Head", "Normalise", "Pipeline"]


class Normalise(nn.Module):
    """Pictures as bytes, channels last, made normalised numbers, channels first.

    `(x / 255 - mean) / std` as `(x - 255 * mean) * (1 / (255 * std))`: both constants are worked
    out in float64 and rounded once. With ImageNet's, no byte comes out further than 2.4e-7 from
    the exact value; in torchvision's own order of operations it is 3.7e-7. The shift cannot be
    moved into the bias of a convolution that pads with zeros: padding is not a shifted pixel.

    Args:
        mean: Of each channel, of values in [0, 1].
        std: Likewise.
        dtype: Of the result: float32 or float64.
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        shift = torch.tensor(mean, dtype=torch.float64) * 255
        scale = 1 / (torch.tensor(std, dtype=torch.float64) * 255)
        self.register_buffer("centre", shift.to(dtype)[:, None, None])
        self.register_buffer("scale", scale.to(dtype)[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map bytes (batch, height, width, channels) to (batch, channels, height, width)."""
        # in memory too, as a network that calls `view` on its input expects
        planes = images.permute(0, 3, 1, 2).contiguous()
        # bytes less floats are floats: no cast that would bind a float64 run to float32
        return (planes - self.centre) * self.scale


class Head(nn.Module):
    """What a person asks of a classifier: probabilities, or the best classes.

    Args:
        softmax: Turn scores into probabilities.
        top_k: How many of the best classes to name; 0 for none.
    """

    def __init__(self, softmax: bool, top_k: int) -> None:
        super().__init__()
        self.softmax, self.top_k = softmax, top_k

    def forward(self, scores: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map scores (batch, classes) to `probabilities`, `scores` and `classes`, as asked for."""
        found = {}
        if self.softmax:
            found["probabilities"] = scores = torch.softmax(scores, dim=-1)
        if self.top_k:
            best = torch.topk(scores, self.top_k, dim=-1)
            found["scores"], found["classes"] = best[0], best[1]
        return found


class Pipeline(nn.Module):
    """A network between its preprocessing and its head; either may be absent.

    Args:
        network: In eval mode.
        preprocess: For a network of one input, which is then `images`.
        head: For a network of one output (batch, classes).
    """

    def __init__(
        self, network: nn.Module, preprocess: Normalise | None = None, head: Head | None = None
    ) -> None:
        super().__init__()
        self.preprocess, self.network, self.head = preprocess, network, head
        self.eval()

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Run all three on inputs by name."""
        if self.preprocess is not None:
            result = self.network(self.preprocess(inputs["images"]))
        else:
            result = self.network(**inputs)
        return result if self.head is None else self.head(result)  # type: ignore[no-any-return]
