"""Operations of torchvision."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    ShiftedWindowAttention,
    ShiftedWindowAttentionV2,
)
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d
from torchvision.ops import DeformConv2d, DropBlock2d, DropBlock3d, StochasticDepth, roi_align

__all__ = ["ROWS"]

IMAGE, VOLUME = (1, 4, 9, 8), (1, 4, 5, 6, 7)
PATCHES, CUBES = (1, 7, 10, 8), (1, 3, 7, 10, 8)


class Deformed(nn.Module):
    """A deformable convolution with offsets that follow the input."""

    def __init__(self, groups: int, masked: bool, **options: Any) -> None:
        super().__init__()
        self.conv = DeformConv2d(4, 6, (3, 2), groups=groups, **options)
        self.offsets = nn.Conv2d(4, 12 * groups, (3, 2), **options)
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        offsets = self.offsets(x) * 0.1
        mask = offsets[:, : offsets.shape[1] // 2].sigmoid() if self.masked else None
        return self.conv(x, offsets, mask)


def aligned(x: Tensor, **options: Any) -> Tensor:
    """Pool a box of each picture, a little out of it."""
    corners = torch.tensor([[-1.3, 0.6, 5.2, 8.9]]) + x[:, :1, 0, 0].abs()
    pictures = torch.arange(x.shape[0]).unsqueeze(1).to(x.dtype)
    return roi_align(x, torch.cat([pictures, corners], 1), (3, 2), **options)


ROWS = [
    Row("stochastic depth", StochasticDepth(0.3, "row"), IMAGE),
    Row("drop_block2d", DropBlock2d(0.3, 3), IMAGE),
    Row("drop_block3d", DropBlock3d(0.3, 3), VOLUME),
    Row("deform_conv2d", Deformed(1, False), IMAGE),
    Row("deform_conv2d with a mask", Deformed(2, True, stride=(2, 1), padding=(1, 2)), IMAGE),
    Row("deform_conv2d dilated", Deformed(2, False, dilation=(2, 3), padding=2), IMAGE),
    *(
        Row(
            f"roi_align {ratio} samples, scaled by {scale}{', aligned' * even}",
            partial(aligned, spatial_scale=scale, sampling_ratio=ratio, aligned=even),
            (1, 3, 9, 11),
        )
        for ratio, scale, even in (
            (-1, 1.0, False),
            (2, 0.5, True),
            (3, 1.0, True),
            (-1, 2.0, True),
        )
    ),
    Row("shifted window attention", ShiftedWindowAttention(8, [3, 3], [1, 1], 2), PATCHES),
    Row("window attention", ShiftedWindowAttention(8, [4, 5], [0, 0], 2), PATCHES),
    Row("one window in one direction", ShiftedWindowAttention(8, [8, 3], [2, 1], 2), PATCHES),
    Row(
        "shifted window attention, second version",
        ShiftedWindowAttentionV2(8, [3, 3], [1, 1], 2),
        PATCHES,
    ),
    Row(
        "shifted window attention in space and time",
        ShiftedWindowAttention3d(8, [2, 3, 3], [1, 1, 1], 2),
        CUBES,
    ),
    Row("patch merging", PatchMerging(8), PATCHES),
    Row("patch merging, second version", PatchMergingV2(8), PATCHES),
]
