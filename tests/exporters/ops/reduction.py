"""Many elements to one."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from tests.exporters.ops.row import Row
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

NUMPY: dict[str, Any] = {"axis": (1, -1), "keepdims": True}
HALVES = torch.tensor([0.25, 0.5])

SUMS = [
    Row("mean of the batch", lambda x: x.mean(0)),
    Row("mean in another type", lambda x: x.mean(1, dtype=torch.float64)),
    Row("sum of truths", lambda x: (x > 0).sum(-1)),
    Row("sum by NumPy's names", lambda x: x.sum(**NUMPY)),
    Row("sum of numbers as integers", lambda x: torch.sum(x, (0, 1), dtype=torch.int64)),
    Row("prod", lambda x: x.prod(2) + x[:1, :1, 0].prod()),
    Row("logsumexp", lambda x: torch.logsumexp(x, (1, 2), True)),
    Row("nansum, nanmean", lambda x: x.log().nansum(1) + x.log().nanmean(1)),
    Row("count_nonzero", lambda x: torch.count_nonzero(x > 0, 1)),
    Row("sum_to_size", lambda x: x.sum_to_size(1, 12, 1)),
    Row("cumsum", lambda x: x.cumsum(2)),
    Row("cumsum of truths", lambda x: (x > 0).cumsum(-1)),
    Row("cumprod", lambda x: x.cumprod(1)),
    Row("logcumsumexp", lambda x: x.logcumsumexp(2)),
    Row("cummax, cummin", lambda x: (*torch.cummax(x, 1), x.cummin(-1).values)),
    Row("diff", lambda x: (x.diff(n=2), torch.diff(x, dim=1, prepend=x[:, :1]), (x > 0).diff())),
    Row("trapezoid", lambda x: torch.trapezoid(x, dx=0.5, dim=1)),
    Row("trapezoid between points", lambda x: torch.cumulative_trapezoid(x, x[0, 0, 0])),
]

SPREADS = [
    Row("var", lambda x: x.var(1)),
    Row("std, several axes", lambda x: x.std((2, 3), keepdim=True)),
    Row("var of all", lambda x: x.var(False)),
    Row("var with a correction", lambda x: torch.var(x, dim=(1, 2), correction=2)),
    Row("var of a single element", lambda x: x[:, :1].var(1, unbiased=False)),
    Row("var over the batch", lambda x: torch.cat([x, x + 1]).var(0)),
    Row("var_mean", lambda x: torch.var_mean(x, (1, 2))),
    Row("std_mean", lambda x: torch.std_mean(x, dim=1, unbiased=False, keepdim=True)),
]

EXTREMES = [
    Row("amax of integers and truths", lambda x: (x * 3).long().amax(1) * (x > 0).amax(1)),
    Row("amin of what may be NaN", lambda x: (x + 2).log().amin(-1)),
    Row("amax of what may be NaN", lambda x: (x + 2).log().amax((1, 3))),
    Row("max of all", lambda x: x.max() - x.min()),
    Row("max and where", lambda x: x.max(1)),
    Row("min and where", lambda x: torch.min(x, 2, True)),
    Row("max by its name", lambda x: x.max(dim=-1).values * 2),
    Row("max of two", lambda x: torch.max(x, x * 2) - x.min(x * 3)),
    Row("max over the batch", lambda x: x.max(0)[0]),
    Row("aminmax", lambda x: torch.aminmax(x, dim=1)),
    Row("aminmax by its names", lambda x: x.aminmax().max - x.aminmax().min),
    Row("argmax", lambda x: x.argmax(1)),
    Row("argmax of all", lambda x: torch.argmax(x[:1])),
    Row("argmin, keepdim", lambda x: x.argmin(-1, keepdim=True)),
    Row("argmax of equal ones", lambda x: x.clamp(0, 0.5).argmax(-1)),
    Row("any, all", lambda x: (x > 1).any(1) | torch.all(x > -1, dim=1)),
    Row("any of all", lambda x: x[:, :1].any()),
    Row("all of several axes", lambda x: torch.all(x > -2, dim=(1, 2), keepdim=True)),
]

NORMS = [
    Row("norm of all", lambda x: x.norm()),
    *(
        Row(f"norm {p}", partial(torch.norm, p=p, dim=(1, 2), keepdim=True))
        for p in (1, 2, 3, 0.5, math.inf, -math.inf)
    ),
    Row("norm 0", lambda x: torch.linalg.vector_norm(x.relu(), 0, dim=1)),
    Row("linalg.norm", lambda x: torch.linalg.norm(x, dim=1)),
    Row("linalg.norm fro", lambda x: torch.linalg.norm(x, "fro", dim=(2, 3))),
    Row("matrix_norm", lambda x: torch.linalg.matrix_norm(x, math.inf)),
    Row("matrix_norm of columns", lambda x: torch.linalg.matrix_norm(x, -1, keepdim=True)),
    Row("dist", lambda x: torch.dist(x, x * 2, 1)),
    Row("pairwise_distance", lambda x: F.pairwise_distance(x, x.roll(1, 1), p=3, keepdim=True)),
    Row("cdist of a few", lambda x: torch.cdist(x, x[:, :, :7] * 2)),
    Row("cdist of many", lambda x: torch.cdist(x.flatten(1, 2), x[:, 0] + 1)),
    Row("cdist by sizes", lambda x: torch.cdist(x, x.flip(2), p=1.0)),
    Row("cross", lambda x: torch.cross(x[:, 1:], x[:, :3] * x.mean(), dim=1)),
]

ORDERS = [
    Row("topk", lambda x: x.topk(3)),
    Row("topk of the smallest", lambda x: torch.topk(x, 2, dim=1, largest=False)),
    Row("sort", lambda x: x.sort(1)),
    Row("sort downwards", lambda x: torch.sort(x, descending=True).indices),
    Row("argsort over the batch", lambda x: x.argsort(0)),
    Row("msort", lambda x: torch.msort(x)),
    Row("kthvalue", lambda x: x.kthvalue(3, 2)),
    Row("median of all", lambda x: x.median()),
    Row("median", lambda x: x.median(1, keepdim=True)),
    Row("quantile", lambda x: x.quantile(0.3, 1)),
    Row("quantiles", lambda x: torch.quantile(x, HALVES, dim=2, interpolation="midpoint")),
]

ROWS = [*SUMS, *SPREADS, *EXTREMES, *NORMS, *ORDERS]
