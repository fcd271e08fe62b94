"""An export that goes wrong says in its own message which operation did."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netloft
import netloft.locating.failing
from netloft.errors import ParityError
from netloft_exporters.onnx.lowering import LOWERINGS


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(self.up(x), 0.2)  # the faulty line


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 8)
        self.gates = nn.Sequential(Gate(), Gate())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gates(torch.tanh(self.stem(x))))


def net() -> tuple[Net, Tensor]:
    torch.manual_seed(5)
    return Net().eval(), torch.randn(2, 5)


@pytest.fixture
def leaks_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lowering that gets its hyper-parameter wrong."""
    right = LOWERINGS["leaky_relu"]

    def wrong(ctx: Any, input: Any, negative_slope: float = 0.01) -> Any:
        return right(ctx, input, 1.2 * negative_slope)

    monkeypatch.setitem(LOWERINGS, "leaky_relu", wrong)


def the_line() -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.endswith("# the faulty line"))


Export = Callable[[nn.Module, Tensor, Path], object]


def bundle(module: nn.Module, x: Tensor, out: Path) -> object:
    return netloft.export(module, (x,), out, providers=["cpu"], quick=True)


def file(module: nn.Module, x: Tensor, out: Path) -> object:
    return netloft.to_onnx(module, (x,), out.with_suffix(".onnx"))


@pytest.mark.parametrize("export", [bundle, file])
def test_a_wrong_lowering_is_named(tmp_path: Path, leaks_more: None, export: Export) -> None:
    with pytest.raises(ParityError, match="the exported file computes another function") as raised:
        export(*net(), tmp_path / "net")
    error = raised.value
    assert error.module == "gates.0"
    assert f"test_failing.py:{the_line()}" in error.source
    told = rf"first bad operation: gates\.0 \(leaky_relu, \S*test_failing\.py:{the_line()}"
    assert re.search(told, error.problem)
    assert "of the file" in error.problem, "the file's node is not named"
    assert "nothing was written" in error.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", [bundle, file])
def test_a_right_one_is_written(tmp_path: Path, export: Export) -> None:
    export(*net(), tmp_path / "net")
    assert len(list(tmp_path.iterdir())) == 1


def test_the_failure_stays_where_it_cannot_be_located(
    tmp_path: Path, leaks_more: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the locating is broken")

    monkeypatch.setattr(netloft.locating.failing, "locate", broken)
    with pytest.raises(ParityError, match="the exported file computes another function") as raised:
        bundle(*net(), tmp_path / "net")
    problem = raised.value.problem
    assert "could not be looked for: the locating is broken" in problem
    assert list(tmp_path.iterdir()) == []
