"""Symbolic tracing that keeps module calls, source lines and in-place writes."""

from __future__ import annotations

import builtins
import contextlib
import inspect
import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import fx, nn

from netloft.errors import InputError, TraceError, first_line
from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import SideEffect
from netloft.graph.ops import writes
from netloft.tracing.constants import Watched, fresh_constants
from netloft.tracing.helpers import HelperMetError, is_helper
from netloft.tracing.hooks import Hooks, has_hooks
from netloft.tracing.origins import current_origin
from netloft.tracing.proxies import RecordingProxy
from netloft.tracing.source import current_source, describe, raised_at

__all__ = ["Tracer", "bind_inputs", "disarm_names", "remove_dead"]

_FACTORIES = ("zeros", "ones", "full", "empty", "arange", "linspace", "eye", "tensor")
_PLAIN = {int, float, bool, str, type(None), type(Ellipsis), torch.dtype, torch.device}
"""What a node may hold as it is."""


def bind_inputs(
    module: nn.Module, example_inputs: tuple[Any, ...] | Mapping[str, Any]
) -> dict[str, Any]:
    """Bind example inputs to the parameter names of `module.forward`.

    Args:
        module: The network.
        example_inputs: In order, or by name.

    Raises:
        InputError: They do not fit the signature, or one is not a tensor.
    """
    signature = inspect.signature(module.forward)
    try:
        if isinstance(example_inputs, Mapping):
            bound = signature.bind(**example_inputs)
        else:
            bound = signature.bind(*example_inputs)
    except TypeError as error:
        raise InputError(
            f"the inputs do not fit {type(module).__name__}.forward{signature}: {error}",
            remedy="give one --input for each required argument",
        ) from error
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            raise InputError(
                f"{type(module).__name__}.forward{signature} takes '{name}' without a name",
                remedy="put the network into a module whose forward names its inputs",
            )
        named.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    for name, value in named.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"input '{name}' is a {type(value).__name__}, and a graph's inputs are tensors",
                remedy="wrap the network in a module whose forward takes tensors only",
            )
    return {name: tensor.detach() for name, tensor in named.items()}


