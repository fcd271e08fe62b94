"""What is remembered of a call is what the call gives, aliases included."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.tracing.memo import Memo


def bare(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def called(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(target, str):
        return getattr(args[0], target)(*args[1:], **kwargs)
    return target(*args, **kwargs)


def tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return (
        [t for item in items for t in tensors_in(item)] if isinstance(items, tuple | list) else []
    )


def told(result: Any, operands: list[Tensor]) -> Any:
    """Say what a result is, its memory by the number of the first operand that has it."""
    if isinstance(result, tuple | list):
        return type(result), [told(item, operands) for item in result]
    if not isinstance(result, Tensor):
        return result
    same = [i for i, operand in enumerate(operands) if result is operand]
    home = result.untyped_storage()._cdata
    homes = [i for i, t in enumerate(operands) if t.untyped_storage()._cdata == home]
    place = result.storage_offset() if homes else 0
    return result.shape, result.stride(), result.dtype, place, same[:1], homes[:1]


CALLS: list[tuple[Any, Callable[[], tuple[Any, ...]], dict[str, Any]]] = [
    (operator.add, lambda: (bare(3, 1), bare(4)), {}),
    (torch.matmul, lambda: (bare(2, 3, 4), bare(4, 5)), {}),
    ("reshape", lambda: (bare(2, 3, 4), 6, -1), {}),
    ("reshape", lambda: (bare(2, 3, 4).transpose(0, 1), -1), {}),
    ("permute", lambda: (bare(2, 3, 4)[1:], 2, 0, 1), {}),
    ("contiguous", lambda: (bare(2, 3),), {}),
    ("contiguous", lambda: (bare(2, 3).mT,), {}),
    ("chunk", lambda: (bare(2, 6), 3, 1), {}),
    ("size", lambda: (bare(2, 6),), {}),
    ("is_contiguous", lambda: (bare(2, 6).mT,), {}),
    ("to", lambda: (bare(2, 6), torch.float64), {}),
    ("to", lambda: (bare(2, 6), torch.float32), {}),
    (F.relu, lambda: (bare(2, 6), True), {}),
    (F.softmax, lambda: (bare(2, 6),), {"dim": -1}),
    (operator.getitem, lambda: (bare(5, 6), (slice(1, None, 2), None, ..., 0)), {}),
    (operator.getitem, lambda: (bare(5, 6), bare(3, dtype=torch.int64)), {}),
    (torch.cat, lambda: ([bare(5, 6), bare(5, 2)], 1), {}),
    (torch.stack, lambda: ((bare(2), bare(2)),), {"dim": 1}),
    (torch.where, lambda: (bare(3, dtype=torch.bool), bare(3), bare(1)), {}),
    (torch.broadcast_tensors, lambda: (bare(3, 1), bare(4)), {}),
    (torch.max, lambda: (bare(3, 4), 1), {}),
]


def name_of(target: Any) -> str:
    return str(getattr(target, "__name__", target))


@pytest.mark.parametrize(
    ("target", "args", "kwargs"), CALLS, ids=[name_of(target) for target, *_ in CALLS]
)
def test_a_call_that_is_remembered_gives_what_the_call_gives(
    target: Any, args: Callable[[], tuple[Any, ...]], kwargs: dict[str, Any]
) -> None:
    memo = Memo()
    for _ in range(3):
        given = args()
        operands = tensors_in(given)
        result = memo.call(target, partial(called, target, given, kwargs), given, kwargs)
        assert told(result, operands) == told(called(target, given, kwargs), operands)


def counted(memo: Memo, target: Any, *args: Any, **kwargs: Any) -> int:
    """Return how often two calls were made."""
    made = []

    def make() -> Any:
        made.append(target)
        return called(target, args, kwargs)

    for _ in range(2):
        memo.call(target, make, args, kwargs)
    return len(made)


def test_a_call_is_made_once() -> None:
    assert counted(Memo(), torch.add, bare(2), bare(2)) == 1


def own(x: Tensor) -> Tensor:
    return x + 1


@pytest.mark.parametrize(
    ("target", "args", "kwargs"),
    [
        (own, (bare(2),), {}),  # a function of the network's may do anything
        ("unsqueeze_", (bare(2), 0), {}),
        (torch.ops.aten.add_.Tensor, (bare(2), bare(2)), {}),
        (torch.add, (bare(2), bare(2)), {"out": bare(2)}),
        (torch.view_as_real, (bare(2, dtype=torch.complex64),), {}),
        (torch.max, (bare(3, 4), 1), {}),  # a type of its own
        (torch.is_tensor, ({bare(3)},), {}),  # a set
    ],
    ids=str.split("own reshapes overload out complex named set"),
)
def test_what_is_called_each_time(
    target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert counted(Memo(), target, *args, **kwargs) == 2


def first(x: Tensor, y: Tensor) -> Tensor:
    return y.view(-1)


first.__module__ = "torch"


def test_one_operand_given_twice_is_another_call_than_two() -> None:
    memo, x, y = Memo(), bare(2), bare(2)
    for args in ((x, x), (x, y), (y, x)):
        result = memo.call(first, partial(first, *args), args, {})
        assert told(result, [args[1]])[-1] == [0]


def test_two_parts_of_one_tensor_are_told_apart() -> None:
    memo, x = Memo(), bare(2, 3)
    for args in ((x[0], x[1]), (x[1], x[0])):
        result = memo.call(first, partial(first, *args), args, {})
        assert result.storage_offset() == args[1].storage_offset()


@pytest.mark.parametrize("values", [(1, 1.0), (True, 1), ((1,), [1])])
def test_numbers_that_are_equal_and_of_another_type_are_another_call(
    values: tuple[Any, Any],
) -> None:
    memo, seen = Memo(), list[Any]()
    for value in values:
        memo.call("mul", partial(seen.append, value), (bare(2), value), {})
    assert len(seen) == 2
