"""What is laid over a drawing: the numbers add up, and what cannot be trusted is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import net, traced
from torch import Tensor, nn

from netloft.errors import CheckError, UsageError
from netloft.graph.graph import Graph
from netloft.overlays import OVERLAYS, make_overlay
from netloft.overlays.timing import times
from netloft.speed.adding_up import SHARE
from netloft_exporters.onnx.lowering import LOWERINGS


def forward(m: Any, x: Tensor) -> Any:
    h = m.norm(m.conv(x)).relu()
    h = m.drop(h) + x
    return m.head(h.sigmoid().flatten(1))


@pytest.fixture(scope="module")
def graph() -> Graph:
    parts = {"conv": nn.Conv2d(4, 4, 3, padding=1), "norm": nn.BatchNorm2d(4)}
    return traced(net(forward, **parts, drop=nn.Dropout(), head=nn.Linear(144, 5)))


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    return {"x": torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))}


def test_costs_add_up_to_the_totals(graph: Graph) -> None:
    totals = graph.totals
    flops, params = make_overlay("flops", graph), make_overlay("params", graph)
    assert sum(map(float, flops.values.values())) == flops.total == totals.macs == 5184 + 720
    assert sum(map(float, params.values.values())) == params.total == totals.n_params
    assert flops.values["conv"] == 4 * 4 * 9 * 36


def test_the_most_memory_is_the_peak(graph: Graph) -> None:
    memory = make_overlay("memory", graph)
    assert max(map(float, memory.values.values())) == graph.totals.peak_activation_bytes
    # the skip keeps the input alive: three maps of 4 × 6 × 6 float32 while the norm runs
    assert memory.values["x"] == 576
    assert memory.values["norm"] == 3 * 576


def test_element_types() -> None:
    graph = traced(net(lambda m, x: (x.double().argmax(1), x.half())))
    values = make_overlay("dtype", graph).values
    assert values == {"x": "float32", "double": "float64", "argmax": "int64", "half": "float16"}


def test_times_add_up_to_the_whole(graph: Graph, inputs: dict[str, Tensor]) -> None:
    found = make_overlay("time", graph, inputs)
    calls = {node.name for node, _ in graph if node.op.startswith("call_")}
    assert set(found.values) == calls
    assert found.total == pytest.approx(sum(map(float, found.values.values())))
    assert found.title.endswith(f"batch 1, {_threads()}, median")
    assert "operations add up to" in found.notes[0]


def _threads() -> str:
    number = torch.get_num_threads()
    return f"{number} thread{'s' if number > 1 else ''}"


@pytest.mark.parametrize(("each", "held"), [(1.0, False), (1 / 8, True), (1.2 / 8, False)])
def test_times_that_do_not_add_up_are_refused(
    graph: Graph, inputs: dict[str, Tensor], each: float, held: bool
) -> None:
    n_calls = sum(node.op.startswith("call_") for node, _ in graph)
    assert n_calls == 8
    clock = _Clock(whole=1.0, each=each, n_calls=n_calls)
    if held:
        found = times(graph, inputs, clock)
        assert found.values["conv"] == pytest.approx(each)
        assert found.notes == ("operations add up to 100 % of 1e+03 ms for the whole",)
        return
    with pytest.raises(CheckError, match=f"took {100 * each * 8:.0f} % of the time") as error:
        times(graph, inputs, clock)
    assert abs(each * 8 - 1) > SHARE
    assert error.value.exit_code == 1


class _Clock:
    """Seconds for a measurement that reads it as `times` does."""

    def __init__(self, whole: float, each: float, n_calls: int) -> None:
        calls = [0.0, each] * n_calls
        warm = [*calls, *calls, 0.0]  # two warm runs, and the start
        first = [0.0, whole, *calls]
        # from the eighth round on the loop asks first whether time is up
        rounds = [*itertools.chain.from_iterable([first] * 7), 1e9]
        self._steps = itertools.cycle([*warm, *rounds])
        self._now = 0.0

    def __call__(self) -> float:
        self._now += next(self._steps)
        return self._now


def test_an_exported_file_has_pytorchs_own_error(graph: Graph, inputs: dict[str, Tensor]) -> None:
    found = make_overlay("error", graph, inputs)
    # what the passes took away has no value in the file, and a flatten rounds nothing
    assert set(found.values) == {"conv", "relu", "add", "sigmoid", "head"}
    assert all(float(ratio) < 8 for ratio in found.values.values())
    own = "no operation is by itself further than 8 times PyTorch's own error from float64"
    assert found.notes[0] == own
    assert found.details["conv"].startswith("scaled error ")


def test_error_starts_where_the_fault_is(
    graph: Graph, inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOWERINGS, "sigmoid", LOWERINGS["tanh"])
    found = make_overlay("error", graph, inputs)
    assert float(found.values["add"]) < 8 < float(found.values["sigmoid"])
    assert found.notes[0].startswith("the first bad operation: sigmoid (sigmoid, ")
    assert found.notes[0].endswith(")")


def test_passes_say_what_they_took_away(graph: Graph, inputs: dict[str, Tensor]) -> None:
    found = make_overlay("pass", graph, inputs)
    assert found.values == {
        "norm": "fold_batch_norm −batch_norm",
        "drop": "remove_identity −dropout",
    }
    assert found.details["norm"] == "fold_batch_norm: folded into %conv"
    assert found.notes == ("8 operations before, 6 after 2 passes, proven on fresh inputs",)
    assert make_overlay("pass", graph).notes[0].endswith("not proven")


@pytest.mark.parametrize("kind", ["time", "error"])
def test_what_runs_needs_inputs(graph: Graph, kind: str) -> None:
    with pytest.raises(UsageError, match="runs the network, and has no inputs"):
        make_overlay(kind, graph)


def test_an_unknown_kind_is_told(graph: Graph) -> None:
    with pytest.raises(UsageError, match="no overlay 'heat'") as error:
        make_overlay("heat", graph)
    assert all(kind in error.value.remedy for kind in OVERLAYS)
