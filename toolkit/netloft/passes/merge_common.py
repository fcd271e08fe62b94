"""Compute once what is computed twice.

Given:
    %a = exp(%x)
    %b = exp(%x)
    %c = add(%a, %b)

Result:
    %a = exp(%x)
    %c = add(%a, %a)

Leaves alone:
    Inputs and outputs. Nothing else differs between two equal calls: no write in place is left, and
    random ones were refused when the graph was traced.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from netloft.passes.edit import Edit

__all__ = ["merge_common"]


def merge_common(edit: Edit) -> None:
    """Let the readers of a repeated call read the first."""
    first: dict[Any, fx.Node] = {}
    for node, record in edit:
        if node.op in ("placeholder", "output"):
            continue
        key = (node.op, _frozen(node.target), _frozen(node.args), _frozen(node.kwargs))
        try:
            found = first.setdefault(key, node)
        except TypeError:  # an argument that cannot be a key
            continue
        if found is not node:
            edit.note(node, f"the same {record.op} as %{found.name}")
            edit.replace(node, found)


def _frozen(argument: Any) -> Any:
    """Return an argument as a key; 1, 1.0 and True are told apart."""
    if isinstance(argument, tuple | list):
        return (type(argument).__name__, *(_frozen(item) for item in argument))
    if isinstance(argument, dict):
        return tuple((key, _frozen(item)) for key, item in argument.items())
    if isinstance(argument, slice):
        parts = (argument.start, argument.stop, argument.step)
        return ("slice", *(_frozen(part) for part in parts))
    if isinstance(argument, float):
        return ("float", argument.hex())
    return (type(argument).__name__, argument)
