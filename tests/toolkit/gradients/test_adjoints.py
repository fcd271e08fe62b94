"""Every adjoint against PyTorch's autograd, on the table of operations that are lowered."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from tests.exporters.ops_table import ROWS, Row
from tests.exporters.test_lowering import Net, seeded
from torch import Tensor, fx, nn

from netloft.errors import CheckError
from netloft.gradients import ADJOINTS, NoAdjointError, check_gradient, functional
from netloft.gradients.adjoint import parameters_of
from netloft.graph.graph import Graph, annotation
from netloft.tracing import trace

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's on old or slow calls


def ends(graph: Graph) -> tuple[fx.Node, fx.Node]:
    """Return the input's node, and the first node that gives the result and is one tensor."""
    nodes = list(graph.module.graph.nodes)
    (output,) = (node for node in nodes if node.op == "output")
    found = output.all_input_nodes[0]
    return next(node for node in nodes if node.op == "placeholder"), found


def traced(row: Row) -> tuple[Graph, Tensor]:
    # positive numbers too: logarithms and roots have no gradient elsewhere
    x = torch.rand(2, *row.shape[1:], generator=torch.Generator().manual_seed(1)) * 1.8 - 0.4
    return functional(trace(seeded(Net(row)), {"x": x}, prove=False)), x


_ODD = ("odd numbers", "addmm that ignores")
"""Rows on NaN and infinities: nothing is near to those."""

_NONE = (
    "returned an invalid gradient",
    "does not require grad",
    "is not implemented",
    "expected scalar type",
    "const_data_ptr",
)
"""What autograd says where it has no gradient itself, or not in float64."""


def verdict(row: Row) -> str:
    """Return `proven`, or why there is nothing to compare."""
    graph, x = traced(row)
    start, end = ends(graph)
    if isinstance(annotation(end).value, tuple):
        return "several results"
    if not annotation(end).value.dtype.startswith("float"):  # type: ignore[union-attr]
        return "whole numbers"
    try:
        check_gradient(graph, [x], end, [start])
    except NoAdjointError as refusal:
        return refusal.problem
    except RuntimeError as error:
        if any(text in str(error) for text in _NONE):
            return "autograd has none"
        raise
    return "proven"


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.route == "netloft" and not any(odd in row.name for odd in _ODD)],
    ids=lambda row: row.name,
)
def test_a_gradient_is_autograds_or_is_refused(row: Row) -> None:
    assert verdict(row)


class Small(nn.Module):
    """What a gradient goes through in a picture's network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        return self.fc(x.mean((2, 3)))


def small() -> tuple[Graph, list[Tensor], dict[str, fx.Node]]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 8)
    graph = functional(trace(Small().eval(), {"x": x}))
    return graph, [x], {node.name: node for node in graph.module.graph.nodes}


def test_a_gradient_at_any_node_is_autograds() -> None:
    graph, inputs, nodes = small()
    assert check_gradient(graph, inputs, nodes["fc"], [nodes["x"]]) < 1e-12
    assert check_gradient(graph, inputs, nodes["fc"], [nodes["norm"]]) < 1e-12


@pytest.mark.parametrize("op", ["conv2d", "batch_norm", "relu", "mean", "linear"])
def test_a_wrong_adjoint_is_found(op: str) -> None:
    graph, inputs, nodes = small()
    right = ADJOINTS[op]

    def wrong(*args: Any, **kwargs: Any) -> Any:
        return {name: part * 1.01 for name, part in right(*args, **kwargs).items()}

    wrong.__signature__ = parameters_of(right)  # type: ignore[attr-defined]
    with mock.patch.dict(ADJOINTS, {op: wrong}), pytest.raises(CheckError, match="autograd's"):
        check_gradient(graph, inputs, nodes["fc"], [nodes["x"]])


def test_where_nothing_leads_is_said() -> None:
    graph, inputs, nodes = small()
    with pytest.raises(NoAdjointError, match="nothing leads from %fc"):
        check_gradient(graph, inputs, nodes["conv"], [nodes["fc"]])


def test_what_has_no_adjoint_is_told_with_its_line() -> None:
    graph, inputs, nodes = small()
    with (
        mock.patch.dict(ADJOINTS),
        pytest.raises(NoAdjointError, match="no gradient through conv2d") as caught,
    ):
        del ADJOINTS["conv2d"]
        check_gradient(graph, inputs, nodes["fc"], [nodes["x"]])
    assert caught.value.module == "conv"
    assert "self.relu(self.norm(self.conv(x)))" in caught.value.source
