"""What is told apart by more than a name: weights, functions and lengths that look like another."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from tests.toolkit.passes.nets import Net
from torch import Tensor, library, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it
from torch.nn.utils import parametrize

from netloft.errors import ExportError, InputError, TraceError
from netloft.tracing.faithful import flatten_outputs
from netloft_exporters import to_onnx

Inputs = tuple[Tensor, ...]


def number(*shape: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(sum(shape))
    return nn.Parameter(torch.randn(*shape, generator=generator))


class Attending(nn.Module):
    """Looks for one sequence in itself, and takes from another what it finds."""

    def __init__(self, part: nn.MultiheadAttention) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.part(x, x, y)[0]
        return found


def compared(module: nn.Module, inputs: Inputs, folder: Path, **options: Any) -> None:
    """Export without proofs, which would find the fault themselves, and hold against the module."""
    file = to_onnx(module.eval(), inputs, folder / "net.onnx", prove=False, **options)
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    feeds = {v.name: t.numpy() for v, t in zip(session.get_inputs(), inputs, strict=True)}
    with torch.no_grad():
        wanted = flatten_outputs(module(*(t.clone() for t in inputs)))
    for array, tensor in zip(session.run(None, feeds), wanted.values(), strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-4, atol=1e-5)


# names in the file


def test_weights_are_named_like_our_own_constants(tmp_path: Path) -> None:
    module = Net(lambda m, x: x * m.constant_0 + 3.0, constant_0=number(4))
    compared(module, (torch.randn(2, 4),), tmp_path)


def test_weights_are_named_like_what_is_made_of_others(tmp_path: Path) -> None:
    parts = {"weight": number(4, 4), "weight_transposed": number(4, 4)}
    module = Net(lambda m, x: F.linear(x, m.weight) + m.weight_transposed, **parts)
    compared(module, (torch.randn(2, 4, 4),), tmp_path)


@pytest.mark.parametrize("name", ["input", "output"])
def test_weights_are_named_like_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    parts = {name: number(4), f"{name}_value": number(4)}
    module = Net(lambda m, x: x * getattr(m, name) + getattr(m, f"{name}_value"), **parts)
    compared(module, (torch.randn(2, 4),), tmp_path)


def test_outputs_are_named_like_inputs(tmp_path: Path) -> None:
    module = Net(lambda m, x: {"input": x * 2, "input_out": x * 3})
    compared(module, (torch.randn(2, 4),), tmp_path)


def attention(**options: Any) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(8, 2, kdim=8, vdim=6, batch_first=True, **options)


def test_one_matrix_projects_queries_and_keys(tmp_path: Path) -> None:
    part = attention()
    part.k_proj_weight = part.q_proj_weight
    module = Attending(part)
    compared(module, (torch.randn(2, 3, 8), torch.randn(2, 3, 6)), tmp_path)


class Twice(nn.Module):
    """A parametrisation: the weight is made anew at each read."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


def test_weights_that_are_made_for_one_read(tmp_path: Path) -> None:
    part = attention(add_bias_kv=True)
    for name in ("q_proj_weight", "k_proj_weight", "bias_k", "bias_v"):
        parametrize.register_parametrization(part, name, Twice())
    module = Attending(part)
    compared(module, (torch.randn(2, 3, 8), torch.randn(2, 3, 6)), tmp_path)


def test_a_recurrent_layer_s_weight_is_read_by_another(tmp_path: Path) -> None:
    module = Net(
        lambda m, x: F.linear(m.part(x)[0], m.part.weight_hh_l0),
        part=nn.LSTM(4, 4, batch_first=True),
    )
    compared(module, (torch.randn(2, 3, 4),), tmp_path)


