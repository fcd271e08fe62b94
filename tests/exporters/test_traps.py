"""Ways in which an export goes silently wrong elsewhere: the file is right, or there is none.

Each network goes from module to file to ONNX Runtime, at batch sizes that it was not traced with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from tests.toolkit.passes.nets import BATCHES, Function, net
from tests.toolkit.tracing import test_traps as traps
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it
from torch.nn.utils import parametrizations

from netloft.errors import TraceError
from netloft.tracing.faithful import flatten_outputs
from netloft_exporters import to_onnx

SHAPE = (4, 6, 5)


def conv(**options: Any) -> nn.Module:
    return nn.Conv2d(4, 4, 3, padding=1, **options)


def compared(module: nn.Module, file: Path, inputs: Sequence[Tensor], rtol: float = 1e-4) -> None:
    """Hold a file against its module on inputs of different sizes."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    for x in inputs:
        with torch.no_grad():
            wanted = flatten_outputs(module(x.clone()))
        made = session.run(None, {given.name: x.contiguous().numpy()})
        assert len(made) == len(wanted)
        for array, tensor in zip(made, wanted.values(), strict=True):
            expected = tensor.detach().numpy()
            assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(array, expected, rtol=rtol, atol=2e-5 * scale)


def items(batch: int, shape: Sequence[int] = SHAPE) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))


torch.manual_seed(0)  # the layers below are the same in every run
RIGHT: dict[str, tuple[Function, dict[str, Any]]] = {}


def right(**parts: Any) -> Callable[[Function], Function]:
    """Put a function into the table of those that come out right."""

    def add(function: Function) -> Function:
        RIGHT[function.__name__] = (function, parts)
        return function

    return add


