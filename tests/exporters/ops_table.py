"""One row an operation that netloft lowers itself: what to call, on what, and by which route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS", "Row"]


@dataclass(frozen=True)
class Row:
    """A use of an operation.

    Attributes:
        name: For the test's name.
        call: The network's forward; a module's weights are seeded.
        shape: Of the one input, for a batch of one.
        route: `netloft`, or `torch.onnx` where our own lowering says no.
    """

    name: str
    call: Callable[[Tensor], object] | nn.Module
    shape: tuple[int, ...] = (1, 4, 12, 10)
    route: str = "netloft"


IMAGE = (1, 4, 12, 10)
ROWS = [
    Row("conv2d", nn.Conv2d(4, 6, 3)),
    Row("conv2d strided, padded, dilated", nn.Conv2d(4, 6, (3, 5), 2, (1, 2), dilation=(2, 1))),
    Row("conv2d grouped, no bias", nn.Conv2d(4, 8, 3, groups=2, bias=False)),
    Row("conv2d same with an even kernel", nn.Conv2d(4, 4, 4, padding="same")),
    Row("conv2d valid", nn.Conv2d(4, 4, 3, padding="valid")),
    Row(
        "conv2d circular",
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        IMAGE,
        "torch.onnx",
    ),
    Row("conv1d", nn.Conv1d(4, 6, 3, padding=1), (1, 4, 20)),
    Row("conv3d", nn.Conv3d(2, 3, 3, padding=1), (1, 2, 5, 6, 7)),
    Row("conv_transpose2d", nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1)),
    Row("F.conv2d", lambda x: F.conv2d(x, torch.ones(2, 4, 3, 3), padding=1)),
    Row("batch_norm", nn.BatchNorm2d(4)),
    Row("batch_norm without weights", nn.BatchNorm2d(4, affine=False)),
    Row(
        "batch_norm of the batch", nn.BatchNorm2d(4, track_running_stats=False), IMAGE, "torch.onnx"
    ),
    Row("layer_norm", nn.LayerNorm([12, 10])),
    Row("layer_norm without weights", nn.LayerNorm(10, elementwise_affine=False)),
    Row("relu", F.relu),
    Row("relu6", F.relu6),
    Row("hardtanh", nn.Hardtanh(-0.5, 2.0)),
    Row("leaky_relu", nn.LeakyReLU(0.2)),
    Row("elu", nn.ELU(0.7)),
    Row("celu", nn.CELU(1.3)),
    Row("selu", nn.SELU()),
    Row("gelu", nn.GELU()),
    Row("gelu tanh", nn.GELU("tanh")),
    Row("silu", nn.SiLU()),
    Row("mish", nn.Mish()),
    Row("hardsigmoid", nn.Hardsigmoid()),
    Row("hardswish", nn.Hardswish()),
    Row("softplus", nn.Softplus()),
    Row("softplus with beta", nn.Softplus(beta=2.0), IMAGE, "torch.onnx"),
    Row("logsigmoid", nn.LogSigmoid()),
    Row("prelu per channel", nn.PReLU(4)),
    Row("softmax over channels", nn.Softmax(1)),
    Row("log_softmax of the last axis", lambda x: F.log_softmax(x, dim=-1)),
    Row("sigmoid, tanh, exp", lambda x: x.sigmoid() + torch.tanh(x) * x.clamp(max=2).exp()),
    Row("max_pool2d", nn.MaxPool2d(3, 2, 1)),
    Row("max_pool2d ceil", nn.MaxPool2d(3, 2, ceil_mode=True)),
    Row("F.max_pool2d", lambda x: F.max_pool2d(x, 2)),
    Row("avg_pool2d", nn.AvgPool2d(3, 2, 1)),
    Row("avg_pool2d without padding counted", nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    Row("avg_pool2d with a divisor", nn.AvgPool2d(3, 2, 1, divisor_override=5)),
    Row("avg_pool2d ceil", nn.AvgPool2d(3, 2, ceil_mode=True), IMAGE, "torch.onnx"),
    Row("adaptive_avg_pool2d to 1", nn.AdaptiveAvgPool2d(1)),
    Row("adaptive_avg_pool2d that divides", nn.AdaptiveAvgPool2d((6, 5))),
    Row("adaptive_avg_pool2d that does not", nn.AdaptiveAvgPool2d((5, 3)), IMAGE, "torch.onnx"),
    Row("adaptive_max_pool2d", nn.AdaptiveMaxPool2d((4, 2))),
    Row("linear on two axes", nn.Linear(10, 3), (1, 10)),
    Row("linear on three axes", nn.Linear(10, 3), (1, 7, 10)),
    Row("matmul", lambda x: x @ x.transpose(2, 3)),
    Row("flatten", nn.Flatten()),
    Row("flatten the middle", lambda x: x.flatten(1, 2)),
    Row("view with the batch", lambda x: x.view(x.size(0), -1)),
    Row("view that folds the batch", lambda x: x.reshape(x.shape[0] * 4, 120)),
    Row("unsqueeze, squeeze", lambda x: x.unsqueeze(2).squeeze(2) * 2),
    Row("permute", lambda x: x.permute(0, 2, 3, 1)),
    Row("transpose", lambda x: x.transpose(1, -1)),
    Row("cat", lambda x: torch.cat([x, x * 2], 1)),
    Row("cat along the batch", lambda x: torch.cat([x, x])),
    Row("stack", lambda x: torch.stack([x, x + 1], 2)),
    Row("chunk", lambda x: x.chunk(3, 1)[0] + 1),
    Row("split", lambda x: torch.split(x, [1, 3], 1)),
    Row("unbind", lambda x: x.unbind(1)[2] * 2),
    Row("expand", lambda x: x[:, :1].expand(-1, 5, -1, -1) * 2),
    Row("pad", lambda x: F.pad(x, (1, 2, 0, 3), value=1.5)),
    Row("pad reflect", lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect")),
    Row("crop by a negative pad", lambda x: F.pad(x, (-1, -2))),
    Row("slices", lambda x: x[:, 1:, ::2, -4:]),
    Row("an index", lambda x: (x[:, 2], x[..., -1:, 0])),
    Row("a new axis", lambda x: x[:, None] * 2),
    Row("a list of indices", lambda x: x[:, [2, 0]], IMAGE, "torch.onnx"),
    Row("a constant index", lambda x: x.select(1, 2)),
    Row("mean", lambda x: x.mean((2, 3))),
    Row("mean of all", lambda x: x.mean()),
    Row("sum, keepdim", lambda x: x.sum(1, keepdim=True)),
    Row("amax, amin", lambda x: x.amax((2, 3)) - x.amin((2, 3))),
    Row("arithmetic", lambda x: (x * 2 - 1) / 3 + (1 - x)),
    Row("alpha", lambda x: torch.add(x, x, alpha=0.3) - torch.sub(x, x * x, alpha=2)),
    Row("power", lambda x: x**2 + (x.abs() + 1) ** 1.5),
    Row("rsqrt", lambda x: torch.rsqrt(x * x + 1)),
    Row("clamp", lambda x: x.clamp(-0.5, 0.7)),
    Row("maximum", lambda x: torch.maximum(x, x * 2)),
    Row("comparisons", lambda x: ((x > 0.5) * (x <= 1)) + (x == 0)),
    Row("where", lambda x: torch.where(x > 0, x, x * 0.1)),
    Row("masked_fill", lambda x: x.masked_fill(x < 0, -1.0)),
    Row("integers promoted", lambda x: x + (x > 0) * 3),
    Row("a size as a number", lambda x: x * x.shape[-1]),
    Row("the batch as a number", lambda x: x / x.shape[0]),
    Row("dropout", nn.Dropout()),
    Row("cumsum", lambda x: x.cumsum(2), IMAGE, "torch.onnx"),
    Row("attention", nn.MultiheadAttention(10, 2, batch_first=True), (1, 7, 10), "torch.onnx"),
]