def test_a_mask_of_infinity_is_no_weight(tmp_path: Path) -> None:
    module = Net(lambda m, x: x.masked_fill(x > 9, float("-inf")).softmax(1) * m.c, c=number(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        compared(module, (torch.randn(2, 4),), tmp_path)


# functions and layers


@torch.fx.wrap
def normalize(x: Tensor) -> Tensor:
    """Not the one of torch."""
    return x * 2 + 1


def test_a_function_of_the_user_s_is_named_like_torch_s(tmp_path: Path) -> None:
    compared(Net(lambda m, x: normalize(x)), (torch.randn(2, 4, 6),), tmp_path)


@library.custom_op("netloft_tests::gelu", mutates_args=())
def gelu(x: Tensor) -> Tensor:
    """Not the one of torch."""
    return x * 3


@gelu.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def test_an_operator_of_the_user_s_is_named_like_torch_s(tmp_path: Path) -> None:
    module = Net(lambda m, x: torch.ops.netloft_tests.gelu(x))
    with pytest.raises(ExportError, match=r"netloft_tests\.gelu has no ONNX counterpart"):
        compared(module, (torch.randn(2, 4),), tmp_path)


def test_a_layer_with_a_forward_of_its_own(tmp_path: Path) -> None:
    part = nn.Linear(3, 3)
    part.forward = lambda input: input * 2  # type: ignore[method-assign]
    compared(Net(lambda m, x: m.part(x), part=part), (torch.randn(2, 3),), tmp_path)


def test_a_write_that_reaches_another_value_at_some_batches_only(tmp_path: Path) -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        y = (x * 1.5).transpose(0, 1)
        z = y.reshape(4, -1)
        y.add_(1)
        return z

    with pytest.raises(ExportError, match="writes in place do not become values"):
        compared(Net(function), (torch.randn(2, 4, 6),), tmp_path)
    assert not list(tmp_path.iterdir())
    compared(Net(function), (torch.randn(2, 4, 6),), tmp_path, batch=2)


@pytest.mark.parametrize("function", [lambda m, x: x / 1e5, lambda m, x: x * 1e-8 * 1e8])
def test_numbers_that_half_precision_does_not_hold(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="is none in float16"):
        compared(Net(function), (torch.randn(2, 4).half(),), tmp_path)


# lengths


def cut_and_mean(m: Any, x: Tensor) -> Tensor:
    x = x[:, :32]
    return x.sum(1) / x.shape[1]


def first_part(m: Any, x: Tensor) -> Any:
    return torch.split(x, 32, 1)[0]


def filled_up(m: Any, x: Tensor) -> Tensor:
    y = x[:, :8]
    return F.pad(y, (0, 0, 0, 8 - y.shape[1])) if y.shape[1] < 8 else y


@pytest.mark.parametrize("function", [cut_and_mean, first_part, filled_up])
def test_lengths_that_hold_for_the_example_s_side_of_a_bound(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(TraceError, match=r"'t' cannot be left open: at .* does not hold"):
        to_onnx(
            Net(function).eval(), (torch.randn(2, 16, 4),), tmp_path / "net.onnx",
            dynamic={"x": {1: "t"}},
        )  # fmt: skip


def test_a_bound_on_the_batch_far_above_the_example(tmp_path: Path) -> None:
    module = Net(lambda m, x: x[:2000].sum(0) / x[:2000].shape[0]).eval()
    file = to_onnx(module, (torch.randn(2, 4),), tmp_path / "net.onnx")
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    for batch in (1, 1999, 2000, 2001, 2500):
        x = torch.randn(batch, 4)
        (made,) = session.run(None, {"input": x.numpy()})
        np.testing.assert_allclose(made, module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("less", [4, 9, 20, 100])
def test_floor_division_of_what_may_be_negative(less: int, tmp_path: Path) -> None:
    module = Net(lambda m, x: x * ((x.shape[1] - less) // 3)).eval()
    compared(module, (torch.randn(2, 16, 8),), tmp_path, dynamic={"x": {1: "h"}})


@pytest.mark.parametrize("dynamic", [None, {"x": [1]}, {"x": {1: 3}}, {"x": {"1": "h"}}, "x"])
def test_open_axes_of_another_form(dynamic: Any, tmp_path: Path) -> None:
    module = Net(lambda m, x: x * 2).eval()
    with pytest.raises(InputError, match="does not say which axes are open"):
        to_onnx(module, (torch.randn(2, 4),), tmp_path / "net.onnx", dynamic=dynamic)


def test_what_is_no_module(tmp_path: Path) -> None:
    function: Any = torch.relu
    with pytest.raises(TraceError, match=r"is not a torch\.nn\.Module"):
        to_onnx(function, (torch.randn(2, 4),), tmp_path / "net.onnx")
