"""Axes beside the batch that are left open: lengths are expressions of their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

import netloft
from netloft.errors import InputError, TraceError
from netloft.graph.dims import evaluate
from netloft.tracing import trace

TOKENS = "(((height-1)//4)*((width-1)//4))+((height-1)//4)+((width-1)//4)+1"
AXES = {"x": {2: "height", 3: "width"}}


class Pyramid(nn.Module):
    """Odd sizes, a global pool, a resize to the input's own size and a flatten of open lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, 2, 3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.score = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        small = self.score(self.pool(self.stem(x)))
        tokens = small.flatten(2).transpose(1, 2)
        return {
            "map": F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False),
            "mean": small.mean((2, 3)),
            "tokens": tokens.softmax(-1),
        }


def example(height: int = 33, width: int = 40) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_lengths_are_expressions_of_the_names() -> None:
    graph = trace(Pyramid().eval(), (example(),), dynamic=AXES)
    shapes = {value.name: value.info.shape for value in graph.outputs}
    assert shapes["map"] == ("batch", 5, "height", "width")
    assert shapes["mean"] == ("batch", 5)
    assert shapes["tokens"] == ("batch", TOKENS, 5)
    assert evaluate(TOKENS, {"height": 33, "width": 40}) == 9 * 10
    assert graph.lengths == {"height": (33, 34), "width": (40, 41)}
    assert graph.totals.macs > 0


@pytest.mark.parametrize(("height", "width"), [(33, 40), (16, 57), (64, 9)])
def test_a_file_takes_other_lengths(height: int, width: int, tmp_path: Path) -> None:
    net = Pyramid().eval()
    path = netloft.to_onnx(net, (example(),), tmp_path / "net.onnx", dynamic=AXES)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.randn(3, 3, height, width)
    made = session.run(None, {"input": x.numpy()})
    for found, expected in zip(made, net(x).values(), strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_name_input_is_the_only_input() -> None:
    graph = trace(Pyramid().eval(), (example(),), dynamic={"input": {-1: "width"}}, prove=False)
    assert graph.inputs[0].info.shape == ("batch", 3, 33, "width")


REFUSED = [
    ({"y": {2: "height"}}, "there is no input 'y'"),
    ({"x": {0: "items"}}, "axis 0 of 'x' is the batch"),
    ({"x": {4: "depth"}}, "'x' has no axis 4: it has 4 axes"),
    ({"x": {2: "a b"}}, "'a b' is not a name for a length"),
    ({"x": {2: "batch"}}, "'batch' is not a name for a length"),
    ({"x": {2: "size", 3: "size"}}, "axis 3 of 'x' is 40 long in the example"),
]


@pytest.mark.parametrize(("dynamic", "problem"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_is_no_axis_is_refused(dynamic: dict[str, dict[int, str]], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        trace(Pyramid().eval(), (example(),), dynamic=dynamic)


class Rigid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(40, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def test_a_length_that_the_network_fixes_cannot_be_left_open() -> None:
    with pytest.raises(InputError, match=r"no other length of 'width' than 40 \(tried 41, 72"):
        trace(Rigid().eval(), (example(),), dynamic={"x": {3: "width"}})
    with pytest.raises(TraceError, match="the length 'width' cannot be left open"):
        trace(Rigid().eval(), (example(),), dynamic={"x": {3: "width"}}, prove=False)
