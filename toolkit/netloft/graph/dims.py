"""Lengths that follow the batch, or another axis that was left open: text such as `2*batch+1`.

A length is an int, or an integer expression over symbols with `+`, `-`, `*`, `//` and `%`, in
Python's own syntax, so that it can be read by a person, worked out here and written as ONNX nodes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from netloft.graph.annotation import Dim

__all__ = ["BATCH", "UNKNOWN", "evaluate", "fold_dim", "symbols_of"]

BATCH = "batch"
"""Name of the symbolic first axis, in the graph, the file and the manifest."""

UNKNOWN = "?"
"""A length that follows the open axes in a way that is not known."""

T = TypeVar("T")

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}

_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


@lru_cache(maxsize=4096)
def _parsed(dim: str) -> ast.expr:
    return ast.parse(dim, mode="eval").body


def fold_dim(
    dim: Dim,
    number: Callable[[int], T],
    symbol: Callable[[str], T],
    binary: Callable[[str, T, T], T],
) -> T:
    """Work a length out, part by part.

    Args:
        dim: A number or an expression.
        number: What a number stands for.
        symbol: What a symbol stands for.
        binary: What an operator makes of two parts.

    Raises:
        ValueError: It is `UNKNOWN`, or no such expression.
    """
    if isinstance(dim, int):
        return number(dim)
    if dim == UNKNOWN:
        raise ValueError("an unknown length has no value")

    def walk(part: ast.expr) -> T:
        if isinstance(part, ast.Constant) and isinstance(part.value, int):
            return number(part.value)
        if isinstance(part, ast.Name):
            return symbol(part.id)
        if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub):
            return binary("-", number(0), walk(part.operand))
        if isinstance(part, ast.BinOp) and type(part.op) in _OPERATORS:
            return binary(_OPERATORS[type(part.op)], walk(part.left), walk(part.right))
        raise ValueError(f"{dim} is not a length")

    return walk(_parsed(dim))


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """Return a length for given sizes of the symbols.

    Raises:
        ValueError: It is unknown, or divides by zero at these sizes.
        KeyError: A symbol has no size.
    """
    try:
        return fold_dim(dim, int, lambda name: sizes[name], lambda op, a, b: _ARITHMETIC[op](a, b))
    except ZeroDivisionError:
        raise ValueError(f"{dim} divides by zero") from None


def symbols_of(dim: Dim) -> frozenset[str]:
    """Return the symbols of a length."""
    if dim == UNKNOWN:
        return frozenset()
    return fold_dim(
        dim, lambda _: frozenset(), lambda name: frozenset({name}), lambda _, a, b: a | b
    )
