"""The call that gives as a value what an in-place call writes."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from netloft.passes.edit import NotFunctionalError

__all__ = ["Call", "pure_call", "setitem"]


@dataclass(frozen=True)
class Call:
    """A call in fx's terms."""

    op: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def setitem(input: Tensor, index: Any, value: Any) -> Tensor:
    """Return `input` with `value` at `index`; `input[index] = value` as a value."""
    result = input.clone()
    result[index] = value
    return result


def copied(input: Tensor, source: Tensor) -> Tensor:
    """Return what `input.copy_(source)` leaves in `input`."""
    return source.to(input.dtype).expand(input.shape)


_SPECIAL_METHODS: dict[str, Callable[..., Tensor]] = {
    "copy_": copied,
    "fill_": torch.full_like,
    "zero_": torch.zeros_like,
    "__setitem__": setitem,
}

_RESHAPING = {"resize_", "resize_as_", "set_", "t_", "transpose_", "swapaxes_", "swapdims_",
              "squeeze_", "unsqueeze_", "as_strided_"}  # fmt: skip


def pure_call(node: fx.Node) -> Call:
    """Return the call without the write.

    Args:
        node: A function or method call that writes to its first operand, or to `out=`.

    Raises:
        NotFunctionalError: There is no such call.
    """
    args, kwargs = node.args, dict(node.kwargs)
    if kwargs.pop("out", None) is not None:
        return Call(node.op, node.target, args, kwargs)
    if node.op == "call_method":
        return _pure_method(node, str(node.target), args, kwargs)
    if node.target is operator.setitem:
        return Call("call_function", setitem, args, kwargs)
    name = str(getattr(node.target, "__name__", ""))
    if getattr(node.target, "__module__", "") == "_operator":
        return Call("call_function", getattr(operator, _operator_name(name)), args, kwargs)
    if name.endswith("_"):
        return Call("call_function", _twin(node, name[:-1]), args, kwargs)
    return _without_flag(node)


def _pure_method(node: fx.Node, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if name in _SPECIAL_METHODS:
        return Call("call_function", _SPECIAL_METHODS[name], args, kwargs)
    plain = name.rstrip("_") if not name.startswith("__i") else f"__{name[3:]}"
    if name in _RESHAPING or not callable(getattr(Tensor, plain, None)):
        raise NotFunctionalError(f"%{node.name}: {name} has no form that gives a value")
    return Call("call_method", plain, args, kwargs)


def _operator_name(name: str) -> str:
    """Return `add` for `iadd`; and_ and or_ carry an underscore of their own."""
    plain = name.removeprefix("i")
    return f"{plain}_" if plain in ("and", "or") else plain


def _twin(node: fx.Node, name: str) -> Callable[..., Any]:
    for home in (torch, torch.nn.functional, torch.special):
        if callable(getattr(home, name, None)):
            found: Callable[..., Any] = getattr(home, name)
            return found
    raise NotFunctionalError(f"%{node.name}: {name}_ has no form that gives a value")


def _without_flag(node: fx.Node) -> Call:
    """Take `inplace=True` back, however it was given."""
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise NotFunctionalError(f"%{node.name} writes in a way that cannot be read") from error
    del bound.arguments["inplace"]  # the last one, and False unless it is given
    return Call("call_function", node.target, bound.args, bound.kwargs)
