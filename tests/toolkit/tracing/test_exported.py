"""What torch.fx cannot trace: captured by torch.export with the same proof, or refused by line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import TraceError
from netloft.graph.graph import Graph
from netloft.tracing import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.spare = nn.Linear(8, 8)


class Length(Net):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.relu(self.bn(self.conv(x)))
        return self.conv(h) * len(x)


class WholeNumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(x)
        return h * int(x.abs().max())


class CutAtANumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(x)
        return h[:, :, : int(x.abs().max())]


class Condition(Net):
    def forward(self, x: Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda x: self.conv(x), lambda x: x - 1, (x,))


class Writes(Net):
    """In place, through a view, by index, and under another mode of gradients."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.conv(x)
        h[:, :2] = 0
        h += x
        view = h.view(len(x), -1)
        view.mul_(2)
        with torch.no_grad():
            y = self.spare(x)
        with torch.enable_grad():
            y = self.spare(y)
        return {"written": h, "chosen": F.softmax(y, -1)}


class HalvesOfADoubledBatch(Net):
    """A guard that follows from the arithmetic of lengths, and holds for every one."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.chunk(torch.cat([x, self.conv(x)]), 2)
        assert len(first) == len(second)
        return first * second


RIGHT = [Length, WholeNumber, CutAtANumber, Condition, Writes, HalvesOfADoubledBatch]


def traced(cls: type[nn.Module], **options: Any) -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    module = cls().eval()
    return module, trace(module, (torch.randn(2, 3, 8, 8),), **options)


@pytest.mark.parametrize("cls", RIGHT, ids=lambda c: c.__name__)
def test_a_captured_graph_computes_what_the_module_computes(cls: type[nn.Module]) -> None:
    module, graph = traced(cls)
    assert graph.capture.startswith(f"torch.export, since {cls.__name__} cannot be traced: ")
    assert "test_exported.py:" in graph.capture
    assert graph.program is not None
    for batch in (1, 3, 4):
        x = torch.randn(batch, 3, 8, 8)
        torch.testing.assert_close(graph.module(x.clone()), module(x.clone()), rtol=0, atol=0)


def test_it_reads_as_if_torch_fx_had_traced_it() -> None:
    _, graph = traced(Length)
    lines = str(graph).splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "float32[batch, 3, 8, 8] = input()",
        "() = size(%x)",
        "float32[batch, 3, 8, 8] = conv2d(%x)  # conv",
        "float32[batch, 3, 8, 8] = batch_norm(%conv)  # bn",
        "float32[batch, 3, 8, 8] = relu(%bn)  # relu",
        "float32[batch, 3, 8, 8] = conv2d(%relu)  # conv@1",
        "float32[batch, 3, 8, 8] = mul(%conv_1, %size)",
        "float32[batch, 3, 8, 8] = output(%mul)",
    ]
    records = [record for _, record in graph]
    assert records[1].plain == "batch"
    assert records[2].source is not None
    assert records[2].source.text == "h: Tensor = self.relu(self.bn(self.conv(x)))"
    assert [call.path for call in graph.modules] == ["", "conv", "bn", "relu", "conv"]
    assert [module.path for module in graph.dead_modules] == ["spare"]
    assert graph.totals.n_params == 84 + 6
    assert graph.totals.macs == 2 * 3 * 27 * 64


def test_the_graph_and_the_program_hold_the_modules_own_weights() -> None:
    module, graph = traced(Length)
    assert isinstance(module, Net)
    assert graph.module.get_parameter("conv.weight") is module.conv.weight
    assert graph.program is not None
    assert graph.program.state_dict["conv.weight"] is module.conv.weight


def test_a_length_that_depends_on_values_is_unknown() -> None:
    _, graph = traced(CutAtANumber)
    assert graph.outputs[0].info.shape == ("batch", 3, "?", 8)


def test_a_loop_over_a_fixed_batch_is_gone_through() -> None:
    _, graph = traced(Items, batch=2)
    assert graph.outputs[0].info.shape == (2, 3, 8, 8)


class Items(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.conv(item[None])[0] for item in x])


class ValuesDecide(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 0 else x


class ValuesLoop(Net):
    def forward(self, x: Tensor) -> Tensor:
        while x.abs().max() > 1:
            x = x / 2
        return x


class BatchLoop(Net):
    def forward(self, x: Tensor) -> Tensor:
        for i in range(x.shape[0]):
            x = x + i
        return x


class OneIsOther(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 1:
            return self.conv(x)
        return x


class ManyAreOther(Net):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 100:
            return self.conv(x)
        return x


class OddIsOther(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] % 2:
            return self.conv(x)
        return x


class Autocast(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.conv(x)
        return y.float() * len(x)


class ChoiceBehindALength(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x) * len(x)
        if h.sum() > 0:
            return h
        return x


class RandomAndLength(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * len(x) + torch.rand(1)


class StateAndLength(Net):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.conv(x) * len(x) + self.count


class FailsItself(Net):
    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        return self.spare(x.flatten(1)) * n


PATH = "the path taken depends on the values or the size of a tensor"
REFUSED: dict[type[nn.Module], tuple[str, str]] = {
    ValuesDecide: (f"ValuesDecide cannot be traced: {PATH}", "self.conv(x) if x.sum() > 0 else x"),
    ValuesLoop: (f"ValuesLoop cannot be traced: {PATH}", "while x.abs().max() > 1:"),
    BatchLoop: (
        "; torch.export fails too: its capture holds only for one batch size",
        "for i in range(x.shape[0]):",
    ),
    Items: (
        "Items cannot be traced: it goes through a tensor item by item; torch.export fails too: "
        "its capture holds only for one batch size",
        "for item in x]",
    ),
    OneIsOther: (
        f"{PATH}; torch.export fails too: the graph computes another result than the module "
        "at batch 1",
        "if x.shape[0] > 1:",
    ),
    ManyAreOther: ("its capture holds only where x.shape[0] <= 99", "if len(x) < 100:"),
    OddIsOther: ("its capture holds only where x.shape[0] % 2 != 0", "if x.shape[0] % 2:"),
    Autocast: ("torch.export fails too: it runs a part under autocast", "len(x)"),
    ChoiceBehindALength: (
        "the path taken depends on the values of a tensor",
        "h = self.conv(x) * len(x)",
    ),
    RandomAndLength: ("the module is random: it draws random numbers", "torch.rand(1)"),
    StateAndLength: ("forward changes 'count'", "self.count += 1"),
    FailsItself: ("FailsItself fails on x [2, 3, 8, 8]: mat1 and mat2", "self.spare("),
}


@pytest.mark.parametrize("cls", REFUSED, ids=lambda c: c.__name__)
def test_refused_with_both_reasons_the_line_and_a_remedy(cls: type[nn.Module]) -> None:
    with pytest.raises(TraceError) as caught:
        traced(cls)
    problem, line = REFUSED[cls]
    assert problem in caught.value.problem
    assert line in caught.value.source
    assert caught.value.remedy
    assert len(caught.value.problem.splitlines()) == 1


@pytest.mark.parametrize("cls", [OneIsOther, ManyAreOther])
def test_an_unproven_trace_refuses_a_capture_for_some_batches_too(cls: type[nn.Module]) -> None:
    with pytest.raises(TraceError, match=r"torch\.export fails too"):
        traced(cls, prove=False)


def test_a_choice_that_only_torch_export_meets_is_told_with_its_line() -> None:
    with pytest.raises(TraceError) as caught:
        traced(ChoiceBehindALength)
    assert caught.value.problem.endswith("  if h.sum() > 0:)")
    assert caught.value.remedy.startswith("export the part of the network in front of that choice")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TraceError):
        traced(ValuesLoop)
    traced(WholeNumber)
    assert capfd.readouterr() == ("", "")
