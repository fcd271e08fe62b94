"""Elements that only change their places."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from tests.exporters.ops.row import IMAGE, Row
from torch import nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

LAST: dict[str, Any] = {"axis": -1}  # NumPy's name, which torch takes and does not tell

REGROUPED = [
    Row("reshape_as, ravel", lambda x: x.reshape_as(x.flatten(1)) * 2 + x.ravel()[0]),
    Row("view_as", lambda x: x.flatten(2).view_as(x) * 2),
    Row("unflatten", lambda x: x.unflatten(1, (2, -1))),  # type: ignore[no-untyped-call]
    Row("squeeze several", lambda x: x[:, :1, :, :1].squeeze((1, 3))),
    Row("squeeze whatever is one", lambda x: x[:, :1].squeeze(), IMAGE, "torch.onnx"),
    Row("atleast", lambda x: torch.atleast_3d(x[:, 0, 0, 0])),  # type: ignore[no-untyped-call]
    Row("atleast of several", lambda x: torch.atleast_2d(x[:, 0, 0, 0], x * 2)),  # type: ignore[no-untyped-call]
]

ORDERED = [
    Row("permute by name", lambda x: x.permute(dims=(0, 3, -2, 1))),
    Row("transpose by name", lambda x: torch.transpose(x, dim0=1, dim1=-1)),
    Row("swapaxes, swapdims", lambda x: torch.swapaxes(x, 1, 2).swapdims(-1, -2)),
    Row("turned matrices", lambda x: (x.mT, x.adjoint(), x[:, 0, 0].T, x[:, 1, 1].t(), x[0, 0].H)),
    Row("movedim", lambda x: torch.movedim(x, (1, 2), (3, 1)) + x.moveaxis(1, -1)[:, :, :1]),
    Row("channels of two groups in turn", nn.ChannelShuffle(2)),
]

REPEATED = [
    Row("expand along the batch", lambda x: x[:1].expand(x.shape[0], -1, -1, -1) + x),
    Row(
        "expand_as, broadcast_to",
        lambda x: x[:, :1].expand_as(x) * x[0, 0, :1].broadcast_to(12, 10),
    ),
    Row("broadcast_tensors", lambda x: torch.broadcast_tensors(x * 2, x[:, :1])),  # type: ignore[no-untyped-call]
    Row("meshgrid", lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="ij")),
    Row("meshgrid xy", lambda x: torch.meshgrid(x[0, 0, 0], x[:, 0, 0, 0], indexing="xy")),
    Row("cartesian_prod", lambda x: torch.cartesian_prod(x[0, 0, 0], x[0, 0, :, 0])),
    Row("combinations", lambda x: torch.combinations(x[0, 0, 0], 3)),
    Row("repeat", lambda x: x.repeat(1, 2, 1, 3)),
    Row("repeat with a new axis", lambda x: x.repeat(2, 1, 2, 1, 1)),
    Row("repeat along the batch", lambda x: x[:1].repeat(x.shape[0], 1, 1, 1)),
    Row("tile", lambda x: torch.tile(x, (2, 3))),
    Row("repeat_interleave", lambda x: x.repeat_interleave(2, 1)),
    Row("repeat_interleave of the last axis", lambda x: x.repeat_interleave(3, -1)),
    Row("repeat_interleave of all", lambda x: torch.repeat_interleave(x, 2)),
    Row("repeat_interleave of the batch", lambda x: torch.repeat_interleave(x, 2, dim=0)),
]

MOVED = [
    Row("roll", lambda x: torch.roll(x, (1, -2), (1, 2))),
    Row("roll the last axis", lambda x: x.roll(3, -1)),
    Row("roll all", lambda x: x.roll(5)),
    Row("roll the batch", lambda x: torch.roll(x, -3, dims=0)),
    Row("flip", lambda x: torch.flip(x.flip(1, -1), dims=[0])),
    Row("fliplr, flipud", lambda x: x.fliplr() - torch.flipud(x)),
    *(Row(f"rot90 {k}", partial(torch.rot90, k=k, dims=(2, 3))) for k in (1, 2, 3, -4)),
    Row("windows", lambda x: x.unfold(2, 3, 2)),
    Row("windows side by side", lambda x: x.unfold(1, 2, 2).unfold(-2, 5, 5)),
    Row("unfold", nn.Unfold((3, 2), dilation=2, padding=1, stride=(2, 1))),
    Row("fold", nn.Fold((6, 5), (3, 2), padding=1, stride=2), (1, 24, 9)),
    Row("F.unfold, F.fold", lambda x: F.fold(F.unfold(x, 2, stride=2), (12, 10), 2, stride=2)),
]

JOINED = [
    Row("cat with what is empty", lambda x: torch.cat([x.new_zeros(0), x, x], 1)),
    Row("cat of unlike types", lambda x: torch.concat([x, x > 0], **LAST)),
    Row("hstack", lambda x: torch.hstack([x[0, 0, 0], x[0, 0, :, 0]])),
    Row("vstack", lambda x: torch.vstack([x[0, 0, 0], x[0, 0]])),
    Row("dstack", lambda x: torch.dstack([x[0, 0], x[0, 1]])),
    Row("column_stack", lambda x: torch.column_stack([x[0, 0, :, 0], x[0, 0]])),
    Row("stack along the batch", lambda x: torch.stack([x, x + 1])),
    Row("stack at the end", lambda x: torch.stack([x, x > 0], -1)),
    Row("stack numbers", lambda x: torch.stack([x.sum(), x.mean()])),
    Row("block_diag", lambda x: torch.block_diag(x[0, 0], x[0, 0, 0], x[0, 1])),  # type: ignore[no-untyped-call]
    Row("split by a length", lambda x: x.split(3, -1)),  # type: ignore[no-untyped-call]
    Row("split the batch", lambda x: x.split([1, x.shape[0] - 1])),  # type: ignore[no-untyped-call]
    Row("tensor_split", lambda x: (x.tensor_split(3, -1)[1], torch.tensor_split(x, (2, 5), 2)[2])),
    Row("hsplit, dsplit", lambda x: (torch.hsplit(x, 2)[0] * 2, torch.dsplit(x, [3])[1])),
    Row("chunk along the batch", lambda x: torch.cat([x, x * 2]).chunk(2)),
    Row("unbind all", lambda x: x.unbind(1)),
]

DIAGONALS = [
    Row("diagonal", lambda x: x.diagonal(1, 1, 2) + x.diagonal(-2, -1, -2).mean()),
    Row("diag of a vector and a matrix", lambda x: (x[0, 0, 0].diag(2), torch.diag(x[0, 0], -1))),
    Row("diag_embed", lambda x: torch.diag_embed(x, 1, 1, 3)),
    Row("diagflat, trace", lambda x: torch.diagflat(x[0, :2, :2, 0], 1) * x[0, 0].trace()),
    Row("triangles", lambda x: x.tril() + torch.triu(x, 2) * (x > 0).tril(-1)),
]

ROWS = [*REGROUPED, *ORDERED, *REPEATED, *MOVED, *JOINED, *DIAGONALS]
