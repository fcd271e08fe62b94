"""Normalisation: over axes, groups, channels, with and without weights and statistics."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

VECTOR, SEQUENCE, VOLUME = (1, 6), (1, 6, 9), (1, 4, 3, 6, 5)
SCALE, SHIFT = torch.linspace(0.5, 2, 10), torch.linspace(-1, 1, 10)
MEAN, VARIANCE = torch.linspace(-1, 1, 4), torch.linspace(0.5, 2, 4)


class OfOneItem(nn.Module):
    """A layer called on each item by itself, without a batch."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.mean(0))
        return y + x


def far(x: Tensor) -> Tensor:
    """Numbers whose mean is large beside what they differ by."""
    return x + 100


ROWS = [
    Row("batch_norm of vectors", nn.BatchNorm1d(6), VECTOR),
    Row("batch_norm of sequences", nn.BatchNorm1d(6), SEQUENCE),
    Row("batch_norm of volumes", nn.BatchNorm3d(4, eps=0.1), VOLUME),
    Row("batch_norm of the batch", nn.BatchNorm2d(4, track_running_stats=False)),
    Row(
        "batch_norm of the batch, bare",
        nn.BatchNorm3d(4, affine=False, track_running_stats=False),
        VOLUME,
    ),
    Row(
        "F.batch_norm",
        lambda x: F.batch_norm(x, MEAN.to(x), VARIANCE.to(x), None, MEAN.to(x), eps=0.01),
    ),
    Row("F.batch_norm of the batch", lambda x: F.batch_norm(x, None, None, training=True)),
    Row("layer_norm over three axes", nn.LayerNorm([4, 12, 10], eps=0.1)),
    Row("layer_norm without bias", nn.LayerNorm(10, bias=False)),
    Row("F.layer_norm without weight", lambda x: F.layer_norm(x, [10], None, SHIFT.to(x))),
    Row("F.layer_norm without anything", lambda x: F.layer_norm(x, (12, 10))),
    Row("layer_norm far from 0", lambda x: F.layer_norm(far(x), (10,), SCALE.to(x))),
    Row("layer_norm in float64", lambda x: F.layer_norm(x.double(), (10,)) * 2),
    Row("group_norm", nn.GroupNorm(2, 4)),
    Row("group_norm of one group", nn.GroupNorm(1, 6, eps=0.1), SEQUENCE),
    Row("group_norm of each channel", nn.GroupNorm(4, 4)),
    Row("group_norm of vectors", nn.GroupNorm(3, 6), VECTOR),
    Row("group_norm of volumes without weights", nn.GroupNorm(2, 4, affine=False), VOLUME),
    Row("F.group_norm far from 0", lambda x: F.group_norm(far(x), 2, VARIANCE.to(x))),
    Row("instance_norm", nn.InstanceNorm2d(4)),
    Row("instance_norm with weights", nn.InstanceNorm1d(6, affine=True, eps=0.1), SEQUENCE),
    Row("instance_norm with statistics", nn.InstanceNorm3d(4, track_running_stats=True), VOLUME),
    Row("instance_norm of one item", OfOneItem(nn.InstanceNorm2d(4, affine=True))),
    Row("F.instance_norm", lambda x: F.instance_norm(far(x), weight=VARIANCE.to(x))),
    Row(
        "F.instance_norm with statistics",
        lambda x: F.instance_norm(x, MEAN.to(x), VARIANCE.to(x), use_input_stats=False),
    ),
    Row("rms_norm", nn.RMSNorm(10)),
    Row("rms_norm over two axes", nn.RMSNorm([12, 10], eps=0.1, elementwise_affine=False)),
    Row("F.rms_norm", lambda x: F.rms_norm(x, (10,), SCALE.to(x))),
    Row("local_response_norm", nn.LocalResponseNorm(3, alpha=0.3, beta=0.6, k=2.0)),
    Row("local_response_norm of sequences", nn.LocalResponseNorm(5), SEQUENCE),
    Row("local_response_norm of volumes", nn.LocalResponseNorm(3), VOLUME),
    Row("local_response_norm of an even number", nn.LocalResponseNorm(2, 0.5)),
    Row("normalize", lambda x: F.normalize(x) + F.normalize(x, p=1, dim=-1, eps=0.5)),
    Row(
        "normalize by other norms",
        lambda x: F.normalize(x, float("inf"), 2) + F.normalize(x, 3.0, 3),
    ),
    Row("cosine_similarity", lambda x: F.cosine_similarity(x, x.flip(1), dim=2)),
    Row("cosine_similarity with a vector", lambda x: F.cosine_similarity(x, SHIFT.to(x), dim=-1)),
]
