"""What goes into a model: shapes as text, given shapes, and the shapes that a model states."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from netloft.defaults import MAX_ELEMENTS
from netloft.errors import InputError
from netloft.models.loaded import InputSpec

__all__ = [
    "bind_names",
    "forward_names",
    "missing_inputs",
    "parse_input",
    "required_names",
    "stated_inputs",
    "stated_preprocess",
]

_DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
)  # fmt: skip
"""What an input may be: torch has them, ONNX has them, and the noise for them is known."""
_SHORT = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "int": "int32",
    "long": "int64",
}


def parse_input(text: str, option: str = "--input") -> InputSpec:
    """Read `[NAME=]1x3x224x224[:dtype]`.

    Args:
        text: The shape, batch first.
        option: Where it was written, for the message.

    Raises:
        InputError: It reads otherwise.
    """
    match = re.fullmatch(r"(?:(\w+)=)?([0-9]+(?:x[0-9]+)*)(?::(\w+))?", text.strip())
    if not match:
        raise InputError(
            f"{option} {text!r} is not a shape",
            remedy="write it as 1x3x224x224, image=1x3x224x224 or 1x128:int64, batch first",
        )
    name, shape, dtype = match.groups()
    longest = len(str(MAX_ELEMENTS))
    digits = [length.lstrip("0") for length in shape.split("x")]
    lengths = tuple(int(length or "0") if len(length) <= longest else 0 for length in digits)
    if max(map(len, digits)) > longest or math.prod(lengths[1:]) > MAX_ELEMENTS:
        raise InputError(
            f"{option} {text!r} has more than {MAX_ELEMENTS:,} elements in one item",
            remedy="give a smaller shape",
        )
    if 0 in lengths:
        raise InputError(f"{option} {text!r} has a length of 0", remedy="give lengths of 1 or more")
    full = _SHORT.get(dtype, dtype) if dtype else "float32"
    if full not in _DTYPES:
        raise InputError(
            f"{dtype!r} is not an element type of inputs", remedy=f"use one of {', '.join(_DTYPES)}"
        )
    return InputSpec(name or "", lengths, full)


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    return list(inspect.signature(module.forward).parameters.values())


def forward_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the arguments that `forward` takes, in order."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in _parameters(module) if p.kind in named)


def required_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the arguments without which `forward` cannot be called."""
    names = forward_names(module)
    return tuple(p.name for p in _parameters(module) if p.name in names and p.default is p.empty)


def bind_names(module: nn.Module, inputs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """Give every input the name of the argument of `forward` that it is for.

    Args:
        module: The network.
        inputs: In any order; those without a name take the free names in `forward`'s order.

    Returns:
        The inputs, in the order of `forward`'s arguments.

    Raises:
        InputError: A name is not one of `forward`'s, is given twice, or there are too many inputs.
    """
    names = forward_names(module)
    variadic = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _parameters(module))
    given = [spec.name for spec in inputs if spec.name]
    for name in given:
        if given.count(name) > 1:
            raise InputError(f"input '{name}' is given twice", remedy="give each input once")
        if name not in names and not variadic:
            raise _no_such_input(module, name, names)
    free = [name for name in names if name not in given]
    unnamed = [spec for spec in inputs if not spec.name]
    if len(unnamed) > len(free):
        raise InputError(
            f"{type(module).__name__}.forward takes {_list(names) or 'no named arguments'}, "
            f"and {len(inputs)} inputs are given",
            remedy="give one --input for each argument, or wrap the network in a module whose "
            "forward names them",
        )
    pairs = zip(unnamed, free, strict=False)
    bound = {name: InputSpec(name, spec.shape, spec.dtype) for spec, name in pairs}
    bound |= {spec.name: spec for spec in inputs if spec.name}
    ordered = [name for name in names if name in bound]
    ordered += [name for name in bound if name not in names]
    return tuple(bound[name] for name in ordered)


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _no_such_input(module: nn.Module, name: str, names: Sequence[str]) -> InputError:
    remedy = f"it takes {_list(names)}" if names else "name the arguments of forward"
    return InputError(f"{type(module).__name__}.forward has no argument '{name}'", remedy=remedy)


def stated_inputs(module: nn.Module) -> tuple[InputSpec, ...]:
    """Return what the module says of its inputs in `netloft_inputs`; empty where it does not.

    Raises:
        InputError: `netloft_inputs` is not a sequence of shapes such as ("1x3x224x224",).
    """
    stated = getattr(module, "netloft_inputs", ())
    if isinstance(stated, str):
        stated = (stated,)
    if not isinstance(stated, list | tuple):
        raise InputError(
            f"{type(module).__name__}.netloft_inputs is a {type(stated).__name__}",
            remedy='write it as netloft_inputs = ("1x3x224x224",)',
        )
    return tuple(
        spec if isinstance(spec, InputSpec) else parse_input(str(spec), "netloft_inputs")
        for spec in stated
    )


def stated_preprocess(module: nn.Module) -> Mapping[str, object]:
    """Return what the module says of its photographs in `netloft_preprocess`; empty if nothing.

    Raises:
        InputError: It is not a dict, or a key or value is not as docs/models.md says.
    """
    stated = getattr(module, "netloft_preprocess", {})
    if not isinstance(stated, Mapping) or set(stated) - set(_PREPROCESS):
        raise InputError(
            f"{type(module).__name__}.netloft_preprocess is not a dict of {', '.join(_PREPROCESS)}",
            remedy='write it as netloft_preprocess = {"mean": (…, …, …), "std": (…, …, …)}',
        )
    wrong = [key for key, value in stated.items() if not _PREPROCESS[key](value)]
    if wrong:
        raise InputError(
            f"{type(module).__name__}.netloft_preprocess has {wrong[0]} = {stated[wrong[0]]!r}",
            remedy="resize and crop are pixels, mean and std are numbers for each channel, "
            "std above 0, and interpolation is nearest, bilinear or bicubic",
        )
    return stated


def _is_pixels(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _are_numbers(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(number, int | float) for number in value)
    )


_PREPROCESS: Mapping[str, Callable[[Any], bool]] = {
    "resize": _is_pixels,
    "crop": _is_pixels,
    "mean": _are_numbers,
    "std": lambda value: _are_numbers(value) and min(value) > 0,
    "interpolation": lambda value: value in ("nearest", "bilinear", "bicubic"),
}
"""What a module may say of its photographs, and what is a fit value."""


def missing_inputs(module: nn.Module, spec: str) -> InputError:
    """Return the error for a model whose inputs nobody has stated."""
    names = required_names(module) or ("x",)
    example = " ".join(
        f"--input {name + '=' if len(names) > 1 else ''}1x3x224x224" for name in names
    )
    return InputError(
        f"'{spec}' does not say what its inputs are, so it needs --input",
        remedy=f"give the shape of {_list(names)}, batch first, as {example}",
    )
