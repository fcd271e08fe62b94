"""Tensors made of numbers."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import Row

__all__ = ["ROWS"]

ROWS = [
    Row("zeros", lambda x: torch.zeros(x.shape[0], 3) + x[:, :3, 0, 0]),
    Row("ones", lambda x: torch.ones(x.shape[0], 1, 1, 1) * x),
    Row("full", lambda x: torch.full((2, x.shape[0]), 7)),
    Row(
        "zeros_like, ones_like",
        lambda x: torch.ones_like(x, dtype=torch.int64) - torch.zeros_like(x),
    ),
    Row("full_like", lambda x: torch.full_like(x, 0.1) + x),
    Row("full of the batch", lambda x: torch.full_like(x, x.shape[0])),
    Row("fill", lambda x: torch.fill(x, 2.0)),
    Row("new_zeros", lambda x: x.new_zeros(3, 4) + x[:, :1, 0, :4]),
    Row("new_ones", lambda x: x.new_ones(x.shape[0], 2, dtype=torch.int32)),
    Row("new_full", lambda x: x.new_full((x.shape[0],), 3, device=x.device)),
    Row("new_tensor", lambda x: x.new_tensor([1, 2, 3, 4]) + x[:, 0, 0, :4]),
    Row("a large one of equal numbers", lambda x: x.new_zeros(1, 4, 120, 100) + x[:, :, :1, :1]),
    Row("arange", lambda x: torch.arange(x.shape[0]) + x[:, 0, 0, 0]),
    Row("arange in steps", lambda x: torch.arange(1, 2 * x.shape[0], 2, dtype=torch.float32)),
    Row("arange of floats", lambda x: torch.arange(0.5, x.shape[0] + 0.5)),
    Row("arange of a fixed length", lambda x: torch.arange(x.shape[1]) * x[0, 0, 0, :4]),
    Row("linspace", lambda x: torch.linspace(0, 1, x.shape[2]) * x[:, 0, :, 0]),
    Row("eye", lambda x: torch.eye(x.shape[0], 4) + x[:, :, 0, 0]),
    Row("eye of a fixed size", lambda x: torch.eye(x.shape[1]) @ x[:, :, 0]),
    Row("tensor of sizes", lambda x: torch.tensor([x.shape[0], 2]) * x[:, 0, :2, 0]),
]
