"""What a graph knows: shapes, modules, sources, costs, dead weight."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import Tensor, nn

from netloft.errors import InputError, TraceError
from netloft.graph import annotation
from netloft.graph.text import print_graph
from netloft.tracing import trace


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn(self.conv(x)))
        out += x
        return self.relu(out)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 2)
        self.spare = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        self.scale = nn.Parameter(torch.ones(2))
        self.lost = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.fc(x.mean((2, 3))) * self.scale


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def test_text_of_the_graph(net: Net) -> None:
    text = print_graph(trace(net, (torch.randn(2, 3, 8, 8),)))
    assert text == dedent(
        """\
        %x: float32[batch, 3, 8, 8] = input()
        %stem: float32[batch, 4, 4, 4] = conv2d(%x)  # stem
        %blocks_0_conv: float32[batch, 4, 4, 4] = conv2d(%stem)  # blocks.0.conv
        %blocks_0_bn: float32[batch, 4, 4, 4] = batch_norm(%blocks_0_conv)  # blocks.0.bn
        %blocks_0_relu: float32[batch, 4, 4, 4] = relu(%blocks_0_bn)  # blocks.0.relu
        %iadd: float32[batch, 4, 4, 4] = add(%blocks_0_relu, %stem)  # blocks.0
        %blocks_0_relu_1: float32[batch, 4, 4, 4] = relu(%iadd)  # blocks.0.relu@1
        %blocks_1_conv: float32[batch, 4, 4, 4] = conv2d(%blocks_0_relu_1)  # blocks.1.conv
        %blocks_1_bn: float32[batch, 4, 4, 4] = batch_norm(%blocks_1_conv)  # blocks.1.bn
        %blocks_1_relu: float32[batch, 4, 4, 4] = relu(%blocks_1_bn)  # blocks.1.relu
        %iadd_1: float32[batch, 4, 4, 4] = add(%blocks_1_relu, %blocks_0_relu_1)  # blocks.1
        %blocks_1_relu_1: float32[batch, 4, 4, 4] = relu(%iadd_1)  # blocks.1.relu@1
        %mean: float32[batch, 4] = mean(%blocks_1_relu_1)
        %fc: float32[batch, 2] = linear(%mean)  # fc
        %scale: float32[2] = parameter()
        %mul: float32[batch, 2] = mul(%fc, %scale)
        %output: float32[batch, 2] = output(%mul)
        """
    )


def test_dead_modules_and_unused_parameters_are_named(net: Net) -> None:
    graph = trace(net, (torch.randn(2, 3, 8, 8),))
    assert [(m.path, m.class_name, m.n_params) for m in graph.dead_modules] == [
        ("spare", "Sequential", 10)
    ]
    assert graph.unused_parameters == {"lost": 3}
    assert graph.totals.n_dead_params == 13


def test_every_parameter_counts_once(net: Net) -> None:
    totals = trace(net, (torch.randn(2, 3, 8, 8),)).totals
    assert totals.n_params + totals.n_dead_params == sum(p.numel() for p in net.parameters())


def test_costs_are_for_one_item(net: Net) -> None:
    graph = trace(net, (torch.randn(5, 3, 8, 8),))
    stem = annotation(graph.node("stem"))
    assert stem.macs == 4 * 4 * 4 * 27
    assert stem.bytes_out == 4 * 4 * 4 * 4
    assert annotation(graph.node("fc")).macs == 8
    assert graph.totals.depth == 4


def test_every_node_knows_its_line(net: Net) -> None:
    graph = trace(net, (torch.randn(2, 3, 8, 8),))
    source = annotation(graph.node("iadd")).source
    assert source is not None
    assert source.text == "out += x"
    assert source.file.endswith("test_trace.py")
    assert not source.file.startswith("/")


def test_a_line_outside_of_the_network_is_no_source() -> None:
    graph = trace(nn.Sequential(nn.Linear(3, 2)).eval(), (torch.randn(2, 3),))
    assert [record.source for _, record in graph] == [None, None, None]


def test_a_fixed_batch_is_a_number(net: Net) -> None:
    graph = trace(net, (torch.randn(2, 3, 8, 8),), batch=4)
    assert graph.inputs[0].info.shape == (4, 3, 8, 8)


class Doubles(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x[:1]])


def test_a_length_that_follows_the_batch_is_an_expression() -> None:
    graph = trace(Doubles().eval(), (torch.randn(2, 3),))
    assert graph.outputs[0].info.shape == ("batch+1", 3)


class TwoInputs(nn.Module):
    def forward(self, a: Tensor, b: Tensor, scale: float = 2.0) -> tuple[Tensor, Tensor]:
        return a + b, a * scale


def test_inputs_and_outputs_keep_their_names() -> None:
    graph = trace(TwoInputs().eval(), {"a": torch.randn(2, 3), "b": torch.randn(2, 3)})
    assert [v.name for v in graph.inputs] == ["a", "b"]
    assert [v.name for v in graph.outputs] == ["output_0", "output_1"]


def test_wrong_inputs_are_explained() -> None:
    module = TwoInputs().eval()
    with pytest.raises(InputError, match="missing a required argument: 'b'"):
        trace(module, (torch.randn(2, 3),))
    with pytest.raises(InputError, match="different batch sizes"):
        trace(module, (torch.randn(2, 3), torch.randn(1, 3)))
    with pytest.raises(InputError, match="input 'b' is a list"):
        trace(module, (torch.randn(2, 3), [1]))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def test_a_tied_parameter_counts_once_and_at_its_first_reader() -> None:
    graph = trace(Tied().eval(), (torch.randn(2, 4),))
    assert annotation(graph.node("a")).parameters == ("a.weight", "a.bias")
    assert annotation(graph.node("b")).parameters == ("b.bias",)
    assert graph.totals.n_params == 24
    assert graph.unused_parameters == {}


ODD_NAMES = [
    'a" if open("PWNED", "w") else "b',
    "quote'd",
    "<script>alert(1)</script>",
    "back\\slash",
    "line\nbreak",
    "emoji 🚢",
    "x" * 300,
    "class",
    "both \" and '",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_an_odd_module_name_is_kept_and_never_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = nn.Sequential()
    module.add_module(name, nn.Linear(3, 2))
    graph = trace(module.eval(), (torch.randn(2, 3),))
    assert [record.module for _, record in graph if record.op == "linear"] == [name]
    assert graph.totals.n_params == 8
    assert graph.dead_modules == ()
    assert graph.unused_parameters == {}
    assert list(tmp_path.iterdir()) == []


class OwnLinear(nn.Linear):
    """A layer of one's own, whose weights the graph reads by their names."""


