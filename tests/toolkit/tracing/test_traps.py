"""Ways in which a trace goes silently wrong elsewhere: here each is right, or refused by line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import TraceError
from netloft.tracing import trace


class Net(nn.Module):
    """A convolution to build each trap on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.bn = nn.BatchNorm2d(3)


class InplaceModuleReadLater(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        y = self.relu(h)
        return y + h


class InplaceOperatorOnAlias(Net):
    def forward(self, x: Tensor) -> Tensor:
        o = self.conv(x)
        k = o
        o += x
        return o + k


class InplaceMethod(Net):
    def forward(self, x: Tensor) -> Tensor:
        o = self.conv(x)
        k = o
        o.add_(x)
        return o * k


class ItemAssignment(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        h[:, :2] = 0
        return h * 2


class WriteThroughView(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        F.relu_(h[:, :2])
        return h


class InputMutated(Net):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2)
        return self.conv(x)


class PrintInForward(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        print("shape", x.shape)
        return x


class Hooked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_hook(lambda module, args, output: output * 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + 1


class OptionalArgument(Net):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        return x if mask is None else x * mask


class SharedWeight(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.bn(self.conv(x)))


class NamedOutputs(Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.conv(x)
        return {"features": h, "mean": h.mean((2, 3))}


class NumberRead(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + float(x.mean())


RIGHT = [
    InplaceModuleReadLater,
    InplaceOperatorOnAlias,
    InplaceMethod,
    ItemAssignment,
    WriteThroughView,
    InputMutated,
    PrintInForward,
    Hooked,
    OptionalArgument,
    SharedWeight,
    NamedOutputs,
    NumberRead,
]


@pytest.mark.parametrize("cls", RIGHT, ids=lambda c: c.__name__)
def test_graph_computes_what_the_module_computes(cls: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = cls().eval()
    graph = trace(module, (torch.randn(2, 3, 8, 8),))
    for batch in (1, 3, 4):
        x = torch.randn(batch, 3, 8, 8)
        expected = module(x.clone())
        actual = graph.module(x.clone())
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_print_is_named_and_not_carried_out(capsys: pytest.CaptureFixture[str]) -> None:
    graph = trace(PrintInForward().eval(), (torch.randn(2, 3, 8, 8),))
    assert capsys.readouterr().out == ""
    (effect,) = graph.side_effects
    assert effect.what == "print"
    assert effect.source is not None
    assert effect.source.text == 'print("shape", x.shape)'
    assert [record.op for _, record in graph] == ["input", "conv2d", "output"]


class BranchOnData(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return self.conv(x)
        return x


class BranchOnBatch(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 1:
            return self.conv(x)
        return x


class BatchAsNumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).view(2, 192)


class DropoutForcedOn(Net):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.conv(x), 0.5)


class RandomInForward(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.rand(1)


class CountsCalls(Net):
    def __init__(self) -> None:
        super().__init__()
        self.n: Tensor
        self.register_buffer("n", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        return self.conv(x) + self.n


class CountsInPython(Net):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.conv(x) + self.count


class Autocast(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.conv(x)
        return y.float()


class RandomPastOne(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.randn_like(x) * (x.shape[0] - 1)


class RandomWhereItIsRare(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.relu(x.abs() - 40) * torch.randn_like(x)


class WritesItsWeights(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.conv.weight.data.mul_(0.5)
        return self.conv(x)


class ClampsItsWeights(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.conv.weight.data.clamp_(-0.1, 0.1)
        return self.conv(x)


class CountsToAHundred(Net):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        y = self.conv(x)
        return y if self.count < 100 else 2 * y


REFUSED: dict[type[nn.Module], str] = {
    BranchOnData: "the path taken depends on the values or the size of a tensor",
    BranchOnBatch: "the path taken depends on the values or the size of a tensor",
    BatchAsNumber: "BatchAsNumber fails on x [1, 3, 8, 8]",
    DropoutForcedOn: "the module is random",
    RandomInForward: "the module is random",
    CountsCalls: "the forward pass changes the state 'n'",
    CountsInPython: "keeps state between calls",
    Autocast: "the graph computes another result than the module",
    RandomPastOne: "the module is random",
    RandomWhereItIsRare: "the module is random",
    WritesItsWeights: "keeps state between calls",
    ClampsItsWeights: "the forward pass changes the state 'conv.weight'",
    CountsToAHundred: "forward changes 'count'",
}

LINES: dict[type[nn.Module], str] = {
    BranchOnData: "if x.sum() > 0:",
    BranchOnBatch: "if x.shape[0] > 1:",
    BatchAsNumber: "return self.conv(x).view(2, 192)",
    DropoutForcedOn: "return F.dropout(self.conv(x), 0.5)",
    RandomInForward: "return self.conv(x) + torch.rand(1)",
    RandomPastOne: "torch.randn_like(x) * (x.shape[0] - 1)",
    CountsToAHundred: "self.count += 1",
    WritesItsWeights: "self.conv.weight.data.mul_(0.5)",
    CountsInPython: "self.count += 1",
    Autocast: "y = self.conv(x)",
}


@pytest.mark.parametrize("cls", REFUSED, ids=lambda c: c.__name__)
def test_refused_with_reason_line_and_remedy(cls: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = cls().eval()
    with pytest.raises(TraceError) as caught:
        trace(module, (torch.randn(2, 3, 8, 8),))
    assert REFUSED[cls] in caught.value.problem
    assert LINES.get(cls, "") in caught.value.source
    assert caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("cls", [CountsCalls, WritesItsWeights, ClampsItsWeights, CountsInPython])
def test_refusal_leaves_the_module_as_it_was(cls: type[Net]) -> None:
    module = cls().eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(TraceError):
        trace(module, (torch.randn(2, 3, 8, 8),))
    after = module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert getattr(module, "count", 0) == 0


def test_training_mode_is_refused() -> None:
    module = SharedWeight()
    module.eval()
    module.bn.train()
    with pytest.raises(TraceError) as caught:
        trace(module, (torch.randn(2, 3, 8, 8),))
    assert str(caught.value).splitlines() == [
        "SharedWeight is in training mode",
        "  module: bn",
        "  remedy: call .eval() before tracing",
    ]


def test_a_fixed_batch_lets_a_fixed_view_through() -> None:
    graph = trace(BatchAsNumber().eval(), (torch.randn(2, 3, 8, 8),), batch=2)
    assert graph.inputs[0].info.shape == (2, 3, 8, 8)
    assert graph.outputs[0].info.shape == (2, 192)


class KeepsWhatItSaw(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.conv(x)
        return self.last * 2


def test_a_tensor_kept_for_others_to_see_does_no_harm() -> None:
    module = KeepsWhatItSaw().eval()
    graph = trace(module, (torch.randn(2, 3, 8, 8),))
    x = torch.randn(3, 3, 8, 8)
    assert torch.equal(graph.module(x), module(x))


class Hidden(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_what_hides_the_forward_is_refused() -> None:
    inputs = (torch.randn(2, 3, 8, 8),)
    hooked = Hidden().eval()
    hooked.register_forward_hook(lambda module, args, output: output * 5)
    patched = Hidden().eval()
    patched.forward = lambda x: x  # type: ignore[method-assign]
    for module in (hooked, patched):
        with pytest.raises(TraceError, match="at its root"):
            trace(module, inputs)
    with pytest.raises(TraceError, match=r"is a single layer of torch\.nn"):
        trace(nn.LSTM(3, 4, batch_first=True).eval(), (torch.randn(2, 5, 3),))
    with pytest.raises(TraceError, match="is on meta"):
        trace(Hidden().eval().to("meta"), inputs)
