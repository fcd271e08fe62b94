"""Remember what an operation without data gave, for the next operands of the same kind.

A network has few kinds of layers and calls each many times; PyTorch's kernels without data that are
written in Python take 50 to 1000 µs for one call, what is remembered is made again in 30. What a
result is to the operands, the very tensor, a view of it or memory of its own, is remembered with
its shape. Kernels that take less than remembering does are called each time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.ops import is_known_code

__all__ = ["Memo"]

Recipe = Callable[[Sequence[Tensor]], Any]
"""Makes the result out of the operands that are tensors."""

_CONSTANTS = (int, float, bool, str, type(None), torch.Size, torch.dtype, torch.device)
_PLAIN = frozenset(_CONSTANTS)

_QUICK = frozenset({
    "chunk", "clone", "dim", "expand", "flatten", "numel", "permute", "size", "squeeze", "swapaxes",
    "transpose", "unsqueeze", "view", "zero_",
    getattr, operator.floordiv,
    torch.cat, torch.chunk, torch.flatten, torch.permute, torch.relu, torch.roll, torch.squeeze,
    torch.transpose, torch.unsqueeze, F.dropout, F.linear, F.pad, F.relu,
})  # fmt: skip
"""What takes 5 to 30 µs, measured on eight networks of torchvision's."""

# tracing wraps these two
_empty_strided = torch.empty_strided
_as_strided = Tensor.as_strided


class _Unlike(Exception):  # noqa: N818 - the call is made
    """A call or a result that is not remembered."""


class Memo:
    """Calls of PyTorch's functions and methods, each kind made once."""

    def __init__(self) -> None:
        self._recipes: dict[Hashable, Recipe | None] = {}

    def call(
        self,
        target: Callable[..., Any] | str,
        made: Callable[[], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Return what `target`, a function or a method's name, gives.

        Args:
            target: What is called.
            made: Calls it.
            args: Its arguments; tensors are on the meta device.
            kwargs: Likewise, by name.
        """
        if target in _QUICK or (target is operator.getitem and type(args[1]) is int):
            return made()
        operands: list[Tensor] = []
        try:
            key = (target, _kind(args, operands), _kind(kwargs, operands))
        except _Unlike:
            return made()
        if not operands or not _is_known(target):
            return made()
        if key not in self._recipes:
            result = made()
            self._recipes[key] = _recipe(result, operands)
            return result
        recipe = self._recipes[key]
        return made() if recipe is None else recipe(operands)


@cache
def _is_known(target: Callable[..., Any] | str) -> bool:
    """Tell a function of PyTorch's that leaves its operands as they are, shape and all.

    A user's own may count its calls.
    """
    name = target if isinstance(target, str) else getattr(target, "__name__", "_")
    name = name.partition(".")[0]  # of an operator's overload
    if name.endswith("_") and not name.endswith("__"):
        return False
    return isinstance(target, str) or is_known_code(target)


def _kind(value: Any, operands: list[Tensor]) -> Hashable:
    """Return what has to be the same for the same result, and collect the tensors."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if isinstance(value, Tensor):
        return _kind_of_tensor(value, operands)
    if isinstance(value, _CONSTANTS):
        return kind, value
    if isinstance(value, tuple | list):
        # most items are numbers, and a call for each would take as long as all the rest
        items = ((type(i), i) if type(i) in _PLAIN else _kind(i, operands) for i in value)
        return kind, *items
    if isinstance(value, dict):
        if value.get("out") is not None:
            raise _Unlike
        return dict, *[(name, _kind(item, operands)) for name, item in value.items()]
    if kind is slice:
        ends = (value.start, value.stop, value.step)
        return slice, *[_kind(item, operands) for item in ends]
    if value is Ellipsis:
        return value
    raise _Unlike


def _kind_of_tensor(tensor: Tensor, operands: list[Tensor]) -> Hashable:
    if tensor.dtype.is_complex or tensor.layout is not torch.strided:
        raise _Unlike
    first, offset = 0, 0
    if operands:
        home = _home(tensor)
        first = next((i for i, other in enumerate(operands) if _home(other) == home), len(operands))
        offset = int(tensor.storage_offset()) if first < len(operands) else 0
    operands.append(tensor)
    return type(tensor), tensor.shape, tensor.stride(), tensor.dtype, first, offset


def _home(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _recipe(result: Any, operands: Sequence[Tensor]) -> Recipe | None:
    seen: set[int] = set()
    try:
        return _remembered(result, operands, seen)
    except _Unlike:
        return None


def _remembered(result: Any, operands: Sequence[Tensor], seen: set[int]) -> Recipe:
    if isinstance(result, Tensor):
        for index, operand in enumerate(operands):
            if result is operand:
                return lambda given: given[index]
        for index, operand in enumerate(operands):
            if _home(result) == _home(operand):
                return _view(result, operand, index)
        return _fresh(result, seen)
    if isinstance(result, _CONSTANTS):
        return lambda _: result
    if type(result) in (tuple, list):
        parts = [_remembered(item, operands, seen) for item in result]
        kind = type(result)
        return lambda given: kind(part(given) for part in parts)
    raise _Unlike


def _view(result: Tensor, operand: Tensor, index: int) -> Recipe:
    if type(result) is not Tensor or result.dtype is not operand.dtype:
        raise _Unlike
    shape, stride = result.shape, result.stride()
    ahead = result.storage_offset() - operand.storage_offset()
    return lambda given: _as_strided(
        given[index], shape, stride, given[index].storage_offset() + ahead
    )


def _fresh(result: Tensor, seen: set[int]) -> Recipe:
    home = _home(result)
    plain = type(result) is Tensor and result.storage_offset() == 0 and result.is_meta
    if not plain or result.dtype.is_complex or home in seen:
        raise _Unlike
    seen.add(home)
    shape, stride, dtype = result.shape, result.stride(), result.dtype
    return lambda _: _empty_strided(shape, stride, dtype=dtype, device="meta")
