"""What stands for a tensor while a network is traced."""

from __future__ import annotations

import dis
import operator
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from torch import fx, nn

from netloft.graph.ops import op_of, writes

__all__ = ["RecordingProxy"]

_IN_PLACE = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"),
    *("and", "or", "xor", "lshift", "rshift"),
)
_RESHAPING = ("squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_")
"""Methods that write nothing: they give the tensor another shape."""

_MAY_RETURN_ITS_INPUT = {
    *("identity", "dropout", "feature_dropout", "stochastic_depth", "flatten", "to", "type"),
    *("type_as", "float", "double", "half", "bfloat16", "int", "long", "bool", "cpu", "cuda"),
}


class RecordingProxy(fx.Proxy):
    """A proxy that records in-place operators as such.

    fx's own turns `x += y` into `x = x + y`, which is another function where `x` has an alias.
    """

    def __getattr__(self, name: str) -> RecordingAttribute:
        return RecordingAttribute(self, name)

    def __iter__(self) -> Iterator[Any]:
        """Give the items where it is known how many are asked for: `a, b = x.shape`.

        fx's own reads the whole function's bytecode each time.
        """
        frame = sys._getframe(1)
        count = _unpacked(frame.f_code, frame.f_lasti)
        if count is None:
            return iter(self.tracer.iter(self))
        itself: Any = self
        return (itself[i] for i in range(count))

    def __setitem__(self, index: object, value: object) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})

    def __setattr__(self, name: str, value: object) -> None:
        # `x.data += 1` ends in `x.data = x.data`
        if name == "data" and not (isinstance(value, fx.Proxy) and _is_data_of(value, self)):
            raise fx.proxy.TraceError("the data of a tensor is replaced")
        super().__setattr__(name, value)


@cache
def _unpacked(code: CodeType, offset: int) -> int | None:
    """Tell into how many names the instruction at an offset unpacks, if it does."""
    for instruction in dis.get_instructions(code):
        if instruction.offset >= offset:
            return instruction.argval if instruction.opname == "UNPACK_SEQUENCE" else None
    return None


class RecordingAttribute(RecordingProxy, fx.proxy.Attribute):
    """An attribute of a tensor, such as `x.T`; a method where it is called."""


def _is_data_of(value: fx.Proxy, tensor: fx.Proxy) -> bool:
    written = value.node.args[0] if value.node.args else None
    return isinstance(written, fx.Node) and written.args == (tensor.node, "data")


def _in_place(name: str) -> Callable[[RecordingProxy, object], fx.Proxy]:
    target = getattr(operator, f"i{name}")

    def method(self: RecordingProxy, other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", target, (self, other), {})

    return method


def _reshaped(name: str) -> Callable[..., fx.Proxy]:
    def method(self: RecordingProxy, *args: object, **kwargs: object) -> fx.Proxy:
        if _has_other_names(self):
            return self.tracer.create_proxy("call_method", name, (self, *args), kwargs)
        view = self.tracer.create_proxy("call_method", name.rstrip("_"), (self, *args), kwargs)
        # every name of the tensor in the user's code is this very proxy
        self.node = view.node
        return self

    return method


def _has_other_names(tensor: RecordingProxy) -> bool:
    """Tell whether another node may stand for the very same tensor, not for a view of it."""
    root: nn.Module = getattr(tensor.tracer, "root")  # noqa: B009 - fx's base class hides it
    nodes = (tensor.node, *tensor.node.users)
    return any(writes(node, root) or op_of(node, root) in _MAY_RETURN_ITS_INPUT for node in nodes)


for _name in _IN_PLACE:
    setattr(RecordingProxy, f"__i{_name}__", _in_place(_name))
for _name in _RESHAPING:
    setattr(RecordingProxy, _name, _reshaped(_name))
