"""Parts of a tensor by their indices, read and written."""

from __future__ import annotations

from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch import Tensor

__all__ = ["ROWS"]

ALL = slice(None)
SOME, MATRIX, ODD = (
    torch.tensor([2, 0, -1]),
    torch.tensor([[0, 1], [3, 2]]),
    torch.tensor([1, 3, 5]),
)
MASK = torch.tensor([True, False, True, True])


def some(x: Tensor) -> Tensor:
    """Return indices that are computed."""
    return (x[0, 0, 0, :3] > 0).long()


def written(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy with a part written to."""
    y = x.clone()
    y[index] = value
    return y


READ = [
    Row("an index from the end", lambda x: x[:, -1]),
    Row("an index of the batch", lambda x: x[-1]),
    Row("the last of the batch by its size", lambda x: x[x.shape[0] - 1]),
    Row("two indices", lambda x: x[..., 1, -1]),
    Row("slices and an index", lambda x: x[:, 1:3, -1, ::3]),
    Row("slices out of range", lambda x: x[:, -100:100, 3:100, 100:]),
    Row("an empty slice", lambda x: x[:, 2:1]),
    Row("new axes, an index and slices", lambda x: x[None, :, None, 1, 2:5, ..., None]),
    Row("all but the first of the batch", lambda x: x[1:]),
    Row("every second of the batch", lambda x: x[::2]),
    Row("a slice up to the batch", lambda x: x[: x.shape[0]]),
    Row("a list and a slice", lambda x: x[:, 1:, [2, 0, -1]]),
    Row("a tensor of indices", lambda x: x[:, MATRIX]),
    Row("a tensor of one index", lambda x: x[:, torch.tensor(2), :, SOME]),
    Row("an index and a tensor", lambda x: x[:, 0, :, SOME]),
    Row("two tensors side by side", lambda x: x[:, MATRIX, SOME[:2]]),
    Row("two tensors apart", lambda x: x[:, SOME, 2:5, SOME]),
    Row("two tensors and a new axis", lambda x: x[:, SOME, None, SOME]),
    Row("computed indices", lambda x: x[:, some(x)]),
    Row("computed indices side by side", lambda x: x[:, some(x), SOME]),
    Row("computed indices apart", lambda x: x[:, some(x), :, SOME]),
    Row("one of each item", lambda x: x[torch.arange(x.shape[0]), x.flatten(1).argmax(-1) // 120]),
    Row("a known mask", lambda x: x[:, MASK]),
    Row("select", lambda x: x.select(-1, -2) + torch.select(x, 3, 1)),
    Row("narrow", lambda x: x.narrow(1, -2, 2)),
    Row("narrow the batch", lambda x: x.narrow(0, 0, x.shape[0])),
    Row("swin's patches", lambda x: torch.cat([x[:, 0::2, 1::2], x[:, 1::2, 0::2]], -1)),
]

WRITTEN = [
    Row("write an index", lambda x: written(x, (ALL, 2), 0.5)),
    Row("write an index, a tensor", lambda x: written(x, (ALL, 2), x[:, 0] * 2)),
    Row("write a number to a slice", lambda x: written(x, (ALL, slice(1, 3)), 1.0)),
    Row("write the begin of an axis", lambda x: written(x, (ALL, slice(2)), x[:, 2:])),
    Row("write the end of an axis", lambda x: written(x, (ALL, slice(-2, None)), x[:, :2])),
    Row("write the middle of an axis", lambda x: written(x, (ALL, slice(1, 3)), x[:, :2, :1])),
    Row("write a frame", lambda x: written(x, (..., slice(1, -1), slice(1, -1)), x[..., 2:, 2:])),
    Row("write every second", lambda x: written(x, (ALL, slice(None, None, 2)), x[:, :2])),
    Row("write all", lambda x: written(x, ALL, x[:1])),
    Row("write nothing", lambda x: written(x, (ALL, slice(2, 1)), 5.0)),
    Row("write with a new axis", lambda x: written(x, (ALL, None, 1), x[:, :1])),
    Row("write a value of more axes", lambda x: written(x, (ALL, 1), x[None, :, 0])),
    Row("write the first of the batch", lambda x: written(x, 0, 1.5)),
    Row("write the last of the batch", lambda x: written(x, -1, x[0])),
    Row("write the last by its size", lambda x: written(x, x.shape[0] - 1, 7)),
    Row("write all but the first", lambda x: written(x, slice(1, None), x[:-1])),
    Row("write a part of the first", lambda x: written(x, (0, slice(1, 3)), x[0, :2])),
    Row("write a list", lambda x: written(x, (ALL, [2, 0], slice(2, 4)), x[:, :2, :2])),
    Row("write a number to a list", lambda x: written(x, (ALL, SOME), 1)),
    Row("write to computed indices", lambda x: written(x, (ALL, some(x), slice(2, 4)), 5)),
    Row("write to pairs", lambda x: written(x, (ALL, SOME, SOME), x[:, 0, :3])),
    Row(
        "write to pairs apart",
        lambda x: written(x, (ALL, SOME, slice(2, 5), SOME), x[0, 0, 0, :3]),
    ),
    Row("write to pairs and an index", lambda x: written(x, (ALL, 0, SOME, ODD), x[:, 0, :3, 0])),
    Row("write to a matrix of indices", lambda x: written(x, (ALL, MATRIX), x[:, :2].unsqueeze(1))),
    Row("write by a mask", lambda x: written(x, x < 0, 0.0)),
    Row("write by a mask of the first axes", lambda x: written(x, x[..., 0] > 0, x[0, 0, 0])),
    Row("write by a known mask", lambda x: written(x, (ALL, MASK), 2.0)),
    Row("write truths", lambda x: written(x > 0, (ALL, slice(1, 3)), (x < 1)[:, :2])),
    Row("write integers", lambda x: written((x * 3).long(), (ALL, 1), 7)),
    Row("write the mean", lambda x: written(x, (ALL, 1), x.mean())),
    Row("index_put", lambda x: x.index_put((torch.tensor([0]), SOME[:1]), x[0, 0, 0])),
    Row(
        "index_put that adds",
        lambda x: x.index_put((torch.tensor([0, 0]), ODD[[0, 0]]), x[:1, 0], accumulate=True),
    ),
    Row("index_copy", lambda x: x.index_copy(1, torch.tensor([2, 0]), x[:, :2] * 2)),
    Row("index_fill", lambda x: x.index_fill(-1, torch.tensor([2, 0]), 3)),
    Row("select_scatter", lambda x: torch.select_scatter(x, x[:, 0], 1, 2)),
    Row("slice_scatter", lambda x: torch.slice_scatter(x, x[:, :2], 1, 0, 4, 2)),
    Row("diagonal_scatter", lambda x: torch.diagonal_scatter(x, x[:, :, :10, 0], 0, 2, 3)),
]

ROWS = [*READ, *WRITTEN]
