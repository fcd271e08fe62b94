"""A call's arguments by the names of the function's parameters, where Python can tell them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import fx

__all__ = ["NUMPY_NAMES", "bound_arguments", "inplace_is_an_argument", "is_plain"]


NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's names of arguments, which torch takes too, and torch's."""


def is_plain(value: object) -> bool:
    """Tell numbers and words, and lists of them."""
    if isinstance(value, tuple | list):
        return all(is_plain(item) for item in value)
    return isinstance(value, bool | int | float | str)


def bound_arguments(node: fx.Node) -> dict[str, Any]:
    """Bind a call's arguments to the function's parameter names, where Python can tell them."""
    names = _BUILTIN_PARAMETERS.get(_name_of(node.target))
    if names is not None:
        return _by_name(names, node)
    signature = _signature(node.target)
    if signature is None:
        return {f"arg{i}": a for i, a in enumerate(node.args) if is_plain(a)} | dict(node.kwargs)
    try:
        bound = signature.bind(*node.args, **node.kwargs)
    except TypeError:
        return dict(node.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def inplace_is_an_argument(target: Any) -> bool:
    """Tell a function that writes in place where its argument `inplace` says so."""
    if _name_of(target) in _BUILTIN_PARAMETERS:
        return False
    signature = _signature(target)
    return signature is not None and "inplace" in signature.parameters


def _by_name(names: Sequence[str], node: fx.Node) -> dict[str, Any]:
    """Bind a call's arguments to names, each None by default."""
    given = dict(zip(names, node.args, strict=False))
    if len(node.args) > len(names) or not node.kwargs.keys() <= set(names) - given.keys():
        return dict(node.kwargs)
    return dict.fromkeys(names) | given | dict(node.kwargs)


# Built-in functions hide their signature; these are the ones whose arguments a drawing needs.
_BUILTIN_NAMES: dict[str, str] = {
    "conv1d": "input weight bias stride padding dilation groups",
    "conv2d": "input weight bias stride padding dilation groups",
    "conv3d": "input weight bias stride padding dilation groups",
    "flatten": "input start_dim end_dim",
    **{
        f"max_pool{n}d": "input kernel_size stride padding dilation ceil_mode return_indices"
        for n in (1, 2, 3)
    },
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "softmax": "input dim",
    "cat": "tensors dim",
    "mean": "input dim keepdim",
    "sum": "input dim keepdim",
    "transpose": "input dim0 dim1",
    "linear": "input weight bias",
}


_BUILTIN_PARAMETERS = {function: names.split() for function, names in _BUILTIN_NAMES.items()}


def _name_of(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", "")


@cache
def _signature(target: Any) -> inspect.Signature | None:
    """Return what Python knows of a function's arguments; None for a method or a C function."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None
