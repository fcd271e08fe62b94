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


class Frozen(Small):
    """Weights that are not trained any more, behind pictures as bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)
        self.register_buffer("scale", torch.full((3, 1, 1), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.get_buffer("scale"))


def test_weights_may_be_frozen_and_pictures_bytes() -> None:
    x = torch.randint(0, 256, (2, 3, 9, 8), dtype=torch.uint8)
    graph = functional(trace(Frozen().eval(), {"x": x}))
    nodes = {node.name: node for node in graph.module.graph.nodes}
    assert check_gradient(graph, [x], nodes["fc"], [nodes["conv"]]) < 1e-12


def gradient_of(call: Any, x: Tensor) -> float:
    """Compare the gradient of a function of a picture."""

    class Called(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return call(x)

    graph = functional(trace(Called().eval(), {"x": x}, prove=False))
    start, end = ends(graph)
    return check_gradient(graph, [x], end, [start])


FLAT = torch.full((2, 3, 6, 6), 0.5)


@pytest.mark.parametrize(
    ("call", "x"),
    [
        (lambda x: x.std((2, 3)), FLAT),
        (lambda x: 2.0**x, FLAT),
        (lambda x: torch.cat([x.chunk(3, 1)[0], x[:, 1:]], 1), FLAT + torch.rand(2, 3, 6, 6)),
        (lambda x: (lambda parts: parts[0] * 2 + parts[-3])(x.chunk(3, 1)), FLAT),
        (
            lambda x: nn.functional.conv2d(x, torch.ones(2, 3, 3, 3), stride=2, padding="valid"),
            FLAT,
        ),
    ],
    ids=["std of equals", "power", "part by part", "from both ends", "valid padding"],
)
def test_a_gradient_on_the_edge_is_autograds(call: Any, x: Tensor) -> None:
    assert gradient_of(call, x) < 1e-9


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda x: torch.cat(x.chunk(3, 1), 1), "parts that are not taken one by one"),
        (lambda x: x.detach() * 2, "nothing leads from %x"),
        (lambda x: x.float().matmul(torch.ones(6, 6)), "cannot be proven in float64"),
    ],
    ids=["all at once", "detached", "float32 alone"],
)
def test_what_has_no_gradient_is_refused(call: Any, problem: str) -> None:
    with pytest.raises(NoAdjointError, match=problem):
        gradient_of(call, FLAT)
