"""What each pass does to the graph, on the graph as it was traced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from netloft.graph.graph import Graph
from netloft.overlays.overlay import Inputs, Overlay
from netloft.passes import run_passes

__all__ = ["changes", "changes_overlay"]


def changes(graph: Graph, inputs: Inputs | None) -> Overlay:
    """Return the passes that change each node or take it away, in their order.

    Args:
        graph: As it was traced.
        inputs: What the passes are proven with; without them they are not proven.
    """
    passed = run_passes(graph, example=inputs)
    how = "proven on fresh inputs" if inputs is not None else "not proven"
    return changes_overlay(graph, [row.__dict__ for row in passed.rows], how)


def changes_overlay(graph: Graph, rows: Sequence[Mapping[str, Any]], how: str) -> Overlay:
    """Return what passes did as an overlay.

    Args:
        graph: As it was traced.
        rows: One for each pass, as in `report.json`.
        how: Whether they were proven, in words.
    """
    ops = {n.name: record.op for n, record in graph if record.op not in ("input", "output")}
    by, details = _told(ops, rows)
    before = sum(node.op.startswith("call_") for node, _ in graph)
    gone = {node for row in rows for node in row["removed"] if node in ops}
    called = {node.name for node, _ in graph if node.op.startswith("call_")}
    applied = sum(row["status"] == "applied" for row in rows)
    notes = [
        f"{before} operations before, {before - len(gone & called)} after {applied} passes, {how}"
    ]
    back = [row["name"] for row in rows if row["status"] == "rolled back"]
    notes += [f"taken back, since its proof failed: {name}" for name in back]
    return Overlay(
        "pass",
        "passes, and the operations that they take away (\N{MINUS SIGN}) or change (~)",
        "word",
        "each",
        by,
        notes=tuple(notes),
        details=details,
    )


def _told(
    ops: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by node, the last pass that touched it, and what each of them did."""
    by = dict[str, str]()
    details = defaultdict[str, list[str]](list)
    for row in rows:
        name = row["name"]
        for node, text in row["notes"].items():
            if node in ops:
                details[node].append(f"{name}: {text}")
                by.setdefault(node, f"{name} ~{ops[node]}")
        for node in row["removed"]:
            if node in ops:
                by[node] = f"{name} \N{MINUS SIGN}{ops[node]}"
                if node not in details:
                    details[node].append(f"{name}: taken away")
    return by, {node: "\n".join(texts) for node, texts in details.items()}
