"""What each pass does to the graph, on the graph as it was traced."""

from __future__ import annotations

from collections import defaultdict

from netloft.graph.graph import Graph
from netloft.overlays.overlay import Inputs, Overlay
from netloft.passes import Passed, run_passes

__all__ = ["changes"]


def changes(graph: Graph, inputs: Inputs | None) -> Overlay:
    """Return the passes that change each node or take it away, in their order.

    Args:
        graph: As it was traced.
        inputs: What the passes are proven with; without them they are not proven.
    """
    passed = run_passes(graph, example=inputs)
    by, details = _told(graph, passed)
    before, after = _n_operations(graph), _n_operations(passed.graph)
    applied = sum(row.status == "applied" for row in passed.rows)
    how = "proven on fresh inputs" if inputs is not None else "not proven"
    notes = [f"{before} operations before, {after} after {applied} passes, {how}"]
    back = [row.name for row in passed.rows if row.status == "rolled back"]
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


def _told(graph: Graph, passed: Passed) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by node, the last pass that touched it, and what each of them did."""
    ops = {n.name: record.op for n, record in graph if record.op not in ("input", "output")}
    by = {n: f"{name} \N{MINUS SIGN}{ops[n]}" for n, name in passed.removed.items() if n in ops}
    details = defaultdict[str, list[str]](list)
    for note in passed.notes:
        if note.node in ops:
            details[note.node].append(f"{note.by}: {note.text}")
            by.setdefault(note.node, f"{note.by} ~{ops[note.node]}")
    for node, name in passed.removed.items():
        if node in ops and node not in details:
            details[node].append(f"{name}: taken away")
    return by, {node: "\n".join(texts) for node, texts in details.items()}


def _n_operations(graph: Graph) -> int:
    return sum(node.op.startswith("call_") for node, _ in graph)
