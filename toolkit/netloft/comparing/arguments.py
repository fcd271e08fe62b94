"""What a node of a traced graph is called with, in a form that can be compared."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import fx, nn
from torch.fx.operator_schemas import _torchscript_schema_to_signature

from netloft.comparing.plain import plain
from netloft.graph.annotation import Annotation
from netloft.graph.graph import Graph

__all__ = ["Arguments", "arguments_of", "bound_arguments"]


@dataclass(frozen=True)
class Arguments:
    """All that a call is given beside its weights.

    Attributes:
        spelling: How it is written: the class of a module, or the name of a function or method.
        named: Arguments by name, or by their place where the names are not known; a value of the
            graph stands as its number among those that the call reads, from the first on.
        complete: Whether all of it could be put so that equal means equal.
    """

    spelling: str
    named: Mapping[str, object]
    complete: bool


def arguments_of(node: fx.Node, graph: Graph) -> Arguments:
    """Return what a node of a traced graph is called with."""
    spell = _Spell()
    if node.op == "call_module":
        module = graph.module.get_submodule(str(node.target))
        named = dict(_constructed(module, spell))
        named |= {f"argument {i}": spell(a) for i, a in enumerate(node.args)}
        named |= {name: spell(a) for name, a in node.kwargs.items()}
        return Arguments(f"module {_class_of(module)}", named, not spell.opaque)
    if node.op not in ("call_function", "call_method"):
        return Arguments(node.op, {}, complete=True)
    bound = bound_arguments(node)
    # the order of the values is that of the call, however the names are sorted
    named = {name: spell(value, name) for name, value in bound.items()}
    named = {k: v for k, v in named.items() if not _says_nothing(k, v)}
    return Arguments(f"function {_name_of(node, spell)}", named, not spell.opaque)


_SILENT = ("inplace", "_stacklevel", "non_blocking", "memory_format", "copy")


def _says_nothing(name: str, value: object) -> bool:
    """Tell of defaults that some spellings lack; what a write in place does is in the wiring."""
    return value is None or name in _SILENT or (name == "alpha" and value == 1)


class _Spell:
    """Put values so that they can be compared.

    Attributes:
        opaque: Whether one of them could not be.
    """

    def __init__(self) -> None:
        self.opaque = False
        self._numbers: dict[fx.Node, int] = {}

    def __call__(self, value: Any, name: str = "") -> object:
        if isinstance(value, fx.Node):
            return self._node(value)
        if isinstance(value, slice):
            return ("slice", *(self(v) for v in (value.start, value.stop, value.step)))
        if isinstance(value, tuple | list):
            return plain(name, tuple(self(item) for item in value), exact=True)
        if isinstance(value, Mapping):
            return ("mapping", *((str(k), self(v)) for k, v in value.items()))
        if value is None or isinstance(value, str | bool | int | float):
            return plain(name, value, exact=True)
        return self._odd(value)

    def _node(self, node: fx.Node) -> object:
        record = node.meta.get("netloft")
        if isinstance(record, Annotation) and record.value is None:
            if record.plain is None:
                self.opaque = True
            return self(record.plain)  # a length that was computed
        kind = "weight" if node.op == "get_attr" else "value"
        return (kind, self._numbers.setdefault(node, len(self._numbers)))

    def _odd(self, value: Any) -> object:
        if value is Ellipsis:
            return "..."
        if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
            return str(value)
        if isinstance(value, complex):
            return ("complex", repr(value))
        if isinstance(value, torch.Tensor):
            data = value.detach().cpu().contiguous()
            digest = hashlib.sha256(data.view(-1).view(torch.uint8).numpy().tobytes())
            return ("tensor", tuple(data.shape), str(data.dtype), digest.hexdigest())
        if _is_torchs(value):
            return ("code", value.__module__, value.__qualname__)
        self.opaque = True
        return ("unknown", type(value).__name__)


def _is_torchs(value: object) -> bool:
    home = getattr(value, "__module__", None) or ""
    return hasattr(value, "__qualname__") and home.partition(".")[0] in ("torch", "torchvision")


_OF_TRAINING: Mapping[str, tuple[str, ...]] = {
    "Dropout": ("p", "inplace"),
    "StochasticDepth": ("p", "mode"),
    "BatchNorm": ("momentum", "track_running_stats"),
    "InstanceNorm": ("momentum",),
    "Embedding": ("padding_idx", "sparse", "scale_grad_by_freq"),
    "RNN": ("dropout",), "LSTM": ("dropout",), "GRU": ("dropout",),
    "MultiheadAttention": ("dropout",),
}  # fmt: skip
"""What says something in training alone, by how the name of the class begins or ends."""

_FROM_WEIGHTS = (
    "in_channels", "out_channels", "in_features", "out_features", "num_features", "training",
    "inplace",
)  # fmt: skip


def _constructed(module: nn.Module, spell: _Spell) -> Iterator[tuple[str, object]]:
    """Yield every attribute of a module, and of those in it, that has an effect."""
    for path, part in module.named_modules():
        kind = type(part).__name__
        if path:
            yield f"{path} class", _class_of(part)
        ignored = list(_FROM_WEIGHTS)
        if not part.training:
            for word, names in _OF_TRAINING.items():
                ignored += names if word in kind and kind != "EmbeddingBag" else ()
        elif "Norm" in kind or "Dropout" in kind or path == "":
            yield f"{path} training".strip(), True
        if vars(part).get("padding_mode", "zeros") != "zeros":
            yield "padding around", spell(getattr(part, "_reversed_padding_repeated_twice", None))
        for name, value in vars(part).items():
            if not name.startswith("_") and name not in ignored:
                yield (f"{path}.{name}" if path else name), spell(value, name)


def _class_of(module: nn.Module) -> str:
    """Return the nearest class of torch that a module is of."""
    for cls in type(module).__mro__:
        if cls.__module__.partition(".")[0] in ("torch", "torchvision"):
            return "" if cls is nn.Module else cls.__name__
    return ""


def _name_of(node: fx.Node, spell: _Spell) -> str:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    home = getattr(node.target, "__module__", None) or ""
    known = home.partition(".")[0] in ("", "torch", "torchvision", "_operator", "math", "builtins")
    if not known and not home.startswith("netloft"):
        spell.opaque = True  # code of one's own may differ under one name
        return f"{home}.{name}"
    plain_name = name.strip("_") if name.startswith("__") else name.rstrip("_")
    return _ALIASES.get(plain_name.partition(".")[0], plain_name.partition(".")[0])


_ALIASES = {
    "truediv": "div", "itruediv": "div", "iadd": "add", "isub": "sub", "imul": "mul",
    "multiply": "mul", "subtract": "sub", "concat": "cat", "ipow": "pow", "divide": "div",
}  # fmt: skip

_BINARY = ("add", "sub", "mul", "div", "pow", "matmul", "gt", "ge", "lt", "le", "eq", "ne")
_OPERANDS = ("input", "other")


def bound_arguments(node: fx.Node) -> dict[str, Any]:
    """Bind a call's arguments to names; by their place where nobody can tell the names."""
    args, kwargs = node.args, dict(node.kwargs)
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    short = name.partition(".")[0].strip("_")  # torch.ops has conv2d.default
    short = _ALIASES.get(short, short)
    if getattr(target, "__module__", "") == "_operator":
        names = _OPERANDS if short in _BINARY else tuple(f"argument {i}" for i in range(9))
        return {**dict(zip(names, args, strict=False)), **kwargs}
    names = _dispatched(short)
    if names:  # functions that hide their names behind a choice of what they return
        return {**dict(zip(names, args, strict=False)), **kwargs}
    found = None if isinstance(target, str) else _by_python(target, args, kwargs)
    tries = [args]
    if len(args) > 2 or (len(args) == 2 and not isinstance(args[1], tuple | list)):
        tries.append((args[0], args[1:]))  # x.permute(0, 2, 1)
    for given in tries:
        found = found or _by_schema(short, given, kwargs)
    if found is None:
        return {**{f"argument {i}": a for i, a in enumerate(args)}, **kwargs}
    rename = {"self": "input", "exponent": "other"}
    return {rename.get(key, key): value for key, value in found.items()}


