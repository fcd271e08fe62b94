"""Networks that torch.export captured, as files: by netloft's own lowering, or torch.onnx whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from netloft.parity.check import check_parity, require_parity
from netloft.parity.inputs import cases
from netloft.tracing import trace
from netloft_exporters import to_onnx
from netloft_exporters.onnx import write_onnx


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)


class Length(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) * len(x)


class WholeNumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * int(x.abs().max())


class CutAtANumber(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, :, : int(x.abs().max())]


class Condition(Net):
    def forward(self, x: Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda x: self.conv(x), lambda x: x - 1, (x,))


class Masked(Net):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class TwoInputs(Net):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if len(x) != len(y):
            raise ValueError("two batches")
        return self.conv(torch.cat([x, y])) * int(x.abs().max())


OWN = "netloft"
WHOLE = "torch.onnx, since netloft's own route lacks"
ROWS: list[tuple[type[nn.Module], str, str]] = [
    (Length, "torch.export", OWN),
    (
        WholeNumber,
        "torch.export",
        f"{WHOLE} a length that follows the batch in an unknown way (%mul",
    ),
    (CutAtANumber, "torch.export", f"{WHOLE} a length that follows the batch in an unknown way"),
    (Condition, "torch.export", f"{WHOLE} the operation cond (%cond at "),
    (
        Masked,
        "torch.fx",
        f"{WHOLE} indexing with a mask, whose length depends on the data (%getitem",
    ),
    (TwoInputs, "torch.export", f"{WHOLE} a length that follows the batch in an unknown way"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].__name__)
def test_a_captured_network_comes_out_right(
    row: tuple[type[Net], str, str], tmp_path: Path
) -> None:
    cls, capture, route = row
    torch.manual_seed(0)
    net, file = cls().eval(), tmp_path / "net.onnx"
    names = ("x", "y") if cls is TwoInputs else ("x",)
    inputs = {name: torch.randn(2, 3, 8, 8) for name in names}
    graph = trace(net, inputs)
    written = write_onnx(graph, net, inputs, file)
    assert graph.capture.startswith(capture)
    assert written.route.startswith(route)
    require_parity(check_parity(graph, net, file, cases(inputs, (1, 2, 7), 0), ["cpu"]))
    for value in onnx.load(file).graph.input:
        dims = value.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, 8, 8]


def test_the_ways_of_a_condition_are_named_and_hold_no_path(tmp_path: Path) -> None:
    path = to_onnx(Condition().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    *_, choice = onnx.load(path).graph.node
    assert choice.op_type == "If"
    inner = [node for attribute in choice.attribute for node in attribute.g.node]
    assert {"Conv", "Sub"} <= {node.op_type for node in inner}
    assert all(prop.key.startswith("netloft.") for node in inner for prop in node.metadata_props)
    assert str(Path(__file__).parent).encode() not in path.read_bytes()
