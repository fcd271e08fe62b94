"""Pooling."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

SIGNAL, VOLUME = (1, 4, 20), (1, 4, 5, 6, 7)
ODD = (1, 3, 11, 13)


class Unpooled(nn.Module):
    """Maxima put back where they were."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        values, places = self.pool(x)
        return self.unpool(values * 2, places, output_size=[12, 11])


def ties(x: Tensor) -> Tensor:
    """Return values of which many are equal."""
    return (x * 1.5).round()


def unpooled(x: Tensor) -> Tensor:
    values, places = F.max_pool1d(x, 3, 2, 1, return_indices=True)
    return F.max_unpool1d(values, places, (3,), (2,), (1,), output_size=(19,))


ROWS = [
    Row("max_pool1d", nn.MaxPool1d(3, 2, 1), SIGNAL),
    Row("max_pool3d", nn.MaxPool3d((2, 3, 1), 2, (1, 1, 0)), VOLUME),
    Row("max_pool2d dilated", nn.MaxPool2d(3, 2, 1, dilation=(2, 3)), ODD),
    *(
        Row(f"max_pool2d {k}, {s}, {p}, {d} ceil", nn.MaxPool2d(k, s, p, d, ceil_mode=True), ODD)
        for k, s, p, d in (
            (2, 2, 1, 1),
            (2, 3, 1, 1),
            (3, 5, 1, 1),
            (3, 4, 0, 1),
            ((4, 2), (3, 6), (2, 1), (1, 3)),
            (2, 7, 0, 3),
        )
    ),
    Row("max_pool1d ceil", nn.MaxPool1d(4, 3, 2, ceil_mode=True), SIGNAL),
    Row("max_pool3d ceil", nn.MaxPool3d(2, 3, 1, ceil_mode=True), VOLUME),
    Row(
        "max_pool1d over the batch, ceil",
        lambda x: F.max_pool1d(F.pad(x, (0, 0, 0, 0, 2, 0)).permute(1, 2, 0), 2, ceil_mode=True),
        SIGNAL,
    ),
    Row("max_pool2d with indices", nn.MaxPool2d(3, 2, 1, return_indices=True), ODD),
    Row(
        "max_pool2d with indices of ties",
        lambda x: F.max_pool2d(ties(x), 3, 2, ceil_mode=True, return_indices=True),
        ODD,
    ),
    Row("max_pool1d with indices", lambda x: F.max_pool1d(x, 3, return_indices=True), SIGNAL),
    Row("max_pool3d with indices", nn.MaxPool3d(2, 1, return_indices=True), VOLUME),
    Row("max_pool2d without a batch", lambda x: F.max_pool2d(x.sum(0), 3, 2, return_indices=True)),
    Row("max_pool2d of integers", lambda x: F.max_pool2d((x * 9).int(), 3, 2, 1)),
    Row("torch.max_pool2d", lambda x: torch.max_pool2d(x, 3, stride=[])),
    *(
        Row(
            f"avg_pool2d {k}, {s}, {p} {'ceil' * ceil}{' real' * (not include)}",
            nn.AvgPool2d(k, s, p, ceil, include),
            ODD,
        )
        for k, s, p in ((3, 2, 0), (3, 2, 1), (2, 3, 1), ((4, 3), (3, 5), (2, 1)), (5, 4, 2))
        for ceil in (False, True)
        for include in (True, False)
    ),
    Row("avg_pool1d ceil", nn.AvgPool1d(4, 3, 2, ceil_mode=True), SIGNAL),
    Row("avg_pool3d ceil", nn.AvgPool3d(2, 3, 1, ceil_mode=True), VOLUME),
    Row("avg_pool3d", nn.AvgPool3d((2, 3, 2), 1, 1), VOLUME),
    Row(
        "avg_pool2d ceil with a divisor",
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False, divisor_override=7),
        (1, 3, 10, 12),
    ),
    Row("avg_pool2d without a batch", lambda x: F.avg_pool2d(x.sum(0), 3, 2)),
    Row("lp_pool2d", nn.LPPool2d(2, 3, 2), ODD),
    Row("lp_pool1d ceil", nn.LPPool1d(2, 3, 2, ceil_mode=True), SIGNAL),
    Row("lp_pool3d of the first power", nn.LPPool3d(1, 2), VOLUME),
    Row("F.lp_pool2d of an odd power", lambda x: F.lp_pool2d(x.abs(), 3.0, (2, 3), ceil_mode=True)),
    *(
        Row(f"adaptive_avg_pool2d {size}", nn.AdaptiveAvgPool2d(size), ODD)
        for size in ((5, 3), 1, (1, 4), (None, 7), (6, 12), (20, 26), (11, 13), (2, 1))
    ),
    Row("adaptive_avg_pool1d", nn.AdaptiveAvgPool1d(7), SIGNAL),
    Row("adaptive_avg_pool3d", nn.AdaptiveAvgPool3d((3, 4, 5)), VOLUME),
    Row("adaptive_avg_pool3d, one axis alone", nn.AdaptiveAvgPool3d((3, None, None)), VOLUME),
    Row("adaptive_avg_pool2d without a batch", lambda x: F.adaptive_avg_pool2d(x.sum(0), (6, 5))),
    *(
        Row(f"adaptive_max_pool2d {size}", nn.AdaptiveMaxPool2d(size, return_indices=places), ODD)
        for size in ((5, 3), 1, (None, 7), (20, 26))
        for places in (False, True)
    ),
    Row(
        "adaptive_max_pool2d with indices of ties",
        lambda x: F.adaptive_max_pool2d(ties(x), (5, 4), return_indices=True),
        ODD,
    ),
    Row("adaptive_max_pool1d", nn.AdaptiveMaxPool1d(7), SIGNAL),
    Row("adaptive_max_pool3d", nn.AdaptiveMaxPool3d((3, 4, 5), return_indices=True), VOLUME),
    Row("max_unpool2d", Unpooled(), (1, 4, 12, 11)),
    Row("F.max_unpool1d", unpooled, (1, 2, 19)),
]
