"""Run a graph on tensors that have a shape and no data."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import TraceError, first_line
from netloft.graph.ops import writes
from netloft.tracing.memo import Memo
from netloft.tracing.shape_rules import (
    FUNCTION_RULES,
    NAMED,
    NAMED_FUNCTIONS,
    SHAPE_RULES,
    NoAnswer,
    has_channels_last,
)
from netloft.tracing.source import describe

__all__ = ["Dataless", "FakeInterpreter", "Steps", "Values"]


@dataclass(frozen=True)
class Values:
    """What one run gave.

    Attributes:
        values: What each node gave, by node name.
        result: What the whole graph gave.
    """

    values: Mapping[str, Any]
    result: Any


class Dataless:
    """Run one graph at several batch sizes.

    First on the meta device, where one operation costs some microseconds and the plainest modules
    have a rule of their own; where an operation has no meta kernel, under `FakeTensorMode`, which
    knows more and takes ten times as long.

    Args:
        module: The graph.
        inputs: Example inputs by name, batch first.
        known: Runs that were made before, by batch size.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        inputs: Mapping[str, torch.Tensor],
        known: Mapping[int, Values] = MappingProxyType({}),
    ) -> None:
        self._module, self._inputs, self._known = module, inputs, known
        self._meta: _Meta | None = _Meta(module)

    def run(self, size: int) -> Values:
        """Run with `size` items in the batch.

        Raises:
            TraceError: The graph fails; the message names the line.
        """
        if size in self._known:
            return self._known[size]
        if self._meta is not None:
            try:
                return self._meta.values_of(self._on_meta(size))
            except Exception:  # noqa: BLE001 - the slower run tells what is wrong, if anything is
                self._meta = None
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fakes = [mode.from_tensor(tensor) for tensor in self._sized(size, None)]
            return FakeInterpreter(self._module).values_of(fakes)

    def _on_meta(self, size: int) -> list[torch.Tensor]:
        return self._sized(size, "meta")

    def _sized(self, size: int, device: str | None) -> list[torch.Tensor]:
        return [_sized(tensor, size, device) for tensor in self._inputs.values()]


class Steps:
    """Run nodes one by one, while they are made, for several shapes of the inputs.

    Args:
        module: Whose modules and weights the nodes read.
        variants: Inputs by name, each time of other lengths.
    """

    def __init__(self, module: nn.Module, variants: Sequence[Mapping[str, torch.Tensor]]) -> None:
        self._meta = _Meta(module, fx.Graph())
        self._variants = variants
        self._environments: list[dict[fx.Node, Any]] = [{} for _ in variants]
        self._seen: list[dict[str, Any]] = [{} for _ in variants]
        self._alike: set[fx.Node] = set()  # what no input reaches: made of weights alone

    def run(self, node: fx.Node) -> list[Any]:
        """Return what a node gives for each variant."""
        if node.op != "placeholder" and self._alike.issuperset(node.all_input_nodes):
            return self._run_once(node)
        self._part_written(node)
        for inputs, environment, seen in zip(
            self._variants, self._environments, self._seen, strict=True
        ):
            self._meta.env, self._meta.values = environment, seen
            if node.op == "placeholder":
                environment[node] = seen[node.name] = inputs[str(node.target)].to("meta")
            else:
                environment[node] = self._meta.run_node(node)
        return [environment[node] for environment in self._environments]

    def _part_written(self, node: fx.Node) -> None:
        """Give each variant a tensor of its own of what a node writes to as its input says."""
        shared = self._alike.intersection(node.all_input_nodes)
        if not shared or not writes(node, self._meta.module):
            return
        self._alike -= shared
        for environment in self._environments[1:]:
            for operand in shared:
                value = environment[operand]
                if isinstance(value, torch.Tensor):
                    environment[operand] = value.clone()

    def _run_once(self, node: fx.Node) -> list[Any]:
        self._alike.add(node)
        first, seen = self._environments[0], self._seen[0]
        self._meta.env, self._meta.values = first, seen
        first[node] = self._meta.run_node(node)
        for environment, others in zip(self._environments[1:], self._seen[1:], strict=True):
            environment[node], others[node.name] = first[node], seen[node.name]
        return [first[node]] * len(self._environments)

    def whole(self, graph: fx.Graph) -> list[Values] | None:
        """Return what each variant gave, for a graph whose nodes have run; None if one has not."""
        *nodes, output = graph.nodes
        if any(node not in environment for environment in self._environments for node in nodes):
            return None
        found = []
        for environment, seen in zip(self._environments, self._seen, strict=True):
            self._meta.env, self._meta.values = environment, seen
            result = self._meta.run_node(output)
            found.append(Values({node.name: seen[node.name] for node in graph.nodes}, result))
        return found


def _sized(tensor: torch.Tensor, size: int, device: str | None) -> torch.Tensor:
    return tensor.new_empty((size, *tensor.shape[1:]) if tensor.dim() else (), device=device)


