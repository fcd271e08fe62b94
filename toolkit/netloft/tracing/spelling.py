"""The calls that torch.export records, in the words of torch's public functions.

torch.export writes `aten.slice.Tensor(x, 1, 0, 2)` where a network says `x[:, :2]`. Here each call
is put back into the form that torch.fx would have recorded, which is what every later stage reads.

Leaves alone:
    A call that no public function makes with these arguments; torch.onnx knows it as it is.
"""

from __future__ import annotations

import inspect
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["Spelled", "spelled"]


@dataclass(frozen=True)
class Spelled:
    """A call in fx's terms.

    Attributes:
        op: `call_function` or `call_method`; empty where nothing has to be called.
        target: What is called.
        args: Its arguments.
        kwargs: Its arguments by name.
        gives: What stands for the result, where that is not what the call returns.
    """

    op: str
    target: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    gives: Any = None


_Rule = Callable[..., Spelled]

# Where a tensor is made, and how it lies in memory, do not change its values: all are on the CPU.
_PLACES = ("device", "layout", "pin_memory", "memory_format", "non_blocking")

# Functions of torch.nn.functional that order or name their arguments in another way.
_BY_NAME = """
    adaptive_avg_pool2d adaptive_avg_pool3d batch_norm celu dropout elu embedding glu group_norm
    hardsigmoid hardswish hardtanh instance_norm layer_norm leaky_relu log_softmax mish pad relu
    relu6 rms_norm selu sigmoid silu softmax tanh threshold
""".split()  # noqa: SIM905 - thirty quoted names would hide the list
_NAMES = {"self": "input", "indices": "input", "train": "training"}
_UNSAID = ("cudnn_enabled", "cudnn_enable", "padding_idx", "scale_grad_by_freq", "sparse")
"""What says nothing of the values, or nothing in eval mode."""


