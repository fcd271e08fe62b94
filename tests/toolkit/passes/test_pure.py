"""Each call that writes has one that gives the value."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.passes import NotFunctionalError
from netloft.passes.pure import copied, pure_call, setitem


def node_of(op: str, target: Any, *more: Any, **kwargs: Any) -> fx.Node:
    graph = fx.Graph()
    x = graph.placeholder("x")
    return graph.create_node(op, target, (x, *more), kwargs)


FUNCTION, METHOD = "call_function", "call_method"

CALLS: list[tuple[fx.Node, str, Any, tuple[Any, ...]]] = [
    (node_of(FUNCTION, operator.iadd, 1), FUNCTION, operator.add, (1,)),
    (node_of(FUNCTION, operator.iand, 1), FUNCTION, operator.and_, (1,)),
    (node_of(FUNCTION, operator.ior, 1), FUNCTION, operator.or_, (1,)),
    (node_of(FUNCTION, operator.ixor, 1), FUNCTION, operator.xor, (1,)),
    (node_of(FUNCTION, operator.ilshift, 1), FUNCTION, operator.lshift, (1,)),
    (node_of(FUNCTION, operator.itruediv, 2), FUNCTION, operator.truediv, (2,)),
    (node_of(FUNCTION, operator.setitem, 0, 1), FUNCTION, setitem, (0, 1)),
    (node_of(FUNCTION, torch.relu_), FUNCTION, torch.relu, ()),
    (node_of(FUNCTION, F.hardtanh_, 0, 1), FUNCTION, F.hardtanh, (0, 1)),
    (node_of(FUNCTION, F.relu, True), FUNCTION, F.relu, ()),
    (node_of(FUNCTION, F.dropout, 0.5, False, True), FUNCTION, F.dropout, (0.5, False)),
    (node_of(METHOD, "mul_", 2), METHOD, "mul", (2,)),
    (node_of(METHOD, "__iadd__", 2), METHOD, "__add__", (2,)),
    (node_of(METHOD, "__setitem__", 0, 2), FUNCTION, setitem, (0, 2)),
    (node_of(METHOD, "copy_", 2), FUNCTION, copied, (2,)),
    (node_of(METHOD, "fill_", 2), FUNCTION, torch.full_like, (2,)),
    (node_of(METHOD, "zero_"), FUNCTION, torch.zeros_like, ()),
]


@pytest.mark.parametrize(("node", "op", "target", "args"), CALLS, ids=[str(n) for n, *_ in CALLS])
def test_the_call_that_gives_the_value(
    node: fx.Node, op: str, target: Any, args: tuple[Any, ...]
) -> None:
    call = pure_call(node)
    assert (call.op, call.target, call.args[1:], call.kwargs) == (op, target, args, {})


def test_out_is_left_out_and_other_names_are_kept() -> None:
    node = node_of(FUNCTION, torch.add, 1, alpha=2)
    node.kwargs = {**node.kwargs, "out": node.args[0]}
    call = pure_call(node)
    assert (call.target, call.kwargs) == (torch.add, {"alpha": 2})


@pytest.mark.parametrize("name", ["resize_", "t_", "unsqueeze_", "normal_", "random_", "names_"])
def test_what_has_no_value_is_refused(name: str) -> None:
    with pytest.raises(NotFunctionalError, match=f"{name} has no form that gives a value"):
        pure_call(node_of(METHOD, name))


def test_a_function_that_is_not_torchs_is_refused() -> None:
    def scale_(x: Tensor) -> Tensor:
        return x.mul_(2)

    with pytest.raises(NotFunctionalError, match="%scale_: scale_ has no form"):
        pure_call(node_of(FUNCTION, scale_))


def test_values_of_writes_leave_what_they_read_as_it_was() -> None:
    x = torch.zeros(2, 3)
    assert torch.equal(setitem(x, (slice(None), 0), 5), torch.tensor([[5.0, 0, 0], [5.0, 0, 0]]))
    assert torch.equal(copied(x, torch.arange(3)), torch.arange(3.0).expand(2, 3))
    assert not x.any()