class Tracer(fx.Tracer):
    """Trace a module into an fx graph.

    Every node carries `netloft_calls` (the module calls around it) and `netloft_source` in its
    meta. Prints are recorded and not carried out.

    Args:
        inputs: Example inputs by name.
        buffers: Record reads of buffers too, so that one may be indexed with a size.
        helpers: Record a call of a helper (`helpers.py`) as one operation; stop there without.
    """

    def __init__(
        self,
        inputs: Mapping[str, torch.Tensor],
        *,
        buffers: bool = False,
        helpers: bool = True,
    ) -> None:
        super().__init__()
        self._helpers = helpers
        self.proxy_buffer_attributes = buffers
        self._inputs = inputs
        self._calls: list[ModuleCall] = []
        self._count: Counter[str] = Counter()
        self.called: list[ModuleCall] = []
        self._known: set[ModuleCall] = set()
        self.side_effects: list[SideEffect] = []
        self._hooks: dict[int, Hooks] = {}
        self._constants = Watched()
        self._parameters: dict[int, str] = {}
        self._buffers: dict[int, str] = {}

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Record the read of a parameter; fx's own looks through all of them for each."""
        if not isinstance(attr_val, torch.Tensor):
            return attr_val
        name = self._parameters.get(id(attr_val))
        if name is None:
            return super().getattr(attr, attr_val, parameter_proxy_cache)
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def forget(self) -> None:
        """Let go of what was only needed to trace.

        A tracer and its proxies refer to each other in a circle, and thousands of tensors that only
        the garbage collector finds cost it a tenth of the time of a trace.
        """

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node in the proxy that sees in-place operators."""
        return RecordingProxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Let an assertion on sizes or values hold, and note that the graph leaves it out."""
        source = current_source()
        if source is not None and source.text.startswith("assert "):
            self.side_effects.append(SideEffect("assert", source))
            return True
        return super().to_bool(obj)

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Make a placeholder for each given input; the rest keep their defaults."""
        proxies = {
            name: self.create_proxy("placeholder", name, (), {}, type_expr=torch.Tensor)
            for name in self._inputs
        }

        def call(module: nn.Module) -> Any:
            return root_fn(module, **proxies)

        return call, [self.root]

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Go through `m`, or record the call of a leaf, and keep the stack of module calls."""
        path = self.path_of_module(m)
        if current_origin() is not None:
            return self.create_proxy("call_module", path, args, kwargs)
        call = ModuleCall(path, type(m).__name__, self._count[path])
        self._count[path] += 1
        self.called.append(call)
        self._calls.append(call)
        try:
            leaf = self.is_leaf_module(m, path)
            if id(m) in self._hooks or (leaf and has_hooks(m)):
                return self._call_hooked(m, forward, args, kwargs)
            # without the scopes that fx's own keeps beside these calls, and copies for each node
            if leaf:
                return self.create_proxy("call_module", path, args, kwargs)
            return forward(*args, **kwargs)
        finally:
            self._calls.pop()

    def _call_hooked(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Record what the hooks of a leaf do as operations of their own, around the leaf.

        The leaf that the graph calls, which is our copy, loses them, or they would run twice.
        """
        if id(m) not in self._hooks:
            self._hooks[id(m)] = Hooks.taken_from(m)
        hooks = self._hooks[id(m)]
        args, kwargs = hooks.before(m, args, kwargs)
        result = self.create_proxy("call_module", self.path_of_module(m), args, kwargs)
        return hooks.after(m, args, kwargs, result)

    def create_arg(self, a: Any) -> Any:
        """Record what is read of a tensor that is there already; what is plain stays so."""
        if type(a) in _PLAIN:
            return a
        if type(a) in (tuple, list):
            return type(a)([self.create_arg(item) for item in a])
        if isinstance(a, fx.Proxy):
            return a.node
        if isinstance(a, torch.Tensor):
            self._constants.read(a)
            if not isinstance(a, nn.Parameter):
                return self.create_node("get_attr", self._name_of_tensor(a), (), {})
        return super().create_arg(a)

    def _name_of_tensor(self, tensor: torch.Tensor) -> str:
        """Name a buffer, or keep a tensor; fx looks through all modules for each read."""
        path, _, name = self._buffers.get(id(tensor), "").rpartition(".")
        if name and self.root.get_submodule(path)._buffers.get(name) is tensor:
            return self._buffers[id(tensor)]
        if tensor not in self.tensor_attrs:
            kept = self.get_fresh_qualname("_tensor_constant")
            setattr(self.root, kept, tensor)
            self.tensor_attrs[tensor] = kept
        return self.tensor_attrs[tensor]

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Give the node its module calls and its line."""
        node = super().create_node(*args, **kwargs)
        if not self._helpers and is_helper(node.target):
            raise HelperMetError
        origin = current_origin()
        if origin is None:
            node.meta["netloft_calls"] = tuple(self._calls)
            node.meta["netloft_source"] = current_source()
        else:
            node.meta["netloft_calls"], node.meta["netloft_source"] = origin.calls, origin.source
            self.called += [call for call in origin.calls[1:] if call not in self._known]
            self._known.update(origin.calls)
        return node

    @contextlib.contextmanager
    def _recorded_factories(self) -> Iterator[None]:
        """Record `torch.ones(x.shape[0], 3)`, whose only proxies are numbers."""
        with contextlib.ExitStack() as stack:
            for name in _FACTORIES:
                recorded = self._factory(getattr(torch, name))
                stack.enter_context(mock.patch.object(torch, name, recorded))
            yield

    def _factory(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            flat = [*args, *kwargs.values()]
            flat += [item for value in flat if isinstance(value, tuple | list) for item in value]
            if any(isinstance(item, fx.Proxy) for item in flat):
                return self.create_proxy("call_function", function, args, kwargs)
            return function(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def _recorded_prints(self) -> Iterator[None]:
        def record(*_: object, **__: object) -> None:
            self.side_effects.append(SideEffect("print", current_source()))

        with mock.patch.object(builtins, "print", record):
            yield

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """Trace, and turn whatever stops it into a `TraceError` with the user's line."""
        self._calls = [ModuleCall("", type(root).__name__)]
        self._parameters = {id(tensor): name for name, tensor in root.named_parameters()}
        self._buffers = {id(tensor): name for name, tensor in root.named_buffers()}
        try:
            with self._recorded_prints(), self._recorded_factories():
                graph = super().trace(root, concrete_args)
            fresh_constants(graph, self.root)
        except (TraceError, HelperMetError):
            raise
        except (Exception, SystemExit) as error:
            raise TraceError(
                f"{type(root).__name__} cannot be traced: {_reason(error)}",
                source=describe(raised_at(error)),
                remedy=_remedy(error),
            ) from error
        return graph


def _reason(error: BaseException) -> str:
    text = first_line(error)
    if isinstance(error, fx.proxy.TraceError) and "cannot be iterated" in text:
        return "it goes through a tensor item by item"
    if isinstance(error, fx.proxy.TraceError) and "control flow" in text:
        return "the path taken depends on the values or the size of a tensor"
    # the rest is advice on torch.fx
    return re.sub(r"'\w*Proxy'( object)?", "a traced value", text.partition(". If you want")[0])


def _remedy(error: BaseException) -> str:
    if isinstance(error, fx.proxy.TraceError) and "cannot be iterated" in str(error):
        return (
            "export with a fixed --batch N, so that the number of items is known, or put the "
            "network into a module whose forward takes each item as an input of its own"
        )
    if isinstance(error, fx.proxy.TraceError) and "control flow" in str(error):
        return (
            "write the choice with torch.where, or move it out of forward; "
            "a graph has one path for every input"
        )
    return (
        "keep this line to tensor operations: int(), len(), float(), numpy and loops over a tensor "
        "need its value at trace time; and see that the module runs on the example input"
    )


def disarm_names(graph: fx.Graph, root: nn.Module) -> None:
    """Give modules and tensors with odd names plain ones inside of the graph.

    fx writes a node's target into Python source without escaping it, so a name with a quote
    could carry code. The annotations keep the names as they are.
    """
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        target = str(node.target)
        if node.op not in ("call_module", "get_attr") or _is_plain(target):
            continue
        if target not in renamed:
            renamed[target] = f"renamed_{len(renamed)}"
            path, _, name = target.rpartition(".")
            owner = root.get_submodule(path)
            found = owner._modules.get(name, None) or getattr(owner, name)
            setattr(root, renamed[target], found)
        node.target = renamed[target]


def _is_plain(target: str) -> bool:
    parts = target.split(".")
    return all(
        part.isdecimal() or (part.isidentifier() and not keyword.iskeyword(part)) for part in parts
    )


def remove_dead(graph: fx.Graph, root: nn.Module) -> list[fx.Node]:
    """Erase nodes that nothing reads, but for in-place writes; return what was erased."""
    erased = []
    for node in reversed(graph.nodes):
        if node.op in ("placeholder", "output") or node.users:
            continue
        if writes(node, root):
            continue
        graph.erase_node(node)
        erased.append(node)
    return erased
