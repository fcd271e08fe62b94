"""Symbolic lengths: torch hands their text to `sympy.sympify`, and that runs it as Python."""

from __future__ import annotations

import ast
import re

__all__ = ["fault"]

_MAX_CHARACTERS = 4000
_MAX_POWER = 64
_SYMBOL = re.compile(r"[a-z_]{1,16}[0-9]{1,6}")
_CONSTANTS = frozenset({"true", "false", "oo", "int_oo"})
_ASSUMPTIONS = frozenset({"positive", "integer", "nonnegative", "negative", "nonpositive", "real",
                          "finite", "zero", "nonzero", "even", "odd", "evaluate"})  # fmt: skip
_POWERS = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift"})
_FUNCTIONS = _POWERS | {
    "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Equality", "Eq", "FloatTrueDiv", "FloorDiv",
    "FloorToInt", "GreaterThan", "Identity", "IntTrueDiv", "Integer", "LessThan", "Max", "Min",
    "Mod", "ModularIndexing", "Mul", "Ne", "Not", "Or", "PythonMod", "RShift", "Rational",
    "StrictGreaterThan", "StrictLessThan", "ToFloat", "TruncToInt", "Unequality", "Where",
}  # fmt: skip
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_RELATIONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def fault(text: str) -> str:
    """Say what an expression holds that is not arithmetic on lengths; empty if nothing.

    Taken are sums, products, powers of a small exponent, relations and torch's own functions of
    lengths, of whole numbers and of symbols such as `s0` or `Symbol('s0', integer=True)`. The
    text is parsed and never evaluated.
    """
    if len(text) > _MAX_CHARACTERS or not re.fullmatch(r"[ -~]+", text):
        return "text that is too long or holds odd characters"
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _fault(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"'{text[:60]}', which is not an expression"


def _fault(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return "" if _is_number(node) else f"the constant {node.value!r:.60}"
    if isinstance(node, ast.Name):
        known = _SYMBOL.fullmatch(node.id) or node.id in _CONSTANTS
        return "" if known else f"the name '{node.id[:60]}'"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _fault(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        wrong = _power_fault(node.left, node.right) if isinstance(node.op, ast.Pow) else ""
        return wrong or _fault(node.left) or _fault(node.right)
    if isinstance(node, ast.Compare) and all(isinstance(op, _RELATIONS) for op in node.ops):
        return next(filter(None, map(_fault, (node.left, *node.comparators))), "")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call_fault(node.func.id, node)
    return f"'{ast.unparse(node)[:60]}'"


def _is_number(node: ast.Constant) -> bool:
    if isinstance(node.value, bool | float):
        return True
    return isinstance(node.value, int) and abs(node.value) < 2**63


def _call_fault(name: str, call: ast.Call) -> str:
    if name == "Symbol":
        return _symbol_fault(call)
    if name not in _FUNCTIONS:
        return f"the function '{name[:60]}'"
    if call.keywords:
        return f"a named argument of {name}"
    if name in _POWERS and len(call.args) == 2:
        wrong = _power_fault(*call.args)
        if wrong:
            return wrong
    return next(filter(None, map(_fault, call.args)), "")


def _symbol_fault(call: ast.Call) -> str:
    (first, *more) = call.args or [ast.Constant(None)]
    named = isinstance(first, ast.Constant) and isinstance(first.value, str)
    if more or not named or not _SYMBOL.fullmatch(str(first.value)):  # type: ignore[attr-defined]
        return "a symbol that is not called like s0"
    for word in call.keywords:
        plain = isinstance(word.value, ast.Constant) and isinstance(word.value.value, bool)
        if word.arg not in _ASSUMPTIONS or not plain:
            return f"the assumption '{word.arg}' on a symbol"
    return ""


def _power_fault(base: ast.expr, exponent: ast.expr) -> str:
    """Refuse powers that a few characters make endless: 9**9**9."""
    if isinstance(exponent, ast.Call) and len(exponent.args) == 1:  # Integer(2)
        (exponent,) = exponent.args
    if isinstance(exponent, ast.UnaryOp):
        exponent = exponent.operand
    number = exponent.value if isinstance(exponent, ast.Constant) else None
    if not isinstance(number, int) or abs(number) > _MAX_POWER:
        return f"a power other than by a whole number of at most {_MAX_POWER}"
    nested = any(
        isinstance(part, ast.Pow) or (isinstance(part, ast.Name) and part.id in _POWERS)
        for part in ast.walk(base)
    )
    return "a power of a power" if nested else ""
