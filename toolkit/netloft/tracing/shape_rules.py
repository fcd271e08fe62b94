"""What the plainest modules give, without asking PyTorch's kernels, which take 50 to 500 µs each.

Each rule is checked against the modules themselves (`tests/toolkit/tracing`). A rule answers only
for a floating-point input that the module would take; for any other it raises, and the
whole graph is run in the slower way, which tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["SHAPE_RULES"]

Rule = Callable[[Any, Tensor], Tensor]


class _NoAnswer(Exception):  # noqa: N818 - the slower run answers
    """The rule does not cover this call."""


def _require(condition: bool) -> None:
    if not condition:
        raise _NoAnswer


def _empty(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return input.new_empty(shape)


def _same(module: nn.Module, input: Tensor) -> Tensor:
    _require(input.dtype.is_floating_point)
    return input if getattr(module, "inplace", False) else torch.empty_like(input)


def _normalised(module: Any, input: Tensor) -> Tensor:
    """BatchNorm of any number of axes: the channels have to be its own."""
    weight: Tensor | None = module.weight
    _require(input.dim() == _batch_norm_axes(module, input))
    _require(input.shape[1] == module.num_features)
    _require(weight is None or weight.dtype is input.dtype)
    return torch.empty_like(input)


def _batch_norm_axes(module: nn.Module, input: Tensor) -> int:
    if isinstance(module, nn.BatchNorm1d):
        return input.dim() if input.dim() in (2, 3) else -1
    return 4 if isinstance(module, nn.BatchNorm2d) else 5


def _layer_norm(module: nn.LayerNorm, input: Tensor) -> Tensor:
    shape = tuple(module.normalized_shape)
    _require(tuple(input.shape[input.dim() - len(shape) :]) == shape)
    _require(module.weight is None or module.weight.dtype is input.dtype)
    return torch.empty_like(input)


def _linear(module: nn.Linear, input: Tensor) -> Tensor:
    _require(input.shape[-1] == module.in_features and input.dtype is module.weight.dtype)
    return _empty(input, (*input.shape[:-1], module.out_features))


def _conv(module: Any, input: Tensor) -> Tensor:
    n = len(module.kernel_size)
    _require(input.dim() == n + 2 and input.shape[1] == module.in_channels)
    _require(input.dtype is module.weight.dtype)
    if module.padding == "same":
        return _empty(input, (input.shape[0], module.out_channels, *input.shape[2:]))
    padding = (0,) * n if module.padding == "valid" else module.padding
    options = zip(
        input.shape[2:], module.kernel_size, module.stride, padding, module.dilation, strict=True
    )
    spatial = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in options]
    _require(min(spatial) > 0)
    return _empty(input, (input.shape[0], module.out_channels, *spatial))


def _global_pool(module: nn.AdaptiveAvgPool2d, input: Tensor) -> Tensor:
    wanted = module.output_size
    sizes = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    lengths = [size for size in sizes if isinstance(size, int)]
    _require(input.dim() == 4 and len(lengths) == 2)
    return _empty(input, (*input.shape[:2], *lengths))


_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh,
    nn.LeakyReLU, nn.ELU, nn.Mish, nn.Softmax,
)  # fmt: skip

SHAPE_RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys(_ACTIVATIONS, _same),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _normalised),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _conv),
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    nn.AdaptiveAvgPool2d: _global_pool,
}
"""By exact class: a subclass may do anything in its forward."""