@right(conv=conv(), relu=nn.ReLU(inplace=True))
def in_place_module_on_a_value_read_later(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    y = m.relu(h)
    return y + h


@right(conv=conv())
def in_place_operator_on_an_alias(m: Any, x: Tensor) -> Any:
    o = m.conv(x)
    k = o
    o += x
    return o + k


@right(conv=conv())
def in_place_method(m: Any, x: Tensor) -> Any:
    o = m.conv(x)
    k = o
    o.add_(x)
    return o * k


@right(conv=conv())
def item_assignment(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    h[:, :2] = 0
    return h


@right(conv=conv())
def write_through_a_view(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    F.relu_(h[:, :2])
    h.flatten(1)[:, 3] += 1
    a, b = h.chunk(2, 1)
    a.mul_(b.sigmoid())
    return h, a


@right(conv=conv())
def the_input_is_mutated(m: Any, x: Tensor) -> Any:
    y = x * 1
    x.mul_(2)
    return m.conv(x) + y


@right(conv=conv())
def print_in_forward(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    print(h.shape)
    return h


@right(conv=conv())
def a_constant_that_is_written_to(m: Any, x: Tensor) -> Any:
    z = torch.zeros(5)
    y = m.conv(x) + z
    z += x.mean((0, 1, 2))
    return y * z


@right(conv=conv(), one=nn.BatchNorm2d(4), two=nn.BatchNorm2d(4))
def one_convolution_two_norms(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    return m.one(h) - m.two(h) + m.one(m.conv(x + 1))


def tied() -> dict[str, Any]:
    a, b, fc = conv(), conv(), nn.Linear(5, 5)
    b.weight = a.weight
    return {"a": a, "b": b, "norm": nn.BatchNorm2d(4), "fc": fc, "again": fc.weight}


@right(**tied())
def weights_shared_by_two_layers(m: Any, x: Tensor) -> Any:
    return m.norm(m.a(x)) + m.b(x) + F.linear(m.fc(x), m.again.t())


@right(conv=conv(), pool=nn.AdaptiveAvgPool2d(1), relu=nn.ReLU(inplace=True))
def one_module_on_several_shapes(m: Any, x: Tensor) -> Any:
    small = m.relu(m.conv(x[:, :, ::2, ::2]))
    return m.pool(small) + m.pool(m.relu(m.conv(x))) + m.pool(m.conv(m.pool(x)))


@right(table=torch.arange(5, dtype=torch.float64) / 3, conv=conv())
def buffers_in_float64(m: Any, x: Tensor) -> Any:
    return (m.conv(x) * m.table).float(), (x.double() + m.table).sum(1)


@right(fc=nn.Linear(5, 3), norm=nn.LayerNorm(3))
def a_matrix_product_on_three_and_four_axes(m: Any, x: Tensor) -> Any:
    return m.norm(m.fc(x.mean(1))), m.fc(x)


@right()
def axes_counted_from_the_end(m: Any, x: Tensor) -> Any:
    return (
        x.softmax(-3) + x.transpose(-1, -2).transpose(2, 3),
        torch.cat([x, x], -2).sum(-1),
        x.flatten(-3, -2).mean(-2, keepdim=True),
        torch.stack([x, -x], -1).amax(-4),
        x.select(-2, -1).unsqueeze(-2).squeeze(-2),
    )


@right(
    up=nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    average=nn.AvgPool2d(2, 2, 1, ceil_mode=True, count_include_pad=False),
    counted=nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=4),
)
def pools_that_round_up(m: Any, x: Tensor) -> Any:
    return m.up(x), m.average(x), m.counted(x)


@right(
    dilated=nn.Conv2d(4, 6, 3, dilation=(2, 1), padding=(2, 0), groups=2),
    reflect=nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect"),
    circular=nn.Conv2d(4, 4, (3, 2), padding=(1, 0), padding_mode="circular"),
    replicate=nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate", groups=4),
    even=nn.Conv2d(4, 4, 4, padding="same"),
    same=nn.Conv2d(4, 4, (2, 3), padding="same", dilation=2),
)
def convolutions_of_every_padding(m: Any, x: Tensor) -> Any:
    unlike = F.conv2d(F.pad(x, (0, 2, 1, 0)), m.same.weight)
    return m.dilated(x), m.reflect(x), m.circular(x), m.replicate(x), m.even(x), m.same(x), unlike


@right()
def adaptive_pools_that_do_not_divide(m: Any, x: Tensor) -> Any:
    return F.adaptive_avg_pool2d(x, (4, 3)), F.adaptive_max_pool2d(x, (5, 2))


@right()
def sizes_between(m: Any, x: Tensor) -> Any:
    return (
        F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=False),
        F.interpolate(x, size=(9, 4), mode="bilinear", align_corners=True),
        F.interpolate(x, scale_factor=1.3, mode="nearest"),
        F.interpolate(x, scale_factor=(0.6, 1.5), mode="bicubic", recompute_scale_factor=True),
    )


@right()
def whole_numbers_below_zero(m: Any, x: Tensor) -> Any:
    n = (x * 7).long()
    return (
        n // 4,
        n % 4,
        n // -4,
        n % -4,
        torch.div(n, 4, rounding_mode="trunc"),
        torch.fmod(n, 4),
        torch.remainder(x, -1.5),
        x // 0.5,
    )


@right()
def activations_of_every_form(m: Any, x: Tensor) -> Any:
    return F.gelu(x), F.gelu(x, approximate="tanh"), x.softmax(0 + 1), x.softmax(2), x.softmax(-1)


@right()
def attention_with_masks(m: Any, x: Tensor) -> Any:
    mask = torch.ones(6, 6).tril().bool()
    bias = torch.linspace(-1, 1, 36).reshape(6, 6)
    return (
        F.scaled_dot_product_attention(x, x, x, attn_mask=mask, dropout_p=0.0),
        F.scaled_dot_product_attention(x, x, x, attn_mask=bias, scale=0.3),
        F.scaled_dot_product_attention(x, x, x, is_causal=True),
    )


@right(
    weight=parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
    spectral=parametrizations.spectral_norm(nn.Linear(5, 3)),
    orthogonal=parametrizations.orthogonal(nn.Linear(5, 5)),
)
def parametrised_weights(m: Any, x: Tensor) -> Any:
    return m.weight(x), m.spectral(x), m.orthogonal(x)


@right(
    last=conv().to(memory_format=torch.channels_last),
    turned=nn.Parameter(torch.randn(7, 5).t()),
    strided=nn.Parameter(torch.randn(10)[::2]),
)
def weights_that_do_not_lie_in_order(m: Any, x: Tensor) -> Any:
    h = m.last(x)
    v = h.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    v += 1
    return h * m.strided @ m.turned, v


@right()
def nothing_there(m: Any, x: Tensor) -> Any:
    none = x[:, 4:]
    return torch.cat([x, none], 1), none.sum(1), x[..., :0].flatten(1)


@right(conv=conv())
def the_batch_in_sizes(m: Any, x: Tensor) -> Any:
    b = x.shape[0]
    h = m.conv(x).view(b * 2, 2, 30).sum(1).reshape(b, -1)
    return h / b, torch.ones(b, 3) * h[:, :3], x.repeat(2, 1, 1, 1)[b - 1 :]


@right(conv=conv())
def data_of_a_tensor(m: Any, x: Tensor) -> Any:
    h = m.conv(x)
    h.data.mul_(2)
    v = h.mT
    v += 1
    return h


@right(conv=conv())
def a_cast_region_of_its_own(m: Any, x: Tensor) -> Any:
    return m.conv(x).to(torch.float16).float() * 2


LAYOUT_MATTERS = (
    "write_through_a_view",
    "weights_that_do_not_lie_in_order",
    "the_batch_in_sizes",
)
"""Whether `flatten` gives a view to write through, and `view` any, depends on the strides."""

TO_HALF = ("a_cast_region_of_its_own",)

NEVER_EMPTY = {
    "convolutions_of_every_padding": "ONNX Runtime's Pad knows no wrapping of nothing",
    "adaptive_pools_that_do_not_divide": "ONNX Runtime's MatMul broadcasts no matrix to nothing",
    "weights_that_do_not_lie_in_order": "the module's own reshape(0, -1) is ambiguous",
    "the_batch_in_sizes": "likewise",
}
"""Those that stop with an error at batch 0: the module, or ONNX Runtime."""


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", RIGHT)
def test_the_file_computes_what_the_module_computes(name: str, tmp_path: Path) -> None:
    function, parts = RIGHT[name]
    torch.manual_seed(0)
    module = net(function, **parts)
    file = to_onnx(module, (items(2),), tmp_path / "net.onnx")
    # a last bit that differs before a cast to half precision is a step of that after it
    rtol = 2**-10 if name in TO_HALF else 1e-4
    compared(module, file, [items(batch) for batch in BATCHES], rtol)
    if name not in LAYOUT_MATTERS:
        compared(module, file, [items(3).to(memory_format=torch.channels_last)], rtol)
    if name not in NEVER_EMPTY:
        compared(module, file, [items(0)])


def traced_with(batch: int, tmp_path: Path) -> tuple[nn.Module, Path]:
    """Export a network by an example of one size of batch."""
    function, parts = RIGHT["one_convolution_two_norms"]
    module = net(function, **parts)
    return module, to_onnx(module, (items(batch),), tmp_path / "net.onnx")


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_example_s_batch_leaves_no_trace(batch: int, tmp_path: Path) -> None:
    module, file = traced_with(batch, tmp_path)
    compared(module, file, [items(size) for size in BATCHES])


REFUSALS: dict[type[nn.Module], str] = {
    traps.BranchOnData: "BranchOnData cannot be traced: the path taken depends on the values or "
    "the size of a tensor",
    traps.BranchOnBatch: "BranchOnBatch cannot be traced: the path taken depends on the values or "
    "the size of a tensor; torch.export fails too: the graph computes another result than the "
    "module at batch 1",
    traps.BatchAsNumber: "BatchAsNumber fails on x [1, 3, 8, 8]: shape '[2, 192]' is invalid for "
    "input of size 192",
    traps.DropoutForcedOn: "the module is random: it draws random numbers in eval mode",
    traps.RandomInForward: "the module is random: it draws random numbers in eval mode",
    traps.CountsCalls: "the forward pass changes the state 'n', which an exported file would not",
    traps.CountsInPython: "the module keeps state between calls: forward changes 'count'",
    traps.Autocast: "the graph computes another result than the module at batch 1",
}


@pytest.mark.parametrize("cls", REFUSALS, ids=lambda c: c.__name__)
def test_refused_by_line_with_nothing_written(cls: type[nn.Module], tmp_path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        to_onnx(cls().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    assert caught.value.problem == REFUSALS[cls]
    assert traps.LINES.get(cls, "") in caught.value.source
    assert not list(tmp_path.iterdir())


def test_training_mode_is_refused(tmp_path: Path) -> None:
    function, parts = RIGHT["one_convolution_two_norms"]
    module = net(function, **parts)
    module.get_submodule("one").train()
    with pytest.raises(TraceError, match="Net is in training mode") as caught:
        to_onnx(module, (items(2),), tmp_path / "net.onnx")
    assert "module: one" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_told(tmp_path: Path) -> None:
    function, parts = RIGHT["a_matrix_product_on_three_and_four_axes"]
    module = net(function, **parts)
    with torch.no_grad():
        module.get_parameter("fc.weight")[0, 0] = float("nan")
    with pytest.warns(RuntimeWarning, match=r"^NaN or infinity in the weights: fc\.weight"):
        to_onnx(module, (items(2),), tmp_path / "net.onnx")


class Masked(nn.Module):
    """Has an argument that is mostly left out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        h: Tensor = self.fc(x)
        return h if mask is None else h * mask


@pytest.mark.parametrize("names", [["x"], ["x", "mask"]])
def test_an_optional_argument_is_there_if_it_was_given(names: list[str], tmp_path: Path) -> None:
    module = Masked().eval()
    file = to_onnx(module, {name: items(2) for name in names}, tmp_path / "net.onnx")
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert len(session.get_inputs()) == len(names)
    given = {name: items(3) + index for index, name in enumerate(names)}
    feeds = zip(session.get_inputs(), given.values(), strict=True)
    (made,) = session.run(None, {value.name: tensor.numpy() for value, tensor in feeds})
    np.testing.assert_allclose(made, module(**given).detach(), rtol=1e-4, atol=1e-5)


def test_hooks_of_layers_are_in_the_file(tmp_path: Path) -> None:
    module = traps.Hooked().eval()
    file = to_onnx(module, (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    compared(module, file, [items(batch, (3, 8, 8)) for batch in BATCHES])


@pytest.mark.parametrize("side", [16, 64, 300])
def test_the_mean_of_a_large_map_is_as_near_as_pytorchs(side: int, tmp_path: Path) -> None:
    module = net(lambda m, x: m.pool(x), pool=nn.AdaptiveAvgPool2d(1))
    x = torch.rand(2, 8, side, side, generator=torch.Generator().manual_seed(0)) + 1
    file = to_onnx(module, (x,), tmp_path / "net.onnx", prove=False)
    (made,) = ort.InferenceSession(file).run(None, {"input": x.numpy()})
    exact = x.double().mean((2, 3), keepdim=True)
    assert float((torch.from_numpy(made).double() - exact).abs().max()) < 3e-6