def spelled(target: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Spelled:
    """Return a call that does the same.

    Args:
        target: What torch.export recorded.
        args: Its arguments in order; nodes stand for tensors.
        kwargs: Its arguments by name.
    """
    given = {name: value for name, value in kwargs.items() if name not in _PLACES}
    as_it_is = Spelled("call_function", target, args, kwargs)
    namespace, _, name = target._schema.name.partition("::")
    if namespace == "torchvision":  # whose functions call the packet
        return _function(target.overloadpacket, *args, **kwargs)
    if namespace != "aten":
        return as_it_is
    resample = _RESAMPLE.fullmatch(name)
    if resample and target._overloadname == "vec":
        return _interpolate(resample, *args)
    if name in _RULES:
        return _RULES[name](*args, **given)
    if name in _BY_NAME:
        return _functional(target, args, given) or as_it_is
    return _generic(name, args, given) or as_it_is


def _function(target: Any, *args: Any, **kwargs: Any) -> Spelled:
    return Spelled("call_function", target, args, kwargs)


def _method(name: str, *args: Any, **kwargs: Any) -> Spelled:
    return Spelled("call_method", name, args, kwargs)


def _generic(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Spelled | None:
    """A function or method of the same name takes the same arguments, unless it is Python's."""
    if isinstance(getattr(F, name, None), FunctionType):
        return None
    for home in (torch._C._nn, torch):
        function = getattr(home, name, None)
        if isinstance(function, BuiltinFunctionType):
            return Spelled("call_function", function, args, kwargs)
    if args and callable(getattr(Tensor, name, None)):
        return Spelled("call_method", name, args, kwargs)
    return None


def _functional(
    target: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Spelled | None:
    """Call the function of torch.nn.functional, its arguments by name."""
    function = getattr(F, target._schema.name.partition("::")[2])
    names = [argument.name for argument in target._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    named = {_NAMES.get(name, name): v for name, v in given.items() if name not in _UNSAID}
    try:
        bound = inspect.signature(function).bind(**named)
    except TypeError:  # selu as an elu with a scale
        return None
    return Spelled("call_function", function, bound.args, bound.kwargs)


# one function a rule, with aten's own arguments


def _slice(input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Spelled:
    end = None if end == sys.maxsize else end
    start = None if isinstance(start, int) and start == 0 else start
    if (start, end, step) == (None, None, 1):
        return Spelled("", gives=input)
    part = slice(start, end, None if step == 1 else step)
    index = (*[slice(None)] * dim, part) if dim >= 0 else (..., part, *[slice(None)] * (-dim - 1))
    return _function(operator.getitem, input, index)


def _places(indices: list[Any]) -> Any:
    index = tuple(slice(None) if item is None else item for item in indices)
    return index[0] if len(index) == 1 else index


def _index(input: Any, indices: list[Any]) -> Spelled:
    return _function(operator.getitem, input, _places(indices))


def _index_put(input: Any, indices: list[Any], values: Any, accumulate: bool = False) -> Spelled:
    if accumulate:
        return _method("index_put_", input, tuple(indices), values, accumulate=True)
    call = (input, _places(indices), values)
    return Spelled("call_function", operator.setitem, call, gives=input)


def _to(input: Any, *args: Any, dtype: Any = None, copy: bool = False, **_: Any) -> Spelled:
    """What follows the element type is whether to wait, and whether to copy."""
    if args and isinstance(args[0], fx.Node):
        return _method("to", input, args[0])
    at = next((i for i, arg in enumerate(args) if isinstance(arg, torch.dtype)), None)
    dtype, copy = (dtype, copy) if at is None else (args[at], copy or args[at + 2 :][:1] == (True,))
    if dtype is None:
        return _method("clone", input) if copy else Spelled("", gives=input)
    return _method("to", input, dtype, **({"copy": True} if copy else {}))


def _itself(input: Any, *_: Any, **__: Any) -> Spelled:
    return Spelled("", gives=input)


def _clone(input: Any, *_: Any, **__: Any) -> Spelled:
    return _method("clone", input)


def _fill(input: Any, value: Any) -> Spelled:
    # a number that was written becomes a constant tensor, which has to be spread
    return _method("fill_" if isinstance(value, int | float) else "copy_", input, value)


def _pool(name: str) -> _Rule:
    def rule(input: Any, kernel_size: Any, stride: Any = None, *rest: Any) -> Spelled:
        home = torch._C._nn if hasattr(torch._C._nn, name) else torch
        return _function(getattr(home, name), input, kernel_size, stride or kernel_size, *rest)

    return rule


def _grid_sampler(input: Any, grid: Any, mode: int, padding: int, align: bool) -> Spelled:
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    return _function(F.grid_sample, input, grid, modes[mode], paddings[padding], align)


def _spread(function: Callable[..., Any]) -> _Rule:
    """A function whose tensors are arguments of their own and not a list."""

    def rule(*args: Any, **kwargs: Any) -> Spelled:
        *first, tensors = args
        return _function(function, *first, *tensors, **kwargs)

    return rule


_RESAMPLE = re.compile(
    r"_?upsample_(nearest|nearest_exact|linear|bilinear|trilinear|bicubic)[123]d(_aa)?"
)


def _interpolate(match: re.Match[str], input: Any, size: Any, *rest: Any) -> Spelled:
    *align, scale = rest
    options: dict[str, Any] = {"mode": match[1].replace("_", "-")}
    if align:
        options["align_corners"] = align[0]
    if match[2]:
        options["antialias"] = True
    return _function(F.interpolate, input, size, scale, **options)


_RULES: dict[str, _Rule] = {
    "slice": _slice,
    "index": _index,
    "index_put_": _index_put,
    "to": _to,
    "_to_copy": _to,
    "alias": _itself,
    "lift_fresh": _itself,
    "detach_": _itself,
    "lift_fresh_copy": _clone,
    "clone": _clone,
    "fill_": _fill,
    "sym_size": lambda input, dim: _method("size", input, dim),
    "item": lambda input: _method("item", input),
    "_local_scalar_dense": lambda input: _method("item", input),
    "einsum": lambda equation, tensors, **_: _function(torch.einsum, equation, *tensors),
    "meshgrid": _spread(torch.meshgrid),
    "broadcast_tensors": _spread(torch.broadcast_tensors),
    "block_diag": _spread(torch.block_diag),
    "split": lambda *args: _method("split", *args),
    "unfold": lambda *args: _method("unfold", *args),
    "linalg_vector_norm": lambda *args, **named: _function(
        torch.linalg.vector_norm, *args, **named
    ),
    "grid_sampler": _grid_sampler,
    "affine_grid_generator": lambda *args: _function(F.affine_grid, *args),
    "im2col": lambda *args: _function(F.unfold, *args),
    "col2im": lambda *args: _function(F.fold, *args),
    "__and__": lambda a, b: _function(operator.and_, a, b),
    "__or__": lambda a, b: _function(operator.or_, a, b),
    "__xor__": lambda a, b: _function(operator.xor, a, b),
    **{f"{kind}_pool{n}d": _pool(f"{kind}_pool{n}d") for kind in ("max", "avg") for n in (1, 2, 3)},
}
"""By name of the operation, whatever the overload; a rule has aten's own arguments."""
