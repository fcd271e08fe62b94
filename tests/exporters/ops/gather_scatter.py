"""Elements that a tensor of indices names, read and written."""

from __future__ import annotations

from functools import partial

import torch
from tests.exporters.ops.row import Row
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

SOME, TWICE = torch.tensor([2, 0, 3]), torch.tensor([1, 0, 1])


def places(x: Tensor) -> Tensor:
    """Return an index from 0 to 3 for each element."""
    return (x * 3).abs().long() % 4


def reduced(x: Tensor, reduce: str, own: bool) -> Tensor:
    return x.scatter_reduce(1, places(x), x * 2, reduce, include_self=own)


ROWS = [
    Row(
        "index_select",
        lambda x: torch.index_select(x, 1, SOME) * x.index_select(-1, SOME)[:, :1, :, :1],
    ),
    Row("gather", lambda x: torch.gather(x, 1, places(x))),
    Row("gather a part", lambda x: torch.gather(x, -1, places(x)[:, :2, :5])),
    Row("take", lambda x: torch.take(x, places(x)) * x.take(SOME[:1])),
    Row("take_along_dim", lambda x: x.take_along_dim(x.argsort(2), 2)),
    Row("take_along_dim, broadcast", lambda x: torch.take_along_dim(x, places(x)[:, :1], 1)),
    Row("take_along_dim of all", lambda x: torch.take_along_dim(x, places(x))),
    Row("scatter", lambda x: torch.zeros_like(x).scatter(1, x.argsort(1), x)),
    Row("scatter a number", lambda x: torch.scatter(x, 1, places(x), value=2)),
    Row("scatter less", lambda x: x.scatter(1, x.argsort(1)[:, :2, :5], x)),
    Row(
        "scatter that multiplies", lambda x: torch.scatter(x, 1, places(x), 0.5, reduce="multiply")
    ),
    Row("scatter_add", lambda x: x.scatter_add(1, places(x), x)),
    *(
        Row(f"scatter_reduce {reduce}, self {own}", partial(reduced, reduce=reduce, own=own))
        for reduce in ("sum", "prod", "amax", "amin", "mean")
        for own in (True, False)
    ),
    Row("index_add", lambda x: torch.index_add(x, 1, TWICE, x[:, :3], alpha=2)),
    Row("index_add along the batch", lambda x: x.index_add(0, TWICE[:1] * 0, x[:1])),
    Row("index_reduce", lambda x: x.index_reduce(1, TWICE, x[:, :3], "amax")),
    Row("put", lambda x: x.put(SOME, x[0, 0, 0, :3])),
    Row("masked_scatter", lambda x: x.masked_scatter(x[:, :1] > 0, x * 2)),
    Row("one_hot", lambda x: F.one_hot(places(x), 4)),
    Row("one_hot of the largest", lambda x: F.one_hot(x.argmax(-1), 10).float()),
    Row("bucketize", lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5]))),
    Row("searchsorted", lambda x: torch.searchsorted(x.sort(-1)[0], x[..., :3], right=True)),
    Row("isin", lambda x: torch.isin(places(x), SOME)),
]
