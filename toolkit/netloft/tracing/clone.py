"""Copy a module, whole or its structure, in half the time that `copy.deepcopy` takes for it."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from netloft.errors import TraceError

__all__ = ["clone", "detached_copy", "private_copy", "sharing_copy"]

_IMMUTABLE = {type(None), bool, int, float, complex, str, bytes, type}
_HOLDERS = {dict, OrderedDict, set, list}


def clone(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return what `copy.deepcopy(module, memo)` does.

    A module is a dozen mostly empty dictionaries and a few numbers; those are made anew here, and
    whatever else hangs in it is left to `copy.deepcopy`, as is a class that copies itself.

    Args:
        module: The module.
        memo: Copies by `id` of the original, as for `copy.deepcopy`; what is in it is shared.
    """
    if id(module) in memo:
        known: nn.Module = memo[id(module)]
        return known
    if not _copies_plainly(type(module)):  # type: ignore[arg-type] # a class is hashable
        return copy.deepcopy(module, memo)
    made: nn.Module = type(module).__new__(type(module))
    memo[id(module)] = made
    state = made.__dict__
    for name, value in vars(module).items():
        state[name] = value if type(value) in _IMMUTABLE else _cloned(value, memo)
    state.pop("_compiled_call_impl", None)  # nn.Module's own copy leaves it out too
    return made


def _cloned(value: Any, memo: dict[Any, Any]) -> Any:
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind in _HOLDERS and not value:
        made = memo[id(value)] = kind()
        return made
    if kind is dict:
        made = memo[id(value)] = {}
        made.update({key: _cloned(item, memo) for key, item in value.items()})
        return made
    if isinstance(value, nn.Module):
        return clone(value, memo)
    if kind is torch.Tensor and _is_plain(value):
        return _cloned_tensor(value, memo)
    return copy.deepcopy(value, memo)


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        not tensor.requires_grad
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or vars(tensor))
    )


def _cloned_tensor(tensor: torch.Tensor, memo: dict[Any, Any]) -> torch.Tensor:
    """Copy a buffer as its `__deepcopy__` does; two that share memory do so again."""
    held, storage = memo.setdefault("torch", {}), tensor.untyped_storage()
    if storage._cdata not in held:
        held[storage._cdata] = storage.clone()  # type: ignore[no-untyped-call]
    place = tensor.storage_offset(), tensor.size(), tensor.stride()
    made = memo[id(tensor)] = tensor.new_empty(0).set_(held[storage._cdata], *place)
    return made


@functools.lru_cache(maxsize=256)
def _copies_plainly(cls: type[nn.Module]) -> bool:
    """Tell whether a class leaves copying to Python; PyTorch's own only fill in old files' gaps."""
    own = cls.__module__.startswith("torch.nn.modules.")
    return (
        not hasattr(cls, "__deepcopy__")
        and not hasattr(cls, "__slots__")
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and getattr(cls, "__getstate__", None) is getattr(nn.Module, "__getstate__", None)
        and (own or getattr(cls, "__setstate__", None) is nn.Module.__setstate__)
        and cls.__new__ is object.__new__
    )


def detached_copy(module: nn.Module) -> nn.Module:
    """Copy a module's structure and buffers and share its parameters.

    For a module whose forward is known to leave its parameters alone.
    """
    return sharing_copy(module, module)


def sharing_copy(module: nn.Module, holder: nn.Module) -> nn.Module:
    """Copy a module's structure and buffers and take the parameters of `holder`, a copy of it."""
    if holder is module:
        return _copied(module, {id(p): p for p in module.parameters()})
    held = dict(holder.named_parameters(remove_duplicate=False))
    named = module.named_parameters(remove_duplicate=False)
    return _copied(module, {id(p): held[name] for name, p in named})


def private_copy(module: nn.Module) -> nn.Module:
    """Copy a module whole: whatever its forward does, the original stays as it is."""
    return _copied(module, {})


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return clone(module, memo)
    except RuntimeError as error:  # a computed tensor hangs in the module (old weight_norm)
        raise TraceError(
            f"{type(module).__name__} cannot be copied: it holds a tensor that is computed, "
            "not a parameter",
            remedy="use torch.nn.utils.parametrizations in place of torch.nn.utils.weight_norm, "
            "or remove the parametrisation before the export",
        ) from error
