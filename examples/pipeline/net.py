"""The network that the pipeline exports."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """A small classifier of 3x32x32 pictures."""

    input_size = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(16, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the logits, (batch, 10)."""
        logits: torch.Tensor = self.head(self.features(picture).mean((2, 3)))
        return logits
