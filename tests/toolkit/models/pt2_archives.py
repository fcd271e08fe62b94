"""Archives for tests: small programs, and ways to put something else into them."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

PROGRAM, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
WEIGHTS, CONSTANTS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.drop(self.fc(x)) * self.scale


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": self.a(x) + y, "halves": x.reshape(x.shape[0] * 2, 2)}


PICTURE = torch.ones(2, 3, 8, 8)


def save(path: Path, net: nn.Module, *inputs: torch.Tensor, batch: Any = None, **more: Any) -> Path:
    """Export in eval mode and save; `batch` opens the first axis of each input."""
    dynamic = None if batch is None else tuple({0: batch} for _ in inputs)
    program = torch.export.export(net.eval(), inputs, dynamic_shapes=dynamic, **more)
    torch.export.save(program, path)
    return path


def altered(source: Path, target: Path, changes: dict[str, Any]) -> Path:
    """Copy an archive, with some entries put in or replaced; a function edits an entry's JSON."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        entries = {i.filename.partition("/")[2]: archive.read(i) for i in archive.infolist()}
    for name, change in changes.items():
        entries[name] = edited(entries[name], change) if callable(change) else change
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{root}/{name}", content)
    return target


def edited(content: bytes, change: Callable[[Any], None]) -> bytes:
    found = json.loads(content)
    change(found)
    return json.dumps(found).encode()


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def poison(marker: Path, folder: Path) -> bytes:
    """What torch.save writes of an object whose unpickling runs a command."""
    torch.save(({"x": Touch(marker)}, {}), folder / "poison.pt")
    return (folder / "poison.pt").read_bytes()


def bare_poison(marker: Path) -> bytes:
    return pickle.dumps(Touch(marker))


def code(marker: Path) -> str:
    """Return an expression that makes a file when it is evaluated."""
    return f"__import__('os').system('touch {marker}')"


def graph(program: Any) -> Any:
    return program["graph_module"]["graph"]
