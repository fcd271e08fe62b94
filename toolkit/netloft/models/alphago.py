"""AlphaGo's policy network.

Source: Silver et al., "Mastering the game of Go with deep neural networks and tree search",
Nature 529, 2016, Methods, "Neural network architecture", and Extended Data Table 3.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that every PyTorch text uses

__all__ = ["FILTERS", "PolicyNet"]

BOARD = 19
PLANES = 48
LAYERS = 12
"""Hidden layers: one of 5x5 filters, eleven of 3x3 filters."""
FILTERS = (128, 192, 256, 384)
"""Widths that the paper trained; the match version has 192."""


class PolicyNet(nn.Module):
    """Probability of each move on a Go board.

    Args:
        k: Filters in each hidden layer: 128, 192, 256 or 384.
        explicit_pad: Pad with zeros before each convolution, as the paper words it; otherwise the
            convolutions pad. The function is the same.

    Raises:
        ValueError: The paper has no such `k`.
    """

    def __init__(self, k: int = 192, explicit_pad: bool = True) -> None:
        super().__init__()
        if k not in FILTERS:
            raise ValueError(f"k is {k!r}; it is one of {', '.join(map(str, FILTERS))}")
        self.explicit_pad = explicit_pad
        inside = 0 if explicit_pad else 1
        self.conv1 = nn.Conv2d(PLANES, k, kernel_size=5, padding=2 * inside)
        self.hidden = nn.ModuleList(
            nn.Conv2d(k, k, kernel_size=3, padding=inside) for _ in range(LAYERS - 1)
        )
        # Its own bias would be one number for the whole board; the paper has one for each point.
        self.head = nn.Conv2d(k, 1, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.empty(BOARD * BOARD))
        self._initialise()

    def _initialise(self) -> None:
        for conv in (self.conv1, *self.hidden):
            assert isinstance(conv, nn.Conv2d)
            # PyTorch's default shrinks the signal at every ReLU: after twelve, only biases are left
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(self.head.in_channels))
        nn.init.normal_(self.bias, std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map feature planes (batch, 48, 19, 19) to probabilities (batch, 361), row by row."""
        if self.explicit_pad:
            x = F.pad(x, (2, 2, 2, 2))  # 23x23
        x = F.relu(self.conv1(x))
        for conv in self.hidden:
            if self.explicit_pad:
                x = F.pad(x, (1, 1, 1, 1))  # 21x21
            x = F.relu(conv(x))
        x = torch.flatten(self.head(x), 1) + self.bias
        return F.softmax(x, dim=1)
