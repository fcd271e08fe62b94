"""A pass is held against the graph before it, on inputs that nothing else uses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import net, traced
from torch import Tensor, nn

from netloft.passes.edit import Edit
from netloft.passes.proof import Proof, Run, difference
from netloft.passes.wide import WideInterpreter


def run(**outputs: Tensor) -> Run:
    return Run(outputs, "float64", 1.0)


A = torch.tensor([1.0, -2.0, math.nan, math.inf])

DIFFERENCES: list[tuple[Run, Run, float]] = [
    (run(a=A), run(a=A.clone()), 0.0),
    (run(a=A), run(a=A + torch.tensor([0.0, 0.5, 0, 0])), 0.25),
    (run(a=A), run(a=-A), math.inf),  # the infinity has another sign
    (run(a=A), run(a=A.nan_to_num()), math.inf),
    (run(a=A), run(a=A[:2]), math.inf),
    (run(a=A), run(a=A.double()), math.inf),
    (run(a=A), run(b=A), math.inf),
    (run(a=torch.zeros(2)), run(a=torch.zeros(2)), 0.0),
    (run(a=torch.zeros(2)), run(a=torch.tensor([0, 1e-30])), math.inf),
    (run(a=torch.arange(3)), run(a=torch.arange(3)), 0.0),
    (run(a=torch.arange(3)), run(a=torch.arange(3) + 1), math.inf),
    (run(a=torch.zeros(0)), run(a=torch.zeros(0)), 0.0),
    (run(), run(), 0.0),
]


@pytest.mark.parametrize(("before", "after", "expected"), DIFFERENCES, ids=range(len(DIFFERENCES)))
def test_the_largest_scaled_difference(before: Run, after: Run, expected: float) -> None:
    assert difference(before, after) == expected


def edits(*functions: Any, **parts: Any) -> list[Edit]:
    return [Edit(traced(net(function, **parts))) for function in functions]


def test_both_are_run_in_float64_on_two_fresh_items() -> None:
    a, b = edits(lambda m, x: x * 3, lambda m, x: x + x + x)
    old, new = Proof({"x": torch.randn(1, 4, 6, 6)}, "dynamic").pair(a, b)
    assert old.precision == new.precision == "float64"
    assert old.outputs["output"].shape == (2, 4, 6, 6)
    assert 0 <= difference(old, new) < 1e-15
    assert old.ms is not None
    assert new.ms is not None
    assert min(old.ms, new.ms) > 0


@pytest.mark.parametrize(("timed", "runs"), [(True, 4), (False, 2)])
def test_what_is_not_timed_runs_once(
    timed: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = list[WideInterpreter]()
    run = WideInterpreter.run

    def counted(self: WideInterpreter, *inputs: Any) -> Any:
        ran.append(self)
        return run(self, *inputs)

    monkeypatch.setattr(WideInterpreter, "run", counted)
    a, b = edits(lambda m, x: x * 3, lambda m, x: x + x + x)
    old, new = Proof({"x": torch.randn(1, 4, 6, 6)}, 2, timed=timed).pair(a, b)
    assert len(ran) == runs
    assert [each.ms is not None for each in (old, new)] == [timed, timed]
    assert 0 <= difference(old, new) < 1e-15


def test_what_is_known_is_not_run_again() -> None:
    a, b = edits(lambda m, x: x * 3, lambda m, x: x * 2)
    proof = Proof({"x": torch.randn(1, 4, 6, 6)}, 3)
    _, known = proof.pair(a, b)
    assert known.outputs["output"].shape[0] == 3
    again, _ = proof.pair(b, a, known)
    assert again is known


def test_where_there_is_no_run_in_float64_both_are_in_float32() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        return m.short(x.half()).float()  # a module in float64 does not take float16

    a, b = edits(forward, forward, short=nn.Linear(6, 3).half())
    proof = Proof({"x": torch.randn(1, 4, 6, 6)}, "dynamic")
    old, new = proof.pair(a, b)
    assert old.precision == new.precision == "float32"
    assert difference(old, new) == 0
    (c,) = edits(lambda m, x: x * 2)
    assert proof.pair(c, c)[0].precision == "float32"


def test_a_pass_alone_that_has_no_such_run_does_not_decide_for_the_next() -> None:
    a, b = edits(lambda m, x: m.short(x.half()), lambda m, x: x * 2, short=nn.Linear(6, 6).half())
    proof = Proof({"x": torch.randn(1, 4, 6, 6)}, "dynamic")
    assert proof.pair(b, a)[1].precision == "float32"
    assert proof.pair(b, b)[1].precision == "float64"


def test_what_does_not_run_raises() -> None:
    a, broken = edits(*[lambda m, x: x.flatten(1) + 1] * 2)
    (added,) = (node for node in broken.fx.nodes if node.name == "add")
    added.args = added.args[:1]
    broken.changes += 1
    with pytest.raises((TypeError, IndexError)):
        Proof({"x": torch.randn(1, 4, 6, 6)}, "dynamic").pair(a, broken)
