"""What `netloft diff` calls the same computes the same: pairs of nets that differ in one place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.comparing import diff
from netloft.graph import Graph
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Held(nn.Module):
    """A net of one function and the layers it calls."""

    def __init__(self, do: Callable[[Any, Tensor], Any], *layers: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.do = do
        self.conv, self.one, self.line = nn.Conv2d(4, 4, 1), nn.Linear(8, 1), nn.Linear(8, 8)
        self.slopes, self.w = nn.PReLU(), nn.Parameter(torch.randn(8, 8))
        self.layer = layers[0] if layers else nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return self.do(self, x)


def graph_of(module: nn.Module, x: Tensor = X) -> Graph:
    return trace(module.eval(), (x,), name="net", prove=False)


def exported(do: Callable[[Any, Tensor], Any], folder: Path) -> Path:
    module = Held(do).eval()
    path = folder / "net.onnx"
    write_onnx(graph_of(module), module, {"x": X}, path, prove=False)
    return path


def put(y: Tensor, at: int, value: float) -> Tensor:
    y[:, at] = value
    return y


def relu_then_add(s: Any, x: Tensor, inplace: bool) -> Tensor:
    x = s.conv(x)
    y = F.relu(x, inplace=inplace)
    return x + y


def written_first(s: Any, x: Tensor, first: bool) -> Tensor:
    x = s.conv(x)
    if first:
        x.mul_(2)
        return x + x.sigmoid()
    y = x.sigmoid()
    x.mul_(2)
    return x + y


Do = Callable[[Any, Any], Any]

# One argument is all that two of a row differ in.
PAIRS: dict[str, tuple[Do, Do]] = {
    "slice": (lambda s, x: x[:, 0:2], lambda s, x: x[:, 2:4]),
    "step": (lambda s, x: x[:, :, ::2], lambda s, x: x[:, :, 1::2]),
    "setitem index": (lambda s, x: put(s.conv(x), 0, 1), lambda s, x: put(s.conv(x), 1, 1)),
    "setitem value": (lambda s, x: put(s.conv(x), 0, 1), lambda s, x: put(s.conv(x), 0, 2)),
    "flip": (lambda s, x: x.flip(2), lambda s, x: x.flip(3)),
    "roll": (lambda s, x: x.roll(1, 2), lambda s, x: x.roll(3, 2)),
    "permute": (lambda s, x: x.permute(0, 1, 3, 2), lambda s, x: x.permute(0, 1, 2, 3)),
    "cumsum": (lambda s, x: x.cumsum(1), lambda s, x: x.cumsum(2)),
    "clamp": (lambda s, x: x.clamp(-1, 1), lambda s, x: x.clamp(-1, 2)),
    "clamp end": (lambda s, x: x.clamp(min=0.1), lambda s, x: x.clamp(max=0.1)),
    "masked_fill": (
        lambda s, x: x.masked_fill(x > 0, 0.0),
        lambda s, x: x.masked_fill(x > 0, 1.0),
    ),
    "tril": (lambda s, x: x.tril(), lambda s, x: x.tril(1)),
    "topk k": (lambda s, x: x.topk(1, 1)[0].sum(1), lambda s, x: x.topk(2, 1)[0].sum(1)),
    "topk largest": (lambda s, x: x.topk(1, 1)[0], lambda s, x: x.topk(1, 1, False)[0]),
    "einsum": (
        lambda s, x: torch.einsum("bchw,bchv->bcwv", x, x),
        lambda s, x: torch.einsum("bcwh,bcvh->bcwv", x, x),
    ),
    "sub": (lambda s, x: x - 2, lambda s, x: 2 - x),
    "div": (lambda s, x: x / 2, lambda s, x: 2 / x),
    "pow": (lambda s, x: x**2, lambda s, x: x**3),
    "power of": (lambda s, x: x**2, lambda s, x: 2**x),
    "add alpha": (lambda s, x: torch.add(x, s.conv(x), alpha=2), lambda s, x: x + s.conv(x)),
    "gt": (lambda s, x: (x > 0).float(), lambda s, x: (x > 1).float()),
    "where": (lambda s, x: torch.where(x > 0, x, 0.0), lambda s, x: torch.where(x > 0, x, 1.0)),
    "mean": (lambda s, x: x.mean(2), lambda s, x: x.mean(3)),
    "std": (lambda s, x: x.std(1), lambda s, x: x.std(1, unbiased=False)),
    "softmax": (lambda s, x: x.softmax(1), lambda s, x: x.softmax(2)),
    "gelu": (lambda s, x: F.gelu(x), lambda s, x: F.gelu(x, approximate="tanh")),
    "leaky": (lambda s, x: F.leaky_relu(x, 0.1), lambda s, x: F.leaky_relu(x, 0.2)),
    "elu": (lambda s, x: F.elu(x, 1.0), lambda s, x: F.elu(x, 2.0)),
    "glu": (lambda s, x: F.glu(x, 1), lambda s, x: F.glu(x, 2)),
    "normalize": (lambda s, x: F.normalize(x, p=1.0), lambda s, x: F.normalize(x, p=2.0)),
    "norm": (lambda s, x: torch.norm(x, p=1, dim=1), lambda s, x: torch.norm(x, p=2, dim=1)),
    "average": (
        lambda s, x: F.avg_pool2d(x, 3, 1, 1),
        lambda s, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    ),
    "max pool": (lambda s, x: F.max_pool2d(x, 3, 1, 1), lambda s, x: F.max_pool2d(x, 5, 1, 2)),
    "adaptive": (lambda s, x: F.adaptive_avg_pool2d(x, 2), lambda s, x: x.mean(2)),
    "pad": (lambda s, x: F.pad(x, (1, 1)), lambda s, x: F.pad(x, (0, 2))),
    "pad value": (lambda s, x: F.pad(x, (1, 1)), lambda s, x: F.pad(x, (1, 1), value=1.0)),
    "pad mode": (
        lambda s, x: F.pad(x, (1, 1, 0, 0), mode="reflect"),
        lambda s, x: F.pad(x, (1, 1, 0, 0), mode="replicate"),
    ),
    "interpolate": (
        lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    ),
    "layer norm": (lambda s, x: F.layer_norm(x, (8,)), lambda s, x: F.layer_norm(x, (8, 8))),
    "eps": (lambda s, x: F.layer_norm(x, (8,)), lambda s, x: F.layer_norm(x, (8,), eps=0.1)),
    "stack": (lambda s, x: torch.stack([x, x], 1), lambda s, x: torch.stack([x, x], 2)),
    "cat": (lambda s, x: torch.cat([x, s.conv(x)], 1), lambda s, x: torch.cat([s.conv(x), x], 1)),
    "outputs": (lambda s, x: tuple(x.chunk(2, 1)), lambda s, x: tuple(reversed(x.chunk(2, 1)))),
    "part": (lambda s, x: x.chunk(2, 1)[0].relu(), lambda s, x: x.chunk(2, 1)[1].relu()),
    "parts": (
        lambda s, x: (lambda p: p[0] * p[1].sigmoid())(x.chunk(2, 1)),
        lambda s, x: (lambda p: p[1] * p[0].sigmoid())(x.chunk(2, 1)),
    ),
    "lengths": (
        lambda s, x: (lambda p: p[0].sum(1) * p[1].sum(1))(x.split([1, 3], 1)),
        lambda s, x: (lambda p: p[0].sum(1) * p[1].sum(1))(x.split([3, 1], 1)),
    ),
    "new axis": (lambda s, x: x[:, None], lambda s, x: x[:, :, None]),
    "index": (lambda s, x: x[..., 0], lambda s, x: x[..., 1]),
    "sort": (lambda s, x: x.sort(1)[0], lambda s, x: x.sort(1, descending=True)[0]),
    "rounding": (
        lambda s, x: torch.div(x, 2, rounding_mode="floor"),
        lambda s, x: torch.div(x, 2, rounding_mode="trunc"),
    ),
    "attention": (
        lambda s, x: F.scaled_dot_product_attention(x, x, x),
        lambda s, x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ),
    "softplus": (lambda s, x: F.softplus(x, 2), lambda s, x: F.softplus(x, 1)),
    "clamp_min": (lambda s, x: x.clamp_min(0.5), lambda s, x: x.clamp_max(0.5)),
    "clamp by": (
        lambda s, x: torch.clamp(x, s.w, None),
        lambda s, x: torch.clamp(x, None, s.w),
    ),
    "inplace": (lambda s, x: relu_then_add(s, x, True), lambda s, x: relu_then_add(s, x, False)),
    "write": (lambda s, x: written_first(s, x, True), lambda s, x: written_first(s, x, False)),
    "side": (lambda s, x: x @ s.w, lambda s, x: s.w @ x),
    "turned": (lambda s, x: F.linear(x, s.w), lambda s, x: x @ s.w),
    "conv": (lambda s, x: s.conv(x), lambda s, x: F.conv2d(x, s.conv.weight)),
    "stride": (
        lambda s, x: F.conv2d(x, s.conv.weight, stride=1),
        lambda s, x: F.conv2d(x, s.conv.weight, stride=2),
    ),
    "one": (lambda s, x: s.one(x), lambda s, x: s.one(x) + 1),
    "prelu": (lambda s, x: s.slopes(x), lambda s, x: F.prelu(x, s.slopes.weight * 2)),
    "max": (lambda s, x: x.max(1)[0], lambda s, x: x.max(2)[0]),
    "expand": (lambda s, x: x.mean(1, keepdim=True) + x, lambda s, x: x.mean(2, keepdim=True) + x),
}  # fmt: skip

LAYERS: dict[str, tuple[nn.Module, nn.Module]] = {
    "padding_mode": (
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, padding=1),
    ),
    "output_padding": (
        nn.ConvTranspose2d(4, 4, 3, 2, output_padding=1), nn.ConvTranspose2d(4, 4, 3, 2),
    ),
    "turned weight": (nn.Linear(8, 8), nn.Linear(8, 8)),
    "kernel": (nn.Conv2d(4, 4, (1, 3), bias=False), nn.Conv2d(4, 4, (3, 1), bias=False)),
    "pads": (nn.ReflectionPad2d(1), nn.ReplicationPad2d(1)),
    "p": (nn.LPPool2d(1, 2), nn.LPPool2d(2, 2)),
    "ceil": (nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, ceil_mode=True)),
    "threshold": (nn.Threshold(0.1, 20), nn.Threshold(0.2, 20)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_two_modules_that_differ_in_one_argument(name: str) -> None:
    a, b = (graph_of(Held(do)) for do in PAIRS[name])
    for one, two in ((a, b), (b, a)):
        found = diff(one, two)
        assert not found.equal
        assert found.unexplained
    for do, graph in zip(PAIRS[name], (a, b), strict=True):
        assert diff(graph, graph_of(Held(do))).proven


@pytest.mark.parametrize("name", LAYERS)
def test_two_layers_that_differ_in_one_argument(name: str) -> None:
    a, b = LAYERS[name]
    with torch.no_grad():
        for old, new in zip(a.parameters(), b.parameters(), strict=True):
            turned = name == "turned weight" and old.dim() == 2
            new.copy_(old.T if turned else old.reshape(new.shape))
    graphs = [graph_of(Held(lambda s, x: s.layer(x), layer)) for layer in (a, b)]
    assert diff(*graphs).unexplained
    assert diff(graphs[0], graphs[0]).proven


@pytest.mark.parametrize("name", PAIRS)
def test_a_module_and_its_own_file_and_that_of_another(name: str, tmp_path: Path) -> None:
    one, two = PAIRS[name]
    graph = graph_of(Held(one))
    path = exported(one, tmp_path)
    own = diff(graph, path)
    assert not own.unexplained, own.text()
    assert not diff(path, graph).unexplained
    (tmp_path / "other").mkdir()
    found = diff(graph, exported(two, tmp_path / "other"))
    assert not found.proven, found.text()


OWN: dict[str, Callable[[], nn.Module]] = {
    "same": lambda: nn.Conv2d(4, 4, 3, padding="same"),
    "valid": lambda: nn.Conv2d(4, 4, 3, padding="valid"),
    "reflecting": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "grouped": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, 2, output_padding=1),
    "one channel": lambda: nn.Conv2d(4, 1, 1),
    "linear": lambda: nn.Linear(8, 8),
    "one output": lambda: nn.Linear(8, 1),
    "folded": lambda: nn.Sequential(nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1)),
    "padded": lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3)),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "layer norm": lambda: nn.LayerNorm(8),
    "bare layer norm": lambda: nn.LayerNorm((8, 8), elementwise_affine=False),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
    "rms norm": lambda: nn.RMSNorm(8),
    "response norm": lambda: nn.LocalResponseNorm(2),
    "prelu": nn.PReLU,
    "slopes": lambda: nn.PReLU(4),
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "softplus": nn.Softplus,
    "log softmax": lambda: nn.LogSoftmax(1),
    "log sigmoid": nn.LogSigmoid,
    "softshrink": nn.Softshrink,
    "hardshrink": nn.Hardshrink,
    "max pool": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "average pool": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "global pool": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive": lambda: nn.AdaptiveAvgPool2d(3),
    "adaptive max": lambda: nn.AdaptiveMaxPool2d(2),
    "constant pad": lambda: nn.ConstantPad2d(1, 3.0),
    "replication pad": lambda: nn.ReplicationPad2d(2),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
    "shuffle": lambda: nn.PixelShuffle(2),
    "unshuffle": lambda: nn.PixelUnshuffle(2),
    "unfold": lambda: nn.Unfold(2),
    "flatten": lambda: nn.Flatten(2),
    "dropout": nn.Dropout,
}


@pytest.mark.parametrize("name", OWN)
def test_no_layer_differs_from_its_own_file_without_a_reason(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(OWN[name](), nn.ReLU()).eval()
    graph = graph_of(module)
    write_onnx(graph, module, {"input": X}, tmp_path / "net.onnx", prove=False)
    for found in (diff(graph, tmp_path / "net.onnx"), diff(tmp_path / "net.onnx", graph)):
        assert not found.unexplained, found.text()


def weights_of(found: nn.Module) -> list[str]:
    held = [*found.named_parameters(), *found.named_buffers()]
    return [name for name, value in held if value.is_floating_point()]


@pytest.mark.parametrize("name", [n for n, make in OWN.items() if weights_of(make())])
def test_one_number_of_a_weight_is_seen_in_a_file_too(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(OWN[name](), nn.ReLU()).eval()
    write_onnx(graph_of(module), module, {"input": X}, tmp_path / "net.onnx", prove=False)
    for weight in weights_of(module):
        other = copy.deepcopy(module)
        with torch.no_grad():
            other.state_dict()[weight].view(-1)[-1:] += 0.5
        assert diff(graph_of(module), graph_of(other)).unexplained
        found = diff(graph_of(other), tmp_path / "net.onnx")
        assert found.unexplained or not found.proven
        if not any(change.reason.startswith("written out") for change in found.changes):
            assert found.unexplained, found.text()


def test_what_is_not_compared_is_told_and_counted(tmp_path: Path) -> None:
    def one(s: Any, x: Tensor) -> Tensor:
        return x.cumsum(1)

    found = diff(graph_of(Held(one)), exported(one, tmp_path))
    assert (found.equal, found.proven, found.counts["uncompared"]) == (True, False, 1)
    first, line, _ = found.text().split("\n")
    assert first.endswith(
        "removed, 1 not compared: their arguments have no common form; "
        "netloft verify compares results"
    )
    assert line.startswith("? ")
    assert line.endswith(": not compared")
    facts = found.to_json()
    assert (facts["equal"], facts["proven"]) == (True, False)
    assert [c["compared"] for c in facts["changes"]] == [False]
