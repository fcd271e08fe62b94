"""Files of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width, depth=2):
        super().__init__()
        if width < 1:
            raise KeyError("width")
        self.conv = nn.Conv2d(3, width, 3)
        self.calls = 0

    def forward(self, image, mask=None):
        self.calls += 1
        return self.conv(image)


class Plain:
    pass


def make(width=4):
    return Net(width)


def number():
    return 3


built = Net(4)
answer = 42
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Write a file in a fresh working folder."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return run


@pytest.fixture
def net_file(write: Callable[[str, str], Path]) -> Path:
    """A file with a network, in the working folder."""
    return write("net.py", NET)
