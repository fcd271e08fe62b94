"""Overlays from what was found before: the JSON of verify and bench, and a bundle's report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netloft.errors import InputError, UsageError
from netloft.graph.graph import Graph
from netloft.onnx_graph import GIVES
from netloft.onnx_graph.operators import NAMES
from netloft.overlays.changes import changes_overlay
from netloft.overlays.error import error_overlay
from netloft.overlays.overlay import Overlay, threads_told
from netloft.overlays.reached import reached, teller
from netloft.speed.adding_up import SHARE
from netloft.speed.saved import UNREADABLE, bounded_bytes

__all__ = ["SAVED", "overlay_from"]


def overlay_from(report: str | os.PathLike[str], kind: str, graph: Graph) -> Overlay:
    """Make an overlay of what a report says of a graph's nodes.

    Args:
        report: The JSON that `netloft verify --layers --json` or `netloft bench --profile --json`
            printed, or the `report.json` of a bundle.
        kind: `error`, `time` or `pass`.
        graph: The network that the report is of.

    Raises:
        UsageError: The report has no such rows, or they are of another network.
        InputError: It cannot be read.
    """
    if kind not in SAVED:
        raise UsageError(
            f"no report holds '{kind}'", remedy=f"leave out --report, or give {', '.join(SAVED)}"
        )
    path = Path(report)
    key, remedy, make = SAVED[kind]
    facts = _read(path)
    rows = facts.get(key)
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{path} has no rows of '{key}'", remedy=remedy)
    try:
        return make(graph, rows, facts)
    except UNREADABLE as error:
        raise InputError(
            f"the rows of '{key}' in {path} are not what netloft writes: {error!r}", remedy=remedy
        ) from error


def _read(path: Path) -> Mapping[str, Any]:
    remedy = "name the JSON of netloft verify or bench, or a bundle's report.json"
    try:
        content = bounded_bytes(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy=remedy) from error
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}", remedy=remedy) from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is no report", remedy=remedy)
    return found


def _check_nodes(graph: Graph, rows: Sequence[Mapping[str, Any]]) -> None:
    known = {node.name: record.op for node, record in graph}
    missing = [row["node"] for row in rows if known.get(row["node"]) != row["op"]]
    if missing:
        raise UsageError(
            f"the report is of another network: {graph.name} has no such operation "
            f"'{str(missing[0])[:100]}'",
            remedy="draw the network that was measured, with the same --arg and --input",
        )


def _errors(graph: Graph, rows: list[Any], facts: Mapping[str, Any]) -> Overlay:
    _check_nodes(graph, rows)
    providers = ", ".join(dict.fromkeys(str(row["provider"]) for row in rows))
    return error_overlay(rows, str(facts.get("first_bad", "")), f"file on {providers}")


def _times(graph: Graph, rows: list[Any], facts: Mapping[str, Any]) -> Overlay:
    """Lay the first file's rows, those of its first provider and batch, over the graph."""
    first = rows[0]
    same = ("target", "provider", "batch")
    rows = [row for row in rows if all(row[key] == first[key] for key in same)]
    _check_once(rows)
    find = _Finder(graph)
    found: dict[str, list[Mapping[str, Any]]] = {}
    added = strange = 0.0
    for row in rows:
        seconds, node = float(row["ms"]) / 1e3, find(row)
        if node is not None:
            found.setdefault(node, []).append(row)
        elif row["node"]:
            strange += seconds
        else:
            added += seconds
    values = {node: sum(float(row["ms"]) for row in own) / 1e3 for node, own in found.items()}
    total = sum(values.values()) + added + strange
    if strange > SHARE * total or not values:
        raise UsageError(
            f"the report is of another network: {strange / total:.0%} of its time is of operations "
            f"that {graph.name} does not have",
            remedy="draw the network that was measured, with the same --arg",
        )
    return Overlay(
        "time",
        f"time in ONNX Runtime on {first['provider']}, batch {first['batch']}, "
        f"{threads_told(int(first['threads']))}, median",
        "s",
        "sum",
        values,
        total,
        notes=(
            f"{total * 1e3:.3g} ms for the whole, {added / total:.1%} of it in operations that "
            "ONNX Runtime added; fused operations count where the last of them is",
            *(f"the whole: {text}" for text in (", ".join(reached(rows)[1:]),) if text),
        ),
        tell=teller(found),
    )


def _check_once(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a file that was measured twice in one report: its times would be added up."""
    kernels = Counter((row["value"], row["kernel"]) for row in rows if row["value"])
    if any(times > 1 for times in kernels.values()):
        raise UsageError(
            f"the report has the nodes of {rows[0]['target']} more than once",
            remedy="name the file once in netloft bench --profile --json",
        )


class _Finder:
    """Find the node of a graph that a file's node was made from."""

    def __init__(self, graph: Graph) -> None:
        self._by_value = {str(n.meta[GIVES]): n.name for n, _ in graph if n.meta.get(GIVES)}
        self._by_module: dict[str, list[tuple[str, str]]] = {}
        for node, record in graph:
            call = str(record.calls[-1]) if record.calls else ""
            self._by_module.setdefault(call, []).append((record.op, node.name))
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, row: Mapping[str, Any]) -> str | None:
        """Return its name; of several alike in one module, each is taken once, in their order."""
        if self._by_value:
            return self._by_value.get(row["value"])
        inside = self._by_module.get(row["module"], [])
        alike = [name for op, name in inside if op == NAMES.get(row["op"])]
        key = row["module"], row["op"]
        self._seen[key] += 1
        place = self._seen[key] - 1
        if place < len(alike):
            return alike[place]
        return inside[-1][1] if inside and row["node"] else None


def _passes(graph: Graph, rows: list[Any], facts: Mapping[str, Any]) -> Overlay:
    known = {node.name for node, _ in graph}
    touched = [node for row in rows for node in (*row["notes"], *row["removed"])]
    if touched and not known.intersection(touched):
        raise UsageError(
            f"the report is of another network: {graph.name} has none of the operations that "
            "passes changed",
            remedy="draw the network that was exported, with the same --arg",
        )
    return changes_overlay(graph, rows, "in the export")


_Make = Callable[[Graph, list[Any], Mapping[str, Any]], Overlay]

SAVED: Mapping[str, tuple[str, str, _Make]] = {
    "error": (
        "layers",
        "make it with netloft verify FILE --against MODEL --layers --json",
        _errors,
    ),
    "pass": ("passes", "name the report.json of a bundle", _passes),
    "time": ("nodes", "make it with netloft bench FILE --profile --json", _times),
}
"""Kind of overlay to the report's key, how to get such rows, and what makes the overlay."""
