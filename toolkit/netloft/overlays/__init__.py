"""What can be laid over a drawing: a number or a word for each node, with its unit."""

from __future__ import annotations

from collections.abc import Mapping

from netloft.errors import UsageError
from netloft.graph.graph import Graph
from netloft.overlays.changes import changes
from netloft.overlays.cost import dtypes, flops, memory, parameters
from netloft.overlays.error import errors
from netloft.overlays.overlay import Inputs, Maker, Overlay
from netloft.overlays.saved import overlay_from
from netloft.overlays.timing import times

__all__ = ["OVERLAYS", "Overlay", "make_overlay", "overlay_from"]

OVERLAYS: Mapping[str, Maker] = {
    "time": times,
    "flops": flops,
    "params": parameters,
    "memory": memory,
    "error": errors,
    "dtype": dtypes,
    "pass": changes,
}
"""What may be asked for by name."""

RUN = ("time", "error")
"""What the graph has to run for."""


def make_overlay(kind: str, graph: Graph, inputs: Inputs | None = None) -> Overlay:
    """Work out or measure one kind of overlay.

    Args:
        kind: A key of `OVERLAYS`.
        graph: As it was traced.
        inputs: By name of `forward`'s argument; for what has to run.

    Raises:
        UsageError: There is no such kind, or inputs are missing.
        CheckError: What was measured cannot be trusted.
    """
    if kind not in OVERLAYS:
        raise UsageError(f"there is no overlay '{kind}'", remedy=f"give {', '.join(OVERLAYS)}")
    if kind in (*RUN, "pass") and graph.is_read:
        raise UsageError(
            f"the overlay '{kind}' runs the network, and the graph of an ONNX file is only read",
            remedy="give the module, or one of flops, params, memory, dtype",
        )
    if inputs is None and kind in RUN:
        raise UsageError(
            f"the overlay '{kind}' runs the network, and has no inputs",
            remedy="give example_inputs=(x,)",
        )
    return OVERLAYS[kind](graph, inputs)
