"""What tests of speed have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import netloft
from netloft.speed.tune import _Tuning


@pytest.fixture
def usual_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave memory on usual pages: else eight processes are started for each batch."""
    monkeypatch.setattr(_Tuning, "_huge_pages", lambda *_: None)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Export a small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 49, 5)).eval()
    netloft.export(net, (torch.randn(2, 3, 9, 9),), out=tmp_path / "net", quick=True)
    return tmp_path / "net"
