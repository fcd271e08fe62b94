"""The lecture's convolutional network for MNIST."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

__all__ = ["MnistNet"]


class MnistNet(nn.Module):
    """25 and 50 filters of 3x3 with max pooling, then a fully connected network.

    Args:
        hidden: Neurons of the fully connected hidden layer.
    """

    netloft_preprocess: ClassVar = {"resize": 28, "crop": 28, "mean": (0.0,), "std": (1.0,)}

    def __init__(self, hidden: int = 100) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 25, kernel_size=3)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(25, 50, kernel_size=3)
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(50 * 5 * 5, hidden)
        self.fc2 = nn.Linear(hidden, 10)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (batch, 1, 28, 28) in [0, 1] to logits (batch, 10)."""
        x = self.pool1(self.relu(self.conv1(x)))  # (batch, 25, 13, 13)
        x = self.pool2(self.relu(self.conv2(x)))  # 11x11 before the pool, 5x5 after it
        x = torch.flatten(x, 1)
        x = self.relu(self.fc1(x))
        return self.fc2(x)  # type: ignore[no-any-return]
