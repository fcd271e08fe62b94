"""Convolutions, and weights that are computed."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import IMAGE, Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it
from torch.nn.utils import parametrizations, parametrize

__all__ = ["ROWS"]

SIGNAL, VOLUME = (1, 4, 20), (1, 4, 5, 6, 7)


class Tripled(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return 3 * weight


class OutputSize(nn.Module):
    """A transposed convolution that is called with the size it shall give."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 3, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x, output_size=[24, 19])


class WithoutBatch(nn.Module):
    """A padded convolution of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.sum(0))


class SharedParametrised(nn.Module):
    """One parametrised layer called twice, and its weight read beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x)) * self.conv.weight.mean()


def parametrised() -> nn.Module:
    conv = nn.Conv2d(4, 5, 3)
    parametrize.register_parametrization(conv, "weight", Tripled())
    return conv


def by_computed_weight(x: Tensor) -> Tensor:
    return F.conv2d(x, x.abs().amax((0, 2, 3)).clamp(max=0).reshape(1, 4, 1, 1) + 0.5)


ROWS = [
    Row("conv1d same, even kernel", nn.Conv1d(4, 3, 4, padding="same"), SIGNAL),
    Row("conv2d same, dilated", nn.Conv2d(4, 3, (2, 4), padding="same", dilation=(3, 1))),
    Row("conv3d same, grouped", nn.Conv3d(4, 4, 2, padding="same", groups=4), VOLUME),
    *(
        Row(f"conv{n}d {mode}", conv(4, 3, 3, padding=2, padding_mode=mode), shape)
        for mode in ("reflect", "replicate", "circular")
        for n, conv, shape in (
            (1, nn.Conv1d, SIGNAL),
            (2, nn.Conv2d, IMAGE),
            (3, nn.Conv3d, VOLUME),
        )
    ),
    Row(
        "conv2d same reflect, even kernel",
        nn.Conv2d(4, 3, (4, 2), padding="same", padding_mode="reflect", dilation=(1, 3)),
    ),
    Row(
        "conv2d strided circular",
        nn.Conv2d(4, 4, 3, (2, 3), (1, 2), groups=2, padding_mode="circular", bias=False),
    ),
    Row("F.conv1d", lambda x: F.conv1d(x, torch.ones(2, 4, 3), None, (2,), (1,)), SIGNAL),
    Row("conv_transpose1d", nn.ConvTranspose1d(4, 3, 4, 3, 1, output_padding=2), SIGNAL),
    Row(
        "conv_transpose2d grouped, dilated",
        nn.ConvTranspose2d(
            4, 6, (3, 2), (1, 2), (2, 1), (2, 0), groups=2, dilation=(3, 2), bias=False
        ),
    ),
    Row("conv_transpose3d", nn.ConvTranspose3d(4, 3, 3, 2, 1, (1, 0, 1)), VOLUME),
    Row("conv_transpose2d with an output size", OutputSize()),
    Row(
        "F.conv_transpose2d",
        lambda x: F.conv_transpose2d(
            x, torch.ones(4, 2, 3, 3), torch.ones(2), stride=2, output_padding=1
        ),
    ),
    Row("conv2d without a batch", lambda x: F.conv2d(x.sum(0), torch.ones(2, 4, 3, 3))),
    Row("conv2d reflect without a batch", WithoutBatch()),
    Row(
        "conv_transpose1d without a batch",
        lambda x: F.conv_transpose1d(x.sum((0, 1)), torch.ones(12, 2, 3)),
    ),
    Row("conv2d with a parametrised weight", parametrised()),
    Row("conv2d with weight norm", parametrizations.weight_norm(nn.Conv2d(4, 5, 3))),
    Row(
        "conv2d with weight norm over all",
        parametrizations.weight_norm(nn.Conv2d(4, 5, 3), dim=None),  # type: ignore[arg-type]
    ),
    Row("linear with spectral norm", parametrizations.spectral_norm(nn.Linear(10, 3))),
    Row("conv2d with spectral norm", parametrizations.spectral_norm(nn.Conv2d(4, 5, 3))),
    Row("a parametrised conv2d called twice, its weight read", SharedParametrised()),
    Row("conv2d with a computed weight", by_computed_weight),
]
