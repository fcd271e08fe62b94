"""A captured program as an fx graph like the one that torch.fx would have traced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from netloft.graph.annotation import ModuleCall, Source
from netloft.graph.graph import SideEffect
from netloft.tracing.source import describe, frame_in
from netloft.tracing.spelling import spelled

__all__ = ["CaptureError", "ProgramReader"]

# Checks that torch.export adds, and those that the network makes: a file has neither.
_CHECKS = ("_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_functional_assert_async",
           "sym_constrain_range", "sym_constrain_range_for_size")  # fmt: skip
_OWN_CHECKS = ("assert ", "torch._assert", "torch._check")


class CaptureError(Exception):
    """torch.export does not capture the network.

    Args:
        reason: Why not.
        source: `file.py:line` of the user's code, and the line's text.
        remedy: What to change, where that is not what torch.fx asks for.
    """

    def __init__(self, reason: str, source: str = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.source, self.remedy = source, remedy


class ProgramReader:
    """Copy a program's nodes, spelled as torch's public functions.

    Args:
        root: The network that was captured; it gets the constants that torch.export found.
        module: The program as a module.
        program: The program.
        inputs: Names of the inputs, in order.

    Attributes:
        side_effects: Checks that the network makes.
        called: Module calls that operations lie in, in order.
    """

    def __init__(
        self,
        root: nn.Module,
        module: fx.GraphModule,
        program: torch.export.ExportedProgram,
        inputs: tuple[str, ...],
    ) -> None:
        self._root, self._program = root, program
        self._module, self._inputs = module, iter(inputs)
        self._graph = fx.Graph()
        self._values: dict[fx.Node, Any] = {}
        self._weights: dict[int, fx.Node] = {}
        self.side_effects: list[SideEffect] = []
        self.called: list[ModuleCall] = []

    def read(self) -> fx.Graph:
        """Return the graph; each node's meta holds `netloft_calls` and `netloft_source`.

        Raises:
            CaptureError: The program holds what no graph of ours can.
        """
        results = self._read(self._module)
        nested = pytree.tree_unflatten(list(results), self._program.call_spec.out_spec)
        tracer = fx.Tracer()
        tracer.graph = self._graph
        proxies = pytree.tree_map_only(fx.Node, lambda node: fx.Proxy(node, tracer), nested)
        self._noted(self._graph.output(tracer.create_arg(proxies)), None)
        return self._graph

    def _read(self, module: fx.GraphModule) -> tuple[Any, ...]:
        """Copy the nodes of the program, or of a region inside of it; return what it gives."""
        result: Any = ()
        for node in module.graph.nodes:
            if node.op == "placeholder" and node not in self._values:
                made = self._graph.placeholder(next(self._inputs), type_expr=torch.Tensor)
                self._values[node] = self._noted(made, node)
            elif node.op == "call_function":
                self._values[node] = self._call(node, module)
            elif node.op == "output":
                result = self._mapped(node.args[0], module)
        return tuple(result)

    def _mapped(self, argument: Any, module: fx.GraphModule) -> Any:
        return fx.node.map_arg(argument, lambda node: self._value(node, module))

    def _value(self, node: fx.Node, module: fx.GraphModule) -> Any:
        if node.op != "get_attr":
            return self._values[node]
        found = _attribute(module, str(node.target))
        if id(found) not in self._weights:  # made here, right before its first reader
            made = self._graph.get_attr(self._home(str(node.target), found))
            self._weights[id(found)] = self._noted(made, node)
        return self._weights[id(found)]

    def _home(self, target: str, found: Any) -> str:
        """Return where the root holds something; it takes what it does not hold yet."""
        try:
            if _attribute(self._root, target) is found:
                return target
        except AttributeError:
            pass
        name = target.replace(".", "_")
        while hasattr(self._root, name):
            name += "_"
        setattr(self._root, name, found)
        return name

    def _call(self, node: fx.Node, module: fx.GraphModule) -> Any:
        target = node.target
        if target is torch.ops.higher_order.wrap_with_set_grad_enabled:
            return self._region(node, module)
        if target is torch.ops.higher_order.wrap_with_autocast:
            raise CaptureError("it runs a part under autocast", describe(_source(node)))
        name = target._schema.name.partition("::")[2] if isinstance(target, OpOverload) else ""
        if name in _CHECKS:
            self._note_check(node)
            return None
        args = self._mapped(node.args, module)
        kwargs = self._mapped(node.kwargs, module)
        if not isinstance(target, OpOverload):
            assert callable(target)
            return self._noted(self._graph.call_function(target, args, kwargs), node)
        call = spelled(target, args, kwargs)
        result = call.gives
        if call.op:
            made = self._graph.create_node(call.op, call.target, call.args, dict(call.kwargs))
            self._noted(made, node)
            result = made if result is None else result
        return result

    def _region(self, node: fx.Node, module: fx.GraphModule) -> tuple[Any, ...]:
        """Copy what stands under `torch.enable_grad()` or its like: a file knows no gradients."""
        _, inner, *operands = node.args
        assert isinstance(inner, fx.Node)
        region = _attribute(module, str(inner.target))
        places = [n for n in region.graph.nodes if n.op == "placeholder"]
        self._values |= dict(zip(places, self._mapped(operands, module), strict=True))
        return self._read(region)

    def _note_check(self, node: fx.Node) -> None:
        source = _source(node)
        if source is not None and any(text in source.text for text in _OWN_CHECKS):
            self.side_effects.append(SideEffect("assert", source))

    def _noted(self, made: fx.Node, node: fx.Node | None) -> fx.Node:
        root = ModuleCall("", type(self._root).__name__)
        stack = {} if node is None else node.meta.get("nn_module_stack") or {}
        calls = _calls(stack)
        self.called += [call for call in calls if call not in self.called]
        made.meta["netloft_calls"] = (root, *calls)
        made.meta["netloft_source"] = None if node is None else _source(node)
        return made


def _attribute(module: nn.Module, target: str) -> Any:
    path, _, name = target.rpartition(".")
    return getattr(module.get_submodule(path), name)


def _source(node: fx.Node) -> Source | None:
    return frame_in(str(node.meta.get("stack_trace") or ""))


def _calls(stack: Mapping[str, tuple[str, Any]]) -> list[ModuleCall]:
    """Read `{"fc@1": ("fc", "torch.nn.modules.linear.Linear")}`: the second call of `fc`."""
    return [
        ModuleCall(
            path, str(kind).rpartition(".")[2], int(key.rpartition("@")[2] if "@" in key else 0)
        )
        for key, (path, kind) in stack.items()
        if path and not path.startswith("_empty_nn_module_stack")
    ]
