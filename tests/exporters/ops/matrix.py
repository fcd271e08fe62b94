"""Matrix products of every rank, and sums of products."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import IMAGE, Row
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

VECTOR, MATRIX, STACK = (1, 10), (1, 7, 10), (1, 2, 7, 10)
LINE = torch.linspace(-1, 1, 10)
TABLE = torch.linspace(-1, 1, 60).reshape(10, 6)
TABLES = torch.linspace(-1, 1, 120).reshape(2, 10, 6)


def whole(x: Tensor) -> Tensor:
    """Integers around 0."""
    return (x * 10).long()


class Bilinear(nn.Module):
    """A bilinear layer of a tensor with itself."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Bilinear(10, 10, 4, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x, x.flip(-1))
        return y


ROWS = [
    Row("linear without bias", nn.Linear(10, 3, bias=False), VECTOR),
    Row("linear on four axes without bias", nn.Linear(10, 3, bias=False)),
    Row("linear on one axis", lambda x: F.linear(x[0], TABLE.T, torch.ones(6)) + x[:, :6], VECTOR),
    Row("linear by a vector", lambda x: F.linear(x, LINE, torch.tensor(0.5))),
    Row("linear by a computed weight", lambda x: F.linear(x, TABLE.T * x.mean()), VECTOR),
    Row("linear of integers", lambda x: F.linear(whole(x), whole(TABLE).T), VECTOR),
    Row("bilinear", Bilinear(bias=True), VECTOR),
    Row("bilinear on three axes", Bilinear(bias=False), MATRIX),
    Row("matmul of a vector", lambda x: x @ LINE),
    Row("matmul of a vector on the left", lambda x: LINE @ x.transpose(2, 3)),
    Row("matmul of two vectors", lambda x: x[0] @ LINE + x, VECTOR),
    Row("matmul of a stack and a matrix", lambda x: torch.matmul(x, TABLE), STACK),
    Row("matmul of a matrix and a stack", lambda x: TABLE.T @ x.transpose(2, 3), STACK),
    Row("matmul that repeats", lambda x: x[:, :1] @ TABLES, STACK),
    Row("matmul of integers", lambda x: whole(x) @ whole(TABLE)),
    Row(
        "matmul of small integers", lambda x: whole(x).to(torch.int8) @ whole(TABLE).to(torch.int8)
    ),
    Row("mm, mv, dot", lambda x: x.mm(TABLE).mv(TABLE[0]) + torch.dot(x[0], LINE), VECTOR),
    Row("bmm", lambda x: torch.bmm(x, x.transpose(1, 2)), MATRIX),
    Row("addmm", lambda x: torch.addmm(torch.ones(6), x, TABLE), VECTOR),
    Row("addmm with factors", lambda x: torch.addmm(x[:, :6], x, TABLE, beta=0.3, alpha=2), VECTOR),
    Row(
        "addmm of integers", lambda x: whole(x[:, :6]).addmm(whole(x), whole(TABLE), beta=2), VECTOR
    ),
    Row("addmm that ignores", lambda x: torch.addmm(x[:, :6] / 0, x, TABLE, beta=0), VECTOR),
    Row("addmv", lambda x: torch.addmv(x[:, 0], x, LINE, alpha=0.5), VECTOR),
    Row("baddbmm", lambda x: torch.baddbmm(x, x, TABLES[:1, :, :1].expand(len(x), 10, 10)), MATRIX),
    Row("baddbmm with factors", lambda x: x.baddbmm(x[:, :, :7], x, beta=0.5, alpha=-2), MATRIX),
    Row("addbmm", lambda x: torch.addbmm(torch.ones(7, 7), x, x.transpose(1, 2), beta=2), MATRIX),
    Row(
        "addr, outer",
        lambda x: torch.addr(x, x[:, 0], LINE, alpha=2) + torch.outer(x[:, 1], LINE),
        VECTOR,
    ),
    Row("inner", lambda x: torch.inner(x, TABLE.T)),
    Row("tensordot", lambda x: torch.tensordot(x, TABLES, dims=([1, 3], [0, 1])), STACK),
    Row("tensordot by a number of axes", lambda x: torch.tensordot(x, TABLE, 1)),
    Row("kron", lambda x: torch.kron(x, TABLE), VECTOR),
    Row("vecdot", lambda x: torch.linalg.vecdot(x, x.flip(1), dim=1)),
    Row("multi_dot", lambda x: torch.linalg.multi_dot([x, TABLE, TABLE.T]), VECTOR),
    Row("matrix_power", lambda x: torch.linalg.matrix_power(x[:, :, :7] / 3, 5), MATRIX),
    # einsum
    Row("einsum as a matrix product", lambda x: torch.einsum("bij,jk->bik", x, TABLE), MATRIX),
    Row("einsum of heads", lambda x: torch.einsum("b h i d, b h j d -> b h i j", x, x), STACK),
    Row("einsum turned", lambda x: torch.einsum("bhid,hdk->bhki", x, TABLES), STACK),
    Row("einsum with dots", lambda x: torch.einsum("...ij,jk", x, TABLE), STACK),
    Row("einsum with dots of two lengths", lambda x: torch.einsum("...d,...d->...", x, LINE)),
    Row("einsum of a vector", lambda x: torch.einsum("bij,j->bi", x, LINE), MATRIX),
    Row("einsum of three", lambda x: torch.einsum("bi,ij,kj->bk", x, TABLE, TABLE), VECTOR),
    Row("einsum without a result", lambda x: torch.einsum("ji,ik", x.T, x).sum() + x, VECTOR),
    Row("einsum of a diagonal", lambda x: torch.einsum("bii->bi", x[:, :, :7]), MATRIX),
    Row(
        "einsum that sums",
        lambda x: torch.einsum("bij->b", x) + torch.einsum("bij,b->b", x, x[:, 0, 0]),
        MATRIX,
    ),
    Row("einsum of one length", lambda x: torch.einsum("bhid,bhjd->bij", x, x[:, :1]), STACK),
    Row("einsum of capitals", lambda x: torch.einsum("Bij,Bkj->ikB", x, x), MATRIX),
    Row("einsum of integers", lambda x: torch.einsum("bi,ij->bj", whole(x), whole(TABLE)), VECTOR),
    Row("einsum by lists", lambda x: torch.einsum(x, [0, 1], TABLE, [1, 2]), VECTOR),
    Row("cosine of linear", nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 2, bias=False)), IMAGE),
]