class _Recorder(fx.Interpreter):
    """Write down what each node gives."""

    def __init__(self, module: nn.Module, graph: fx.Graph | None = None) -> None:
        super().__init__(module, graph=graph)
        self.values: dict[str, Any] = {}

    def values_of(self, inputs: Sequence[torch.Tensor]) -> Values:
        """Run on inputs and return what each node gave."""
        self.values = {}
        with torch.no_grad():
            result = self.run(*inputs)
        return Values(self.values, result)

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note its result.

        Without what fx's own does around it for a graph that is traced while it runs.
        """
        known = self.env.__getitem__
        args = fx.map_arg(n.args, known)
        kwargs = fx.map_arg(n.kwargs, known) if n.kwargs else {}
        result = getattr(self, n.op)(n.target, args, kwargs)
        self.values[n.name] = _as_now(result)
        return result

    def fetch_attr(self, target: str) -> Any:
        """Return a module or a tensor of the network; one that is being traced answers slowly."""
        found: Any = self.module
        for name in target.split("."):
            modules = vars(found).get("_modules", {}) if isinstance(found, nn.Module) else {}
            found = modules[name] if name in modules else getattr(found, name)
        return found


def _as_now(result: Any) -> Any:
    """Return tensors that keep the shape they have now, whatever `unsqueeze_` does to it later."""
    if isinstance(result, torch.Tensor):
        return result.detach()
    if type(result) in (tuple, list):
        return type(result)(_as_now(item) for item in result)
    return result


class FakeInterpreter(_Recorder):
    """Run under a `FakeTensorMode` that is on."""

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; an error is told with the node's line."""
        try:
            return super().run_node(n)
        except Exception as error:
            raise TraceError(
                f"the graph does not run at every batch size: {first_line(error)}",
                node=n.name,
                source=describe(n.meta.get("netloft_source")),
                remedy="write sizes in terms of x.shape, or export with a fixed --batch N",
            ) from error


_BLIND = (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_BLIND_MODULES = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _require_known_layout(operands: Iterable[Any]) -> None:
    """Raise for channels that are last in memory, which these would keep, but not here."""
    if any(isinstance(value, torch.Tensor) and has_channels_last(value) for value in operands):
        raise NotImplementedError


class _Meta(_Recorder):
    """Run on the meta device; weights get there one at a time, when they are first read."""

    def __init__(self, module: nn.Module, graph: fx.Graph | None = None) -> None:
        super().__init__(module, graph)
        self._weights: dict[int, torch.Tensor] = {}
        self._called: dict[str, nn.Module] = {}
        self._modules: dict[str, nn.Module] = {}
        self._memo = Memo()

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply the module's rule; run it on meta weights where it has none."""
        module = self._called.get(target)
        if module is None:
            module = self._called[target] = self.fetch_attr(target)
        rule = SHAPE_RULES.get(type(module))
        if rule is not None and (not kwargs or type(module) in NAMED) and not _hooked(module):
            return rule(module, *args, **kwargs)
        if isinstance(module, _BLIND_MODULES):
            _require_known_layout((*args, module.weight))
        if target not in self._modules:
            memo: dict[int, Any] = {}
            for tensor in (*module.parameters(), *module.buffers()):
                memo[id(tensor)] = self._on_meta(tensor)
            self._modules[target] = copy.deepcopy(module, memo)
        return self._modules[target](*args, **kwargs)

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a weight without its data."""
        found = super().get_attr(target, args, kwargs)
        return self._on_meta(found) if isinstance(found, torch.Tensor) else found

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply the function's rule; call it where it has none, or remember what it gave."""
        rule = FUNCTION_RULES.get(target)
        if rule is not None and (not kwargs or target in NAMED_FUNCTIONS):
            with contextlib.suppress(NoAnswer):  # an unlike pair, which PyTorch's kernel answers
                return rule(*args, **kwargs)
        return self._memo.call(target, lambda: _called(target, args, kwargs), args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method, or remember what it gave."""
        itself, *others = args
        method: Callable[[], Any] = lambda: getattr(itself, target)(*others, **kwargs)  # noqa: E731
        return self._memo.call(target, method, args, kwargs)

    def _on_meta(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self._weights:
            empty = torch.empty_like(tensor, device="meta")
            made = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
            self._weights[id(tensor)] = made
        return self._weights[id(tensor)]


def _called(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function; numbers are made a tensor on the meta device."""
    function: Callable[..., Any] = target
    if target in _BLIND:
        _require_known_layout((*args, *kwargs.values()))
    if _reads_tensors(args) or _reads_tensors(tuple(kwargs.values())):
        return function(*args, **kwargs)
    with torch.device("meta"):
        return function(*args, **kwargs)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _reads_tensors(arguments: Any) -> bool:
    if isinstance(arguments, tuple | list):
        return any(_reads_tensors(item) for item in arguments)
    return isinstance(arguments, torch.Tensor)
