"""The same bytes from another process, user, folder and example, and nothing in them of any."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x))) + x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 300)

    def forward(self, x):
        y = self.blocks(x)
        return {"scores": self.fc(y.mean((2, 3))), "map": y.flatten(1, 2), "low": y.clamp(max=0)}
"""

EXPORT = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import torch
from net import Net

import netloft_exporters.onnx as onnx_export
from netloft_exporters import to_onnx
from netloft_exporters.onnx import writing

out, batch = Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
net = Net().eval()
example = (torch.randn(batch, 4, 6, 6, generator=torch.Generator().manual_seed(batch)),)
to_onnx(net, example, out / "flat.onnx", prove=batch == 2)
to_onnx(net, example, out / "nested.onnx", functions=True, prove=False)
writing.INLINE_LIMIT = 1000
to_onnx(net, example, out / "apart.onnx", prove=False)
writing.INLINE_LIMIT = 10**9


def unsupported(*_):
    raise onnx_export.Unsupported("the other route is tried")


onnx_export.lower_directly = unsupported
to_onnx(net, example, out / "torch.onnx", prove=False)
"""


def export(folder: Path, name: str, seed: str, batch: int) -> dict[str, str]:
    """Export in a process of its own; return the SHA-256 of each file."""
    source, out, home = folder / name / "source", folder / name / "out", folder / name / "home"
    for made in (source, out, home):
        made.mkdir(parents=True)
    (source / "net.py").write_text(SOURCE)
    told = {"PYTHONHASHSEED": seed, "HOME": str(home), "USER": name, "LOGNAME": name, "TZ": "UTC"}
    subprocess.run(
        [sys.executable, "-c", EXPORT, str(source), str(out), str(batch)],
        cwd=home,
        env={**os.environ, **told},
        check=True,
        timeout=300,
    )
    words = [name, str(folder), socket.gethostname(), str(Path(__file__).parents[2])]
    for path in out.iterdir():
        data = path.read_bytes()
        assert not [word for word in words if word.encode() in data], path.name
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return export(tmp_path_factory.mktemp("first"), "somebody-at-home", "1", 2)


def test_the_bytes_do_not_depend_on_who_exports_where(
    first: dict[str, str], tmp_path: Path
) -> None:
    again = export(tmp_path / "another" / "place", "nobody-else", "77", 5)
    assert set(again) == {
        "flat.onnx", "nested.onnx", "apart.onnx", "apart.onnx.data", "torch.onnx",
    }  # fmt: skip
    assert {name: first[name] for name in again} == again
