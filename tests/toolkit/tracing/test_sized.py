"""Lengths that are known while a network is traced."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import (
    PatchMerging,
    ShiftedWindowAttention,
    shifted_window_attention,
)
from torchvision.models.video.mvit import Pool

from netloft import tracing
from netloft.errors import TraceError
from netloft.graph.graph import Graph
from netloft.tracing import trace
from netloft.tracing.capture import Captured, capture
from netloft.tracing.clone import detached_copy
from netloft.tracing.sized import SizedTracer


class BranchOnAFixedLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] > 4 and x.dim() == 3:
            x = x[:, :, 1:] * len(x[0])
        return x.new_zeros(x.size(2)) + x


class LoopOverAnAxis(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(x.shape[2])
        for i in range(x.shape[1]):
            total = total + x[:, i] * int(x.shape[1] * 0.5)
        return total


class BranchOnTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 1 else x


class BranchOnAPartOfTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x[:2].shape[0] == 2 else x


class BranchOnAnOpenLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[2] > 4 else x


class Windows(nn.Module):
    """Helpers that torchvision marks with `fx.wrap`, and that pad, shift and mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = ShiftedWindowAttention(8, [3, 3], [1, 1], 2)
        self.merging = PatchMerging(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.merging(self.attention(x))


class WindowsAndPlaces(Windows):
    """What the way that goes through helpers stops at: a length that follows values."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nonzero(x).sum()


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(nn.MaxPool3d(2), nn.LayerNorm(4))

    def forward(self, x: Tensor) -> Any:
        return self.pool(x, (2, 4, 4))[0]


def traced(module: nn.Module, x: Tensor, **options: Any) -> Graph:
    graph = trace(module.eval(), (x,), **options)
    for batch in (1, 3):
        other = torch.randn(batch, *x.shape[1:])
        torch.testing.assert_close(graph.module(other), module(other))
    return graph


@pytest.mark.parametrize("cls", [BranchOnAFixedLength, LoopOverAnAxis])
def test_a_path_that_depends_on_a_fixed_length_is_gone(cls: type[nn.Module]) -> None:
    traced(cls(), torch.randn(2, 6, 5))


@pytest.mark.parametrize("cls", [BranchOnTheBatch, BranchOnAPartOfTheBatch])
def test_a_path_that_depends_on_the_batch_is_refused(cls: type[nn.Module]) -> None:
    with pytest.raises(TraceError, match="depends on the values or the size"):
        trace(cls().eval(), (torch.randn(2, 6, 5),))


def test_a_path_that_depends_on_an_open_length_is_refused() -> None:
    with pytest.raises(TraceError, match="depends on the values or the size"):
        trace(BranchOnAnOpenLength().eval(), (torch.randn(2, 6, 5),), dynamic={"x": {2: "length"}})


def test_one_batch_is_a_length_like_any_other() -> None:
    graph = trace(BranchOnTheBatch().eval(), (torch.randn(1, 6, 5),), batch=3)
    x = torch.randn(3, 6, 5)
    torch.testing.assert_close(graph.module(x), x * 2)


def test_helpers_of_torchvision_are_gone_through() -> None:
    graph = traced(Windows(), torch.randn(2, 7, 8, 8))
    ops = {record.op for _, record in graph}
    assert {"roll", "softmax", "linear"} <= ops
    assert not any(op.startswith(("shifted_window", "_patch", "_get_")) for op in ops)
    (softmax,) = (record for _, record in graph if record.op == "softmax")
    assert softmax.module == "attention"
    assert softmax.source is not None
    assert softmax.source.file == "torchvision/models/swin_transformer.py"


def test_a_helper_that_gives_a_number_is_gone_through() -> None:
    graph = traced(Pooled(), torch.randn(2, 3, 33, 4))
    assert not any(record.op.startswith("_") for _, record in graph)


def test_a_helper_is_one_operation_where_no_way_goes_through_it() -> None:
    graph = trace(WindowsAndPlaces().eval(), (torch.randn(2, 6, 6, 8),))
    called = [node.target for node, _ in graph if node.op == "call_function"]
    assert shifted_window_attention in called
    assert graph.capture == "torch.fx"


def test_shapes_that_tracing_has_found_are_those_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = Windows().eval(), torch.randn(2, 6, 6, 8)
    found = trace(module, (x,), prove=False)
    monkeypatch.setattr(Captured, "runs", {})
    anew = trace(module, (x,), prove=False)
    records = [[(node.name, record) for node, record in graph] for graph in (found, anew)]
    assert len(records[0]) > 50
    assert records[0] == records[1]


def test_a_network_with_helpers_is_copied_once_and_what_its_nodes_gave_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies: list[nn.Module] = []
    tracers: list[SizedTracer] = []

    def copied(module: nn.Module) -> nn.Module:
        copies.append(detached_copy(module))
        return copies[-1]

    def captured(module: nn.Module, inputs: Any, batch: Any, axes: Any, _: object) -> Captured:
        found = capture(module, inputs, batch, axes, copied)
        assert isinstance(found.tracer, SizedTracer)
        tracers.append(found.tracer)
        return found

    monkeypatch.setattr(tracing, "capture", captured)
    trace(Windows().eval(), (torch.randn(2, 6, 6, 8),), prove=False)
    assert len(copies) == len(tracers) == 1
    assert not tracers[0].values
