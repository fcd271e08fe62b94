"""The module calls around a node, from whatever its exporter left: metadata, or its name."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Sequence

import onnx

from netloft.defaults import CLASS, MODULE, SCOPE
from netloft.onnx_graph.step import Level, Scope, Step

__all__ = ["UNKNOWN_CLASS", "call_level", "root_class", "scope_of"]

UNKNOWN_CLASS = "module"
"""Class of a module of which a file tells the name alone; no class of Python's is written so."""

_DEEPEST = 32
"""Levels that are told apart; a hostile name may have thousands."""

_LONGEST = 4000
"""Letters of a scope that are read."""

_CLASSES, _SCOPES = "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.name_scopes"

_Facts = dict[str, str]


def scope_of(node: onnx.NodeProto, around: Scope, in_function: bool) -> Scope:
    """Return the module calls around a node, outermost first.

    Args:
        node: Of the file.
        around: The calls that its function lies in.
        in_function: Whether it stands in a function; there, names are the function's own.
    """
    facts = _facts(node)
    if in_function:
        return _inside(facts, around)
    for read in _READERS:
        found = read(facts)
        if found is not None:
            return found[:_DEEPEST]
    return _of_name(node.name[:_LONGEST])[:_DEEPEST]


def call_level(step: Step, around: Scope) -> Level:
    """Return the module call that the call of a function stands for."""
    facts, proto = step.facts, step.proto
    if MODULE in facts:
        return Level(_below(around, facts[MODULE]), facts.get(CLASS, "") or UNKNOWN_CLASS)
    name = str(proto.name or proto.op_type)
    return Level(_below(around, name.strip("/").replace("/", ".")), str(proto.op_type))


def root_class(nodes: Iterable[onnx.NodeProto]) -> str:
    """Return the class of the network where its nodes tell it, else nothing."""
    for node in nodes:
        facts = _facts(node)
        if CLASS in facts and MODULE not in facts:
            return facts[CLASS]
        classes = _listed(facts.get(_CLASSES, ""))
        if len(classes) > 1:
            return classes[0].rpartition(".")[2]
    return ""


def _facts(node: onnx.NodeProto) -> _Facts:
    return {entry.key: str(entry.value[:_LONGEST]) for entry in node.metadata_props}


def _below(around: Scope, path: str) -> str:
    return ".".join(part for part in (around[-1].call if around else "", path) if part)


def _inside(facts: _Facts, around: Scope) -> Scope:
    """A function's nodes tell their module from the function's own on."""
    path = facts.get(MODULE, "")
    if not path or len(around) >= _DEEPEST:
        return around
    return (*around, Level(_below(around, path), facts.get(CLASS, "") or UNKNOWN_CLASS))


def _of_netloft(facts: _Facts) -> Scope | None:
    """A file of netloft's: each call with its class, or the innermost alone."""
    rows = _pairs(facts.get(SCOPE, ""))
    if rows:
        return tuple(Level(call, name) for call, name in rows)
    if MODULE not in facts and CLASS not in facts:
        return None
    path = facts.get(MODULE, "")
    words = path.split(".") if path else []
    calls = [".".join(words[: i + 1]) for i in range(len(words))]
    levels = [Level(call, UNKNOWN_CLASS) for call in calls]
    if levels:
        levels[-1] = Level(calls[-1], facts.get(CLASS, "") or UNKNOWN_CLASS)
    return tuple(levels)


def _of_torch(facts: _Facts) -> Scope | None:
    """torch.onnx: the last entry is the operation, the first is the network."""
    paths, classes = _listed(facts.get(_SCOPES, "")), _listed(facts.get(_CLASSES, ""))
    if len(paths) < 1 or len(paths) != len(classes):
        return None
    pairs = list(zip(paths, classes, strict=True))[:-1]
    return tuple(Level(path, name.rpartition(".")[2]) for path, name in pairs if path)


def _of_namespace(facts: _Facts) -> Scope | None:
    """torch.onnx as Model Explorer reads it: `layer1: torch.nn.Sequential/layer1.0: Block/…`."""
    parts = facts.get("namespace", "").split("/")[:-1]
    if not parts or not all(": " in part for part in parts):
        return None
    pairs = [part.rsplit(": ", 1) for part in parts]
    return tuple(Level(path, name.rpartition(".")[2]) for path, name in pairs if path.strip())


_READERS: Sequence[Callable[[_Facts], Scope | None]] = (_of_netloft, _of_torch, _of_namespace)


def _of_name(name: str) -> Scope:
    """`/layer1/layer1.0/conv1/Conv`, as TorchScript's exporter and TensorFlow name nodes."""
    words = [word for word in name.split("/") if word][:-1]
    levels: list[Level] = []
    path = last = ""
    for word in words:
        if last and word.startswith(f"{last}."):  # a container's child repeats its name
            path = f"{path}.{word[len(last) + 1 :]}"
        else:
            path = f"{path}.{word}" if path else word
        last = word
        levels.append(Level(path, UNKNOWN_CLASS))
    return tuple(levels)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Read pairs of words as JSON; empty for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = found if isinstance(found, list) else []
    good = all(isinstance(row, list) and len(row) == 2 for row in rows)
    return [(str(call), str(name)) for call, name in rows] if good else []


def _listed(text: str) -> list[str]:
    """Read a list of words as Python writes it; empty for anything else."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [str(word) for word in found] if isinstance(found, list) else []
