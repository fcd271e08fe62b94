"""What each text in a program may be: torch looks some up, runs some, and writes some into code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from netloft.models.pt2 import expressions, operators

__all__ = ["KEYS", "TEXTS"]

_NAME = re.compile(r"[A-Za-z_]\w{0,511}", re.ASCII)
_PATH = re.compile(r"\w+(\.\w+)*", re.ASCII)
_CALL = re.compile(r"\w+([.@$]\w+)*", re.ASCII)
_KEY = re.compile(r"[\w.\- /:]{1,255}")
_LONGEST = 2**16
_KINDS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def _name(text: str) -> str:
    return "" if _NAME.fullmatch(text) else f"is {text[:60]!a}, which is not a plain name"


def _name_or_none(text: str) -> str:
    return _name(text) if text else ""


def _path(text: str) -> str:
    plain = len(text) <= 1024 and _PATH.fullmatch(text)
    return "" if plain else f"is {text[:60]!a}, which is not a path of plain names"


def _call(text: str) -> str:
    plain = not text or (len(text) <= 1024 and _CALL.fullmatch(text))
    return "" if plain else f"is {text[:60]!a}, which is not a path of plain names"


def _symbol(text: str) -> str:
    plain = re.fullmatch(r"[a-z_]{1,16}[0-9]{1,6}", text)  # torch counts up to the number in it
    return "" if plain else f"is {text[:60]!a}, which is not the name of a length"


def _value(text: str) -> str:
    return "" if len(text) <= _LONGEST else f"has {len(text):,} characters"


def _device(text: str) -> str:
    return "" if text == "cpu" else f"is {text[:20]!a}, and programs are read on the CPU alone"


def _expression(text: str) -> str:
    wrong = expressions.fault(text)
    return f"holds {wrong}, which is not arithmetic on lengths" if wrong else ""


def _verifier(text: str) -> str:
    return "" if text in ("", "ATEN", "TRAINING") else f"is {text[:20]!a}, which is not known"


def _custom(_: str) -> str:
    return "is an object of a class of its own"


def _payload(text: str) -> str:
    plain = re.fullmatch(r"(weight|tensor)_[0-9]{1,9}", text)
    return "" if plain else f"is {text[:60]!a}, and only plain tensors are read"


def _taken(text: str) -> str:
    return _nesting(text, _NAME)  # names of arguments, which torch writes into code


def _given(text: str) -> str:
    return _nesting(text, _KEY)


def _nesting(text: str, keys: re.Pattern[str]) -> str:
    """Judge a treespec: torch imports the module that an `__enum__` in it names."""
    try:
        version, spec = json.loads(text)
        known = version == 1 and _is_plain(spec, keys)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    return "" if known else f"is {text[:60]!a}, and tensors may lie in tuples, lists and dicts"


def _is_plain(spec: Any, keys: re.Pattern[str]) -> bool:
    context = None if spec["context"] is None else json.loads(spec["context"])
    named = context is None or (
        isinstance(context, list)
        and all(isinstance(key, str) and keys.fullmatch(key) for key in context)
    )
    children = spec["children_spec"]
    return spec["type"] in _KINDS and named and all(_is_plain(child, keys) for child in children)


TEXTS: dict[tuple[str, str], Callable[[str], str]] = {
    ("Device", "type"): _device,
    ("SymExpr", "expr_str"): _expression,
    ("SymIntArgument", "as_name"): _name,
    ("SymFloatArgument", "as_name"): _name,
    ("SymBoolArgument", "as_name"): _name,
    ("TensorArgument", "name"): _name,
    ("TokenArgument", "name"): _name,
    ("GraphArgument", "name"): _name,
    ("CustomObjArgument", "name"): _custom,
    ("CustomObjArgument", "class_fqn"): _custom,
    ("Argument", "as_string"): _value,
    ("Argument", "as_strings"): _value,
    ("Argument", "as_operator"): operators.fault,
    ("NamedArgument", "name"): _name_or_none,
    ("Node", "target"): operators.fault,
    ("Node", "name"): _name,
    ("ConstantValue", "as_string"): _value,
    ("InputToConstantInputSpec", "name"): _name_or_none,
    ("InputToParameterSpec", "parameter_name"): _path,
    ("InputToBufferSpec", "buffer_name"): _path,
    ("InputToTensorConstantSpec", "tensor_constant_name"): _path,
    ("InputToCustomObjSpec", "custom_obj_name"): _custom,
    ("BufferMutationSpec", "buffer_name"): _path,
    ("ParameterMutationSpec", "parameter_name"): _path,
    ("GradientToParameterSpec", "parameter_name"): _path,
    ("GradientToUserInputSpec", "user_input_name"): _name,
    ("UserInputMutationSpec", "user_input_name"): _name,
    ("ModuleCallEntry", "fqn"): _call,
    ("ModuleCallSignature", "in_spec"): _taken,
    ("ModuleCallSignature", "out_spec"): _given,
    ("ModuleCallSignature", "forward_arg_names"): _name,
    ("ExportedProgram", "verifiers"): _verifier,
    ("ExportedProgram", "torch_version"): _value,
    ("PayloadMeta", "path_name"): _payload,
}
"""By class and field of torch's schema; a text that stands nowhere here is refused."""

KEYS: dict[tuple[str, str], Callable[[str], str]] = {
    ("Argument", "as_string_to_argument"): _name,
    ("Graph", "tensor_values"): _name,
    ("Graph", "sym_int_values"): _name,
    ("Graph", "sym_bool_values"): _name,
    ("Graph", "sym_float_values"): _name,
    ("Graph", "custom_obj_values"): _custom,
    ("ExportedProgram", "opset_version"): _name,
    ("ExportedProgram", "range_constraints"): _symbol,
    ("PayloadConfig", "config"): _path,
}
"""The same for the keys of dictionaries."""
