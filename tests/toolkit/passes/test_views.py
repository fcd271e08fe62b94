"""Which axis went where, and where what was written through a view belongs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.toolkit.passes.nets import Function, after, equals, net, traced
from torch import Tensor, nn

from netloft.graph.graph import Graph
from netloft.passes import run_passes
from netloft.passes.views import axes_order, gives_parts

ORDERS: dict[str, tuple[Function, list[int] | None]] = {
    "permute": (lambda m, x: x.permute(0, 2, 3, 1), [0, 2, 3, 1]),
    "a tuple": (lambda m, x: x.permute((0, -1, 1, 2)), [0, 3, 1, 2]),
    "by name": (lambda m, x: torch.permute(x, dims=(0, 3, 2, 1)), [0, 3, 2, 1]),
    "by a size": (lambda m, x: x.permute(0, x.dim() - 1, 1, 2), [0, 3, 1, 2]),
    "transpose": (lambda m, x: torch.transpose(x, dim0=-1, dim1=1), [0, 3, 2, 1]),
    "swapaxes": (lambda m, x: x.swapaxes(1, 2), [0, 2, 1, 3]),
    "movedim": (lambda m, x: x.movedim((1, 2), (-1, 1)), [0, 2, 3, 1]),
    "t": (lambda m, x: x[0, 0].t(), [1, 0]),
    "t of one axis": (lambda m, x: x[:, 0, 0, 0].t(), [0]),
    "an attribute": (lambda m, x: x.mT, [0, 1, 3, 2]),
    "another attribute": (lambda m, x: x.data, None),
    "a reshape": (lambda m, x: x.flatten(1), None),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_the_axes_is_read_off_however_it_is_written(name: str) -> None:
    function, order = ORDERS[name]
    graph = traced(net(lambda m, x: function(m, x) + 0))
    assert axes_order(list(graph.module.graph.nodes)[-3]) == order


def test_a_split_gives_parts_even_if_there_is_one() -> None:
    graph = traced(net(lambda m, x: x.chunk(1, 1)[0] + x.unbind(1)[0][:, None] + x.relu()))
    parts = {node.name for node, record in graph if record.value and gives_parts(node)}
    assert parts == {"chunk", "unbind"}


def written(graph: Graph) -> list[Any]:
    """Return the indices of a graph's writes, or the permutations and shapes that bring back."""
    made = run_passes(graph, ()).graph
    return [n.args[1] for n, record in made if record.op in ("setitem", "permute")][-1:]


def split_in_two(m: Any, x: Any) -> Any:
    return x.split([1, 3], dim=-3)[-1]


ALL = slice(None)
INDICES: dict[str, tuple[Function, Any]] = {
    "getitem": (lambda m, x: x[:, 1:, None], (ALL, slice(1, None), None)),
    "select": (lambda m, x: x.select(-1, -2), (ALL, ALL, ALL, -2)),
    "narrow": (lambda m, x: x.narrow(1, 1, 2), (ALL, slice(1, 3))),
    "narrow from the end": (lambda m, x: x.narrow(1, -3, 2), (ALL, slice(1, 3))),
    "chunk": (lambda m, x: x.chunk(3, 1)[1], (ALL, slice(2, 4))),
    "split": (split_in_two, (ALL, slice(1, 4))),
    "tensor_split": (lambda m, x: torch.tensor_split(x, (1,), 2)[0], (ALL, ALL, slice(0, 1))),
    "unbind": (lambda m, x: x.unbind(2)[-1], (ALL, ALL, -1)),
    "transpose": (lambda m, x: x.permute(0, 2, 3, 1), [0, 3, 1, 2]),
}


@pytest.mark.parametrize("name", INDICES)
def test_the_index_of_what_a_view_shows(name: str) -> None:
    function, index = INDICES[name]

    def forward(m: Any, x: Tensor) -> Any:
        h = x * 2
        function(m, h).add_(1)
        return h

    module = net(forward)
    graph = traced(module)
    assert written(graph) == [index]
    assert equals(after(graph), module)


def test_a_read_that_hands_its_operand_on_hands_the_write_back() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = x * 2
        m.same(h.expand(-1, 4, 6, 6)).contiguous().float().add_(1)
        return h

    made = after(traced(net(forward, same=nn.Identity())))
    (output,) = (node for node, _ in made if node.op == "output")
    assert [node.name for node in output.all_input_nodes] == ["add_"]
