"""What the graph itself says: multiply-adds, parameters, memory and element types."""

from __future__ import annotations

from netloft.graph.cost import alive_bytes, tensors
from netloft.graph.graph import Graph
from netloft.overlays.overlay import Inputs, Overlay

__all__ = ["dtypes", "flops", "memory", "parameters"]


def flops(graph: Graph, _: Inputs | None) -> Overlay:
    """Return the multiply-adds of each node, for one item of the batch."""
    values = {node.name: float(record.macs) for node, record in graph if record.macs}
    title = "multiply-adds for one item of the batch"
    total = float(graph.totals.macs)
    return Overlay("flops", title, "multiply-adds", "sum", values, total)


def parameters(graph: Graph, _: Inputs | None) -> Overlay:
    """Return the elements of the parameters that each node reads first; tied ones count once."""
    values = {node.name: float(record.n_params) for node, record in graph if record.n_params}
    total = float(graph.totals.n_params)
    return Overlay("params", "parameters, tied ones once", "parameters", "sum", values, total)


def memory(graph: Graph, _: Inputs | None) -> Overlay:
    """Return the bytes of activations that are alive while each node runs."""
    values = {name: float(size) for name, size in alive_bytes(graph).items()}
    title = "activations alive while it runs, for one item of the batch; of several, the most"
    return Overlay("memory", title, "bytes", "max", values)


def dtypes(graph: Graph, _: Inputs | None) -> Overlay:
    """Return the element type of what each node gives."""
    values = {
        node.name: "/".join(dict.fromkeys(info.dtype for info in infos))
        for node, record in graph
        if record.op != "output" and (infos := tensors(record.value))
    }
    return Overlay("dtype", "element type of the result", "word", "each", values)
