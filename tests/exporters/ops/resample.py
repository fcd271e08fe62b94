"""Interpolation, shuffles and sampling."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

SIGNAL, VOLUME = (1, 4, 20), (1, 4, 5, 6, 7)
ODD = (1, 3, 7, 10)
BY_RANK = ((1, "linear", SIGNAL), (2, "bilinear", ODD), (2, "bicubic", ODD),
           (3, "trilinear", VOLUME))  # fmt: skip


def grid(x: Tensor) -> Tensor:
    """Return points in and out of the image that follow the input."""
    return (x[:, :2].permute(0, 2, 3, 1) * 0.7 - 0.1)[:, :, 1:]


def sample(x: Tensor, **options: Any) -> Tensor:
    return F.grid_sample(x, grid(x), **options)


def sample_volume(x: Tensor, **options: Any) -> Tensor:
    return F.grid_sample(x, x[:, :3].permute(0, 2, 3, 4, 1)[:, 1:] * 0.8, **options)


def theta(x: Tensor) -> Tensor:
    return x[:, 0, :2, :3] + torch.eye(2, 3)


def size_of(x: Tensor) -> Any:
    return x.size()


ROWS = [
    *(
        Row(f"{mode} to {size}", partial(F.interpolate, size=size, mode=mode), ODD)
        for mode in ("nearest", "nearest-exact")
        for size in ((14, 30), (7, 10), (3, 4), (10, 17), (13, 5), 1)
    ),
    *(
        Row(
            f"{mode} by {factor}{' recomputed' * recompute}",
            partial(
                F.interpolate, scale_factor=factor, mode=mode, recompute_scale_factor=recompute
            ),
            ODD,
        )
        for mode in ("nearest", "nearest-exact")
        for factor in (2, 1.3, (0.5, 3.0), (2.1, 0.37))
        for recompute in (False, True)
    ),
    Row("nearest of a signal", nn.Upsample(scale_factor=3), SIGNAL),
    Row("nearest of a volume", nn.Upsample(scale_factor=(2, 1, 1.5)), VOLUME),
    Row(
        "nearest of a height that the batch follows",
        lambda x: F.interpolate(x.transpose(0, 2), scale_factor=(2.0, 1.0)),
        ODD,
    ),
    Row(
        "bilinear of a height that the batch follows",
        lambda x: F.interpolate(x.transpose(0, 2), scale_factor=(1.5, 1.0), mode="bilinear"),
        ODD,
    ),
    Row("nearest of integers", lambda x: F.interpolate((x * 9).to(torch.uint8), size=(3, 17)), ODD),
    *(
        Row(
            f"{mode} to {size}{' corners' * bool(corners)}",
            partial(F.interpolate, size=size, mode=mode, align_corners=corners),
            shape,
        )
        for n, mode, shape in BY_RANK
        for corners in (None, True)
        for size in ((13,) * n, (3, 15, 4)[:n], 1)
    ),
    *(
        Row(
            f"{mode} by {factor}{' corners' * corners}{' recomputed' * bool(recompute)}",
            partial(
                F.interpolate,
                scale_factor=factor,
                mode=mode,
                align_corners=corners,
                recompute_scale_factor=recompute,
            ),
            shape,
        )
        for _, mode, shape in BY_RANK
        for corners, recompute in ((False, None), (True, None), (False, True))
        for factor in (2, 1.3, 0.6, 2.7)
    ),
    *(
        Row(
            f"{mode} antialiased to {size}{' corners' * corners}",
            partial(F.interpolate, size=size, mode=mode, antialias=True, align_corners=corners),
            ODD,
        )
        for mode in ("bilinear", "bicubic")
        for size in ((3, 4), (13, 15), (4, 10))
        for corners in (False, True)
    ),
    Row(
        "bilinear antialiased by a factor",
        partial(F.interpolate, scale_factor=0.45, mode="bilinear", antialias=True),
        ODD,
    ),
    *(
        Row(f"area to {size}", partial(F.interpolate, size=size, mode="area"), shape)
        for size, shape in (((3, 4), ODD), ((14, 5), ODD), (7, SIGNAL), ((2, 3, 4), VOLUME))
    ),
    Row("area by a factor", partial(F.interpolate, scale_factor=0.5, mode="area"), ODD),
    Row("UpsamplingNearest2d", nn.UpsamplingNearest2d(scale_factor=2), ODD),
    Row("UpsamplingBilinear2d", nn.UpsamplingBilinear2d(size=(9, 14)), ODD),
    Row("Upsample", nn.Upsample(scale_factor=1.5, mode="bicubic", align_corners=False), ODD),
    Row(
        "interpolate by a size of another",
        lambda x: F.interpolate(F.max_pool2d(x, 2), size=x.shape[-2:], mode="bilinear"),
        ODD,
    ),
    Row("pixel_shuffle", nn.PixelShuffle(2), (1, 12, 5, 6)),
    Row("pixel_shuffle of five axes", lambda x: F.pixel_shuffle(x, 2), (1, 3, 8, 5, 6)),
    Row("pixel_unshuffle", nn.PixelUnshuffle(3), (1, 4, 6, 9)),
    Row("channel_shuffle", nn.ChannelShuffle(2), (1, 6, 5, 4)),
    Row("channel_shuffle of a volume", lambda x: F.channel_shuffle(x, 2), VOLUME),
    *(
        Row(
            f"grid_sample {mode}, {padding}{' corners' * corners}",
            partial(sample, mode=mode, padding_mode=padding, align_corners=corners),
            (1, 3, 6, 5),
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    ),
    *(
        Row(
            f"grid_sample of a volume, {mode}, {padding}",
            partial(sample_volume, mode=mode, padding_mode=padding, align_corners=False),
            VOLUME,
        )
        for mode in ("bilinear", "nearest")
        for padding in ("zeros", "border", "reflection")
    ),
    Row("affine_grid", lambda x: F.affine_grid(theta(x), [x.shape[0], 3, 5, 6], False), ODD),
    Row("affine_grid corners", lambda x: F.affine_grid(theta(x), size_of(x), True), ODD),
    Row(
        "spatial transformer",
        lambda x: F.grid_sample(x, F.affine_grid(theta(x), size_of(x), False), align_corners=False),
        ODD,
    ),
]
