"""The graph: data, cost and text."""

from netloft.graph.annotation import Annotation, ModuleCall, Source, TensorInfo, format_shape
from netloft.graph.graph import DeadModule, Graph, SideEffect, Totals, Value, annotation

__all__ = [
    "Annotation",
    "DeadModule",
    "Graph",
    "ModuleCall",
    "SideEffect",
    "Source",
    "TensorInfo",
    "Totals",
    "Value",
    "annotation",
    "format_shape",
]
