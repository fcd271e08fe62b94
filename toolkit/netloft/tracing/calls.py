"""Which modules a network calls, and how, seen while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netloft.graph.annotation import ModuleCall

__all__ = ["Calls", "watch_calls"]


@dataclass
class Calls:
    """The module calls of one forward pass.

    Attributes:
        made: All below the root, in order.
        plain: Those that take one tensor and nothing else, and give one tensor.
    """

    made: list[ModuleCall] = field(default_factory=list)
    plain: set[ModuleCall] = field(default_factory=set)


def watch_calls(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Calls:
    """Run a module on inputs, and note which modules it calls.

    Args:
        module: A copy of our own, for hooks are put on it.
        inputs: By name.
    """
    calls, counted, open_calls = Calls(), Counter[str](), list[ModuleCall]()

    def enter(path: str, name: str) -> None:
        call = ModuleCall(path, name, counted[path])
        counted[path] += 1
        calls.made.append(call)
        open_calls.append(call)

    def leave(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        call = open_calls.pop()
        one = len(args) == 1 and isinstance(args[0], torch.Tensor) and not kwargs
        if one and isinstance(result, torch.Tensor):
            calls.plain.add(call)

    for path, child in module.named_modules():
        if path:
            _hook(child, path, enter, leave)
    with torch.no_grad():
        module(**{name: tensor.clone() for name, tensor in inputs.items()})
    return calls


def _hook(module: nn.Module, path: str, enter: Any, leave: Any) -> None:
    name = type(module).__name__
    module.register_forward_pre_hook(lambda *_: enter(path, name), prepend=True)
    module.register_forward_hook(
        lambda _, args, kwargs, result: leave(args, kwargs, result), with_kwargs=True
    )
