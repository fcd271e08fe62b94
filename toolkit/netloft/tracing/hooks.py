"""Forward hooks of leaf modules, which tracing would otherwise not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["Hooks", "has_hooks"]

Hook = Callable[..., Any]


def has_hooks(module: nn.Module) -> bool:
    """Tell whether something runs before or after a module's forward."""
    return bool(module._forward_pre_hooks or module._forward_hooks)


@dataclass(frozen=True)
class Hooks:
    """The hooks of one module, each with whether it takes the keyword arguments too."""

    pre: tuple[tuple[Hook, bool], ...]
    post: tuple[tuple[Hook, bool], ...]

    @classmethod
    def taken_from(cls, module: nn.Module) -> Hooks:
        """Take the hooks off a module and return them."""
        pre = (
            (h, i in module._forward_pre_hooks_with_kwargs)
            for i, h in module._forward_pre_hooks.items()
        )
        post = (
            (h, i in module._forward_hooks_with_kwargs) for i, h in module._forward_hooks.items()
        )
        found = cls(tuple(pre), tuple(post))
        module._forward_pre_hooks.clear()
        module._forward_hooks.clear()
        return found

    def before(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the hooks leave them; as `nn.Module.__call__` does it."""
        for hook, with_kwargs in self.pre:
            if with_kwargs:
                changed = hook(module, args, kwargs)
                args, kwargs = (args, kwargs) if changed is None else changed
            else:
                changed = hook(module, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def after(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> Any:
        """Return the result as the hooks leave it."""
        for hook, with_kwargs in self.post:
            given = (args, kwargs, result) if with_kwargs else (args, result)
            changed = hook(module, *given)
            result = result if changed is None else changed
        return result
