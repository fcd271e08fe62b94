"""Ties are no faults, and faults are no ties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netloft.parity.check import check_parity
from netloft.parity.inputs import cases
from netloft.parity.ranks import Ranking, find_rankings, regret
from netloft.tracing import trace
from netloft_exporters import to_onnx


class Net(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.answer = nn.Linear(6, 8), answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.fc(x))


def net(answer: Callable[[Tensor], Any]) -> nn.Module:
    """Return a classifier with each class twice, so that ranks are arbitrary."""
    torch.manual_seed(0)
    made = Net(answer)
    with torch.no_grad():
        made.fc.weight[4:], made.fc.bias[4:] = made.fc.weight[:4], made.fc.bias[:4]
    return made.eval()


ANSWERS: dict[str, tuple[Callable[[Tensor], Any], Ranking]] = {
    "topk": (lambda s: s.topk(5)[1], Ranking("fc", -1, True, True)),
    "topk by name": (lambda s: torch.topk(s, 3, dim=1).indices, Ranking("fc", 1, True, True)),
    "sort": (lambda s: tuple(s.sort(descending=True)), Ranking("fc", -1, True, True)),
    "argsort": (lambda s: s.argsort(1), Ranking("fc", 1, True, True)),
    "argmax": (lambda s: s.argmax(1), Ranking("fc", 1, False, False)),
    "argmax that keeps": (lambda s: s.argmax(1, True), Ranking("fc", 1, True, False)),
    "argmin": (lambda s: s.argmin(dim=-1), Ranking("fc", -1, False, False)),
    "max": (lambda s: s.max(1)[1], Ranking("fc", 1, False, False)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_tie_is_no_fault(name: str, tmp_path: Path) -> None:
    answer, ranking = ANSWERS[name]
    module, example = net(answer), {"x": torch.randn(2, 6)}
    graph = trace(module, example)
    assert list(find_rankings(graph).values()) == [ranking]
    # each class before its double, and each double before its class: both are right
    swapped = net(lambda s: answer(s.roll(4, 1)))
    path = to_onnx(swapped, example, tmp_path / "swapped.onnx", prove=False)
    found = check_parity(graph, module, path, cases(example, (1, 2, 7), 0), ["cpu"])
    assert found.status == "pass"


def test_a_tie_is_told(tmp_path: Path) -> None:
    module, example = net(lambda s: s.topk(5)[1]), {"x": torch.randn(2, 6)}
    path = to_onnx(
        net(lambda s: s.roll(4, 1).topk(5)[1]), example, tmp_path / "n.onnx", prove=False
    )
    graph = trace(module, example)
    found = check_parity(graph, module, path, cases(example, (2,), 0), ["cpu"])
    told = "'output' on noise at batch 2: other indices, of values as large to rounding"
    assert told in found.notes
    assert all(row.max_abs < 1e-5 for row in found.rows)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_fault_is_no_tie(name: str, tmp_path: Path) -> None:
    answer, _ = ANSWERS[name]
    module, example = net(answer), {"x": torch.randn(2, 6)}
    path = to_onnx(net(lambda s: answer(s.roll(1, 1))), example, tmp_path / "n.onnx", prove=False)
    found = check_parity(trace(module, example), module, path, cases(example, (2,), 0), ["cpu"])
    assert found.status == "fail"


@pytest.mark.parametrize("indices", [[[1, 1]], [[0, 9]], [[0, -1]], [[0, 1, 2]]])
def test_what_is_no_ranking_is_infinitely_wrong(indices: list[list[int]]) -> None:
    values, ranking = np.array([[3.0, 3.0, 3.0]]), Ranking("x", 1, True, True)
    assert regret(values, np.array(indices), np.array([[0, 1]]), ranking) == np.inf
    assert regret(values, np.array([[2, 0]]), np.array([[0, 1]]), ranking) == 0


def test_other_integers_are_no_ranks(tmp_path: Path) -> None:
    module = net(lambda s: (s > 0).sum(1)).eval()
    assert not find_rankings(trace(module, (torch.randn(2, 6),)))


def test_a_classifier_with_twins_is_exported(tmp_path: Path) -> None:
    example = (torch.randn(2, 6),)
    to_onnx(net(lambda s: s), example, tmp_path / "n.onnx", head=["softmax", "top5"])
