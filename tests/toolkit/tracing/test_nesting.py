"""A module that Python can run can be traced and exported, however deep it is nested."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from netloft_exporters import to_onnx


class Nested(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inner: nn.Module = nn.Linear(4, 4)
        for _ in range(depth):
            self.inner = nn.Sequential(self.inner, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.mark.parametrize("prove", [False, True])
def test_two_hundred_levels(tmp_path: Path, prove: bool) -> None:
    module, x = Nested(200).eval(), torch.randn(2, 4)
    limit = sys.getrecursionlimit()
    path = to_onnx(module, (x,), tmp_path / "net.onnx", prove=prove)
    assert sys.getrecursionlimit() == limit
    onnx.checker.check_model(path, full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"input": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(y, module(x).numpy(), rtol=0, atol=1e-6)
