"""Embeddings."""

from __future__ import annotations

from tests.exporters.ops.row import Row
from torch import Tensor, nn

__all__ = ["ROWS"]


class Looked(nn.Module):
    """Rows of a table by indices that follow the input."""

    def __init__(self, table: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.table, self.shape = table, shape

    def forward(self, x: Tensor) -> Tensor:
        return self.table((x.abs() * 3).clamp(max=8).long().reshape(-1, *self.shape))


class Weighted(nn.Module):
    """A bag whose rows have weights."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 5, mode="sum")

    def forward(self, x: Tensor) -> Tensor:
        return self.bag((x.abs() * 3).clamp(max=8).long(), per_sample_weights=x)


ROWS = [
    Row("embedding", Looked(nn.Embedding(9, 5), (6,)), (1, 6)),
    Row(
        "embedding on three axes, with padding",
        Looked(nn.Embedding(9, 5, padding_idx=2), (2, 3)),
        (1, 6),
    ),
    *(
        Row(f"embedding_bag {mode}", Looked(nn.EmbeddingBag(9, 5, mode=mode), (6,)), (1, 6))
        for mode in ("sum", "mean", "max")
    ),
    Row("embedding_bag with weights", Weighted(), (1, 6)),
]
