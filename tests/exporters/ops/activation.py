"""Activations in all their options."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

FLAT = (1, 12)
VECTOR = (1, 6)
ODD = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0, 2.0, -3.0])

# NaN has to come out as NaN where it does in torch, and infinities as what they are there.
_ON_ODD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3])),
    "threshold": lambda x: F.threshold(x, 0.1, 0.7),
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "hardsigmoid": F.hardsigmoid,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "softplus": lambda x: F.softplus(x, 2.0, 3.0),
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
}


def _odd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x[:, :6] * 0 + ODD)


def _large(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x * 40)


ROWS = [
    Row("relu of integers", lambda x: F.relu((x * 10).long()) + F.relu((x * 10).short())),
    Row("relu6, hardtanh to 0", lambda x: F.relu6(x * 4) + F.hardtanh(x, 0.0, 0.5)),
    Row("hardtanh below 0", lambda x: F.hardtanh(x, -2.0, 0)),
    Row("rrelu", nn.RReLU(0.1, 0.4)),
    Row("F.rrelu", lambda x: F.rrelu(x, 0.2, 0.3)),
    Row("prelu of one", nn.PReLU()),
    Row("prelu per channel of a vector", nn.PReLU(6), VECTOR),
    Row("threshold", nn.Threshold(0.1, -3.0)),
    Row("threshold to itself", nn.Threshold(0.2, 0.2)),
    Row("threshold of integers", lambda x: F.threshold((x * 10).long(), 2, 7)),
    Row("hardshrink, softshrink", nn.Sequential(nn.Hardshrink(0.3), nn.Softshrink(0.2))),
    Row("tanhshrink", nn.Tanhshrink()),
    Row("softplus steep", nn.Softplus(beta=2.0)),
    Row("softplus with a low threshold", nn.Softplus(beta=0.5, threshold=1.0)),
    Row("F.logsigmoid", lambda x: F.logsigmoid(x * 30)),
    Row("logsigmoid", nn.LogSigmoid()),
    Row("softsign", nn.Softsign()),
    Row("glu", nn.GLU()),
    Row("glu over channels", lambda x: F.glu(x, 1)),
    Row("softmax without an axis", nn.Softmax(None)),
    Row("softmax without an axis on three", lambda x: F.softmax(x[:, 0] * 1, _stacklevel=1)),
    Row("softmax into another type", lambda x: x.softmax(-1, dtype=torch.float64)),
    Row("softmax of integers", lambda x: (x * 3).long().softmax(1, dtype=torch.float32)),
    Row("softmax of a number", lambda x: x.mean().softmax(0) + x),
    Row("softmin", nn.Softmin(2)),
    Row("F.softmin", lambda x: F.softmin(x, dim=1)),
    Row("Softmax2d", nn.Softmax2d()),
    Row("log_softmax method", lambda x: x.log_softmax(1)),
    Row("special.softmax", lambda x: torch.special.softmax(x, 1)),
    *(Row(f"{name} of odd numbers", partial(_odd, f), FLAT) for name, f in _ON_ODD.items()),
    *(Row(f"{name} of large numbers", partial(_large, f)) for name, f in _ON_ODD.items()),
]
