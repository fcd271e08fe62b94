"""Einstein sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.moves import permuted
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import need

_DOTS = "..."


@lowering("einsum")
def einsum(ctx: Context, equation: Any, *operands: Any) -> ir.Value:
    """torch.einsum to MatMul, with Transposes, where it is one; else to Einsum: equation."""
    if not isinstance(equation, str):
        raise Unsupported("einsum with lists of axes in place of an equation")
    given = list(operands[0] if isinstance(operands[0], list | tuple) else operands)
    values = [ctx.as_result(value) for value in given]
    terms, result = _spelled_out(equation, [len(ctx.shape_of(value)) for value in values])
    made = _as_matmul(ctx, values, terms, result) if len(values) == 2 else None
    if made is not None:
        return made
    need(ctx, values[0], ("float32", "float64", "float16", "int32", "int64"))
    return ctx.op("Einsum", *values, equation=f"{','.join(terms)}->{result}")


def _spelled_out(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the terms and the result with letters in place of dots, and in place of nothing."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [letter for letter in ascii_letters if letter not in equation]
    counts = [r - len(t.replace(_DOTS, "")) for t, r in zip(terms, ranks, strict=True)]
    # of the axes that dots stand for, the longest row counts, as in broadcasting
    dots = "".join(free[: max(counts)])
    if not arrow:  # what occurs once, capitals first
        once = Counter(left.replace(_DOTS, "").replace(",", ""))
        result = _DOTS + "".join(sorted(letter for letter, n in once.items() if n == 1))
    spelled = [
        term.replace(_DOTS, dots[len(dots) - n :]) for term, n in zip(terms, counts, strict=True)
    ]
    return spelled, result.replace(_DOTS, dots)


def _as_matmul(
    ctx: Context, values: Sequence[ir.Value], terms: Sequence[str], result: str
) -> ir.Value | None:
    """Return the sum as one MatMul; None where it is none, or would take Reshapes."""
    groups = _groups(terms[0], terms[1], result)
    if groups is None:
        return None
    batch, left, over, right = groups
    sizes = [ctx.shape_of(v)[term.index(over)] for v, term in zip(values, terms, strict=True)]
    if sizes[0] != sizes[1]:
        return None
    if left and result[-1] == left:  # the product of both turned is the result as it stands
        values, terms, left, right = values[::-1], terms[::-1], right, left
    a = permuted(ctx, values[0], [terms[0].index(c) for c in batch + left + over])
    b = permuted(ctx, values[1], [terms[1].index(c) for c in batch + over + right])
    order, lengths = batch + left + right, dict(zip(result, ctx.result.shape, strict=True))
    made = ctx.op("MatMul", a, b)
    ctx.know(made, TensorInfo(tuple(lengths[c] for c in order), ctx.result.dtype))
    return permuted(ctx, made, [order.index(c) for c in result])


def _groups(first: str, second: str, result: str) -> tuple[str, str, str, str] | None:
    """Return the axes that MatMul repeats over, has of the left, sums over, and has of the right.

    None where they are not so: each of the last three is at most one axis, and to repeat it takes
    one of both sides.
    """
    if any(len(set(term)) < len(term) for term in (first, second)):
        return None
    batch = "".join(c for c in result if c in first and c in second)
    over = "".join(c for c in first if c in second and c not in result)
    left = "".join(c for c in first if c not in second)
    right = "".join(c for c in second if c not in first)
    if len(over) != 1 or not set(left + right) <= set(result):
        return None
    wanted = 1 if batch else min(1, len(left)), 1 if batch else min(1, len(right))
    return (batch, left, over, right) if (len(left), len(right)) == wanted else None
