"""What every route from graph to ONNX gives."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from netloft.defaults import CLASS, MODULE, SOURCE
from netloft.graph.annotation import Source
from netloft.passes.record import PassRow

__all__ = ["Lowered", "Origin", "write_origin"]


@dataclass(frozen=True)
class Origin:
    """Where an ONNX node comes from.

    Attributes:
        module: Path of the module call; empty for the root.
        class_name: Class of that module.
        source: Line of the user's code.
    """

    module: str
    class_name: str
    source: Source | None


@dataclass(frozen=True)
class Lowered:
    """An ONNX model that still lacks its final names.

    Attributes:
        model: As the route made it; each node's metadata holds its origin (`write_origin`).
        route: Which route that was, and why it was not the first one, for the report.
        passes: What was done to the graph on the way.
    """

    model: ir.Model
    route: str
    passes: tuple[PassRow, ...]


def write_origin(node: ir.Node, origin: Origin) -> None:
    """Make a node's metadata say where it comes from, and nothing else."""
    facts = {
        MODULE: origin.module,
        CLASS: origin.class_name,
        SOURCE: str(origin.source or ""),
    }
    node.metadata_props.clear()
    node.metadata_props.update({key: value for key, value in facts.items() if value})
