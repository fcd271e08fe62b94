"""Networks in a file, and the cells that a matrix of them has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from netloft.matrix.cell import Cell
from netloft.matrix.plan import read_plan

NET = """\
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    netloft_inputs = ("1x3x8x8",)

    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Poison(Net):
    def __init__(self):
        super().__init__()
        os.kill(os.getpid(), signal.SIGKILL)


class Fragile(Net):
    def __init__(self, mark):
        super().__init__()
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Endless(Net):
    def __init__(self, mark):
        super().__init__()
        Path(mark).write_text(str(os.getpid()))
        time.sleep(600)


class Branching(Net):
    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Leaving(Net):
    def __init__(self):
        raise SystemExit("goodbye")
"""

Plan = Callable[[str], tuple[Cell, ...]]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Read the cells of a matrix file that stands beside `net.py`."""
    (tmp_path / "net.py").write_text(NET)

    def read(text: str) -> tuple[Cell, ...]:
        path = tmp_path / "models.toml"
        path.write_text(text)
        return read_plan(path)

    return read
