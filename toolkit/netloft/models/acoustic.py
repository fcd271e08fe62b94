"""Deep and thin against short and fat: the acoustic models of the lecture's table.

Source: Seide, Li and Yu, "Conversational speech transcription using context-dependent deep neural
networks", Interspeech 2011: 11 frames of 39 features in, 9304 senones out, sigmoid hidden layers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["TABLE", "AcousticNet", "Row"]

FRAMES, FEATURES = 11, 39
INPUTS = FRAMES * FEATURES
SENONES = 9304


@dataclass(frozen=True)
class Row:
    """One network of the table.

    Attributes:
        name: `LAYERSxSIZE` as the table writes it.
        layers: Hidden layers.
        size: Neurons in each.
        word_error_rate: Published, in percent, of a trained network.
    """

    name: str
    layers: int
    size: int
    word_error_rate: float


TABLE = (
    Row("1x2k", 1, 2048, 24.2),
    Row("2x2k", 2, 2048, 20.4),
    Row("3x2k", 3, 2048, 18.4),
    Row("4x2k", 4, 2048, 17.8),
    Row("5x2k", 5, 2048, 17.2),
    Row("7x2k", 7, 2048, 17.1),
    Row("1x3772", 1, 3772, 22.5),
    Row("1x4634", 1, 4634, 22.6),
    Row("1x16k", 1, 16384, 22.1),
)
"""Word error rates with the same data; 1x3772 has the parameters of 5x2k, 1x4634 those of 7x2k."""


class AcousticNet(nn.Module):
    """Fully connected sigmoid layers and a linear output.

    Args:
        layers: Hidden layers.
        size: Neurons in each.

    Raises:
        ValueError: There is less than one layer or neuron.
    """

    def __init__(self, layers: int = 5, size: int = 2048) -> None:
        super().__init__()
        if layers < 1 or size < 1:
            raise ValueError(f"layers is {layers} and size is {size}; both are 1 or more")
        widths = [INPUTS] + [size] * layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.output = nn.Linear(size, SENONES)
        self._initialise()

    def _initialise(self) -> None:
        first, *rest = (*self.hidden, self.output)
        assert isinstance(first, nn.Linear)
        nn.init.normal_(first.weight, std=2 / math.sqrt(INPUTS))
        for layer in rest:
            assert isinstance(layer, nn.Linear)
            # A sigmoid has slope 1/4 and mean 1/2. With PyTorch's default, seven of them leave
            # no trace of the input; these weights keep its size, and the bias its centre.
            nn.init.normal_(layer.weight, std=4 / math.sqrt(layer.in_features))
            with torch.no_grad():
                layer.bias.copy_(layer.weight.sum(dim=1) * -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map feature windows (batch, 429) to senone logits (batch, 9304)."""
        for layer in self.hidden:
            x = torch.sigmoid(layer(x))
        return self.output(x)  # type: ignore[no-any-return]
