"""Find the graph node that an exporter's ONNX node came from."""

from __future__ import annotations

from collections import defaultdict

import onnx_ir as ir

from netloft.graph.annotation import Annotation, Source
from netloft.graph.graph import Graph
from netloft_exporters.onnx.lowered import Origin

__all__ = ["OriginFinder", "weight_path"]

# ONNX operators whose name is not our operation's.
_OPS = {
    "gemm": "linear",
    "matmul": "linear",
    "concat": "cat",
    "batchnormalization": "batch_norm",
    "layernormalization": "layer_norm",
    "groupnormalization": "group_norm",
    "globalaveragepool": "adaptive_avg_pool",
    "reducemean": "adaptive_avg_pool mean",
    "averagepool": "avg_pool",
    "maxpool": "max_pool",
    "convtranspose": "conv_transpose",
    "reshape": "reshape flatten",
    "transpose": "permute transpose",
    "resize": "interpolate",
    "clip": "relu6 clamp hardtanh",
}


class OriginFinder:
    """Match ONNX nodes, taken in order, with the graph's nodes of the same module call."""

    def __init__(self, graph: Graph) -> None:
        self._records: defaultdict[str, list[Annotation]] = defaultdict(list)
        for _, record in graph:
            if record.family not in ("input", "output", "parameter"):
                self._records[record.module].append(record)
        self._next: defaultdict[str, int] = defaultdict(int)

    def find(self, path: str, op_type: str, fallback: Source | None) -> Origin:
        """Return the origin of the next ONNX node of module `path`.

        Args:
            path: Module path that the exporter gave.
            op_type: ONNX operator.
            fallback: The exporter's own idea of the source line.
        """
        records = self._records.get(path)
        if not records:
            return Origin(path, "", fallback)
        start = min(self._next[path], len(records) - 1)
        index = next(
            (i for i in range(start, len(records)) if _alike(records[i].op, op_type)), None
        )
        record = records[start if index is None else index]
        if index is not None:
            self._next[path] = index + 1
        call = record.calls[-1]
        return Origin(str(call), call.class_name, record.source or fallback)


def _alike(op: str, op_type: str) -> bool:
    names = _OPS.get(op_type.lower(), op_type.lower()).split()
    return any(op.replace("_", "").startswith(name.replace("_", "")) for name in names)


def weight_path(node: ir.Node) -> str:
    """A convolution fused with its norm is named after the convolution, whose weight it holds."""
    for value in list(node.inputs)[1:]:
        if value is not None and value.is_initializer() and value.name is not None:
            path, _, leaf = value.name.rpartition(".")
            if leaf == "weight":
                return path
    return ""