def test_an_odd_name_of_a_layer_of_ones_own_is_kept() -> None:
    module = nn.Sequential()
    module.add_module("e:port", OwnLinear(3, 2))
    graph = trace(module.eval(), (torch.randn(2, 3),))
    assert [record.module for _, record in graph if record.op == "linear"] == ["e:port"]
    assert graph.totals.n_params == 8


class Inplace(nn.Module):
    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 64, 3, padding=1)
        self.relu = nn.ReLU(inplace=inplace)
        self.b = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.relu(self.a(x)))


@pytest.mark.parametrize("inplace", [True, False])
def test_peak_memory_counts_what_lives_at_once(inplace: bool) -> None:
    graph = trace(Inplace(inplace=inplace).eval(), (torch.randn(2, 3, 32, 32),))
    assert graph.totals.peak_activation_bytes == 2 * 64 * 32 * 32 * 4


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(self.lstm(x)[0])
        return torch.nn.functional.scaled_dot_product_attention(h, h, h)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_multiply_adds_of_whole_layers_count() -> None:
    graph = trace(Layers().eval(), (torch.randn(2, 10, 8),))
    lstm = 10 * 2 * (4 * 16 * (8 + 16) + 4 * 16 * (32 + 16))
    encoder = 10 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 10 * 10 * 32
    attention = 2 * 10 * 10 * 32
    macs = {record.op: record.macs for _, record in graph if record.macs}
    assert macs["lstm"] == lstm
    assert macs["transformer_encoder_layer"] == encoder
    assert macs["scaled_dot_product_attention"] == attention


class ReadsSizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", torch.randn(1, 20, 4))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == 4
        x = x + self.table[:, : x.size(1)]
        return x + torch.ones(x.shape[0], 1, 4)


def test_sizes_index_buffers_fill_factories_and_are_asserted() -> None:
    module = ReadsSizes().eval()
    graph = trace(module, (torch.randn(2, 7, 4),))
    x = torch.randn(5, 7, 4)
    assert torch.equal(graph.module(x), module(x))
    assert [effect.what for effect in graph.side_effects] == ["assert"]


def test_what_is_no_tensor_is_refused_as_an_output() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, int]:
            return x * 2, 3

    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x)

    with pytest.raises(TraceError, match="returns something other than tensors"):
        trace(Pair().eval(), (torch.randn(2, 3),))
    with pytest.raises(TraceError, match="returns complex64 numbers"):
        trace(Spectrum().eval(), (torch.randn(2, 3),))
