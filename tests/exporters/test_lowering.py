"""Each operation, lowered and run in ONNX Runtime at several batches, against the module."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.exporters.ops_table import ROWS, Row
from torch import Tensor, nn

from netloft.parity.check import check_parity, require_parity
from netloft.parity.inputs import cases
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx
from netloft_exporters.onnx.direct_route import lower_directly
from netloft_exporters.onnx.lowering import LOWERINGS, Unsupported


class Net(nn.Module):
    """A row of the table as a network."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row
        if isinstance(row.call, nn.Module):
            self.op = copy.deepcopy(row.call)

    def forward(self, x: Tensor) -> Any:
        if isinstance(self.row.call, nn.MultiheadAttention):
            return self.op(x, x, x)[0]
        return self.op(x) if isinstance(self.row.call, nn.Module) else self.row.call(x)


def seeded(net: nn.Module) -> nn.Module:
    """Give weights and statistics values that show a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.dtype.is_floating_point:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.3)
    return net.eval()


@pytest.mark.filterwarnings(
    # PyTorch's own remarks on rows that use what is slow, new or on its way out
    "ignore:Using padding='same' with even kernel:UserWarning",
    "ignore:index_reduce:UserWarning",
    "ignore:torch.searchsorted:UserWarning",
    "ignore:Support for mismatched key_padding_mask:UserWarning",
    "ignore:Implicit dimension choice for softmax:UserWarning",
)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_operation_comes_out_right_by_its_route(row: Row, tmp_path: Path) -> None:
    net = seeded(Net(row))
    inputs = {"x": torch.randn(2, *row.shape[1:], generator=torch.Generator().manual_seed(1))}
    graph = trace(net, inputs)
    written = write_onnx(graph, net, inputs, tmp_path / "net.onnx")
    assert written.route.partition(",")[0] == row.route
    made = cases(inputs, (1, 2, 7), 0)
    require_parity(check_parity(graph, net, tmp_path / "net.onnx", made, ["cpu"]))


def test_every_lowering_has_a_docstring_that_names_both_sides() -> None:
    for op, function in LOWERINGS.items():
        assert function.__doc__, op
        assert " to " in function.__doc__ or "`x[index]`" in function.__doc__, op


class WriteSeenByAView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h = x * 2
        view = h.flatten(1)
        h += 1
        return view + 0


class WriteThroughAView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h = x * 2
        view = h.flatten(1)
        view += 1
        return h * 3


class WriteSeenByAnAlias(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h = x * 2
        k = h.relu_()
        h += x
        return k * 3


@pytest.mark.parametrize("cls", [WriteSeenByAView, WriteThroughAView, WriteSeenByAnAlias])
def test_a_write_in_place_is_right_by_whatever_route(cls: type[nn.Module], tmp_path: Path) -> None:
    net, inputs = cls().eval(), {"x": torch.randn(2, 3, 4)}
    graph = trace(net, inputs)
    write_onnx(graph, net, inputs, tmp_path / "net.onnx")
    made = cases(inputs, (1, 2, 3), 0)
    require_parity(check_parity(graph, net, tmp_path / "net.onnx", made, ["cpu"]))


class Unheard(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def test_what_is_not_covered_is_said_with_its_node() -> None:
    graph = trace(Unheard().eval(), {"x": torch.randn(2, 3, 4)})
    with pytest.raises(Unsupported, match=r"the operation bessel_j0 \(%.*\.py:\d+\)"):
        lower_directly(graph, 20)