def _dispatched(name: str) -> tuple[str, ...]:
    if name.startswith("max_pool"):
        return ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return ("input", "output_size") if name.startswith("adaptive_max_pool") else ()


def _by_python(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    signature = _python_signature(target)
    return None if signature is None else _try(signature, args, kwargs)


@cache
def _python_signature(target: Any) -> inspect.Signature | None:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return None
    kinds = {p.kind for p in signature.parameters.values()}
    loose = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return None if kinds & loose else signature


def _try(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


def _by_schema(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    for types, signature in _schemas(name):
        found = _try(signature, args, kwargs)
        if found is not None and all(_fits(types[k], v) for k, v in found.items()):
            return found
    return None


@cache
def _schemas(name: str) -> list[tuple[dict[str, str], inspect.Signature]]:
    found = []
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
        if any(argument.is_out for argument in schema.arguments):
            continue
        signature = _torchscript_schema_to_signature(schema)
        types = [str(argument.type) for argument in schema.arguments]
        found.append((dict(zip(signature.parameters, types, strict=True)), signature))
    return found


def _fits(kind: str, value: Any) -> bool:
    if value is None:
        return "Optional" in kind
    if isinstance(value, tuple | list):
        return "List" in kind and all(_fits(kind.replace("List", ""), v) for v in value)
    record = value.meta.get("netloft") if isinstance(value, fx.Node) else None
    if isinstance(record, Annotation) and record.value is not None:
        return "Tensor" in kind
    if isinstance(value, str):
        return "str" in kind or "Device" in kind
    return "Tensor" not in kind and "str" not in kind
