"""What another library's converter gave, written as netloft writes its files."""

from __future__ import annotations

import collections
from pathlib import Path

import onnx

from netloft_exporters.onnx.precision.layers import producers_of

__all__ = ["write_like"]

_ADDED = ("QuantizeLinear", "DequantizeLinear", "Cast")


def write_like(model: onnx.ModelProto, source: onnx.ModelProto, path: Path) -> None:
    """Write a converted model with the source's producer, versions and metadata.

    Args:
        model: What the converter gave; it is changed.
        source: What it was given.
        path: A file in a folder of our own.
    """
    model.producer_name, model.producer_version = source.producer_name, source.producer_version
    model.ir_version, model.graph.name = source.ir_version, source.graph.name
    del model.metadata_props[:]
    model.metadata_props.extend(source.metadata_props)
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")  # the quantizer had them elsewhere for a while
    _tell_origins(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _tell_origins(model: onnx.ModelProto) -> None:
    """Give the new nodes the metadata of the layer that gives their value, or that takes it."""
    consumers = collections.defaultdict[str, list[onnx.NodeProto]](list)
    for node in model.graph.node:
        for name in node.input:
            consumers[name].append(node)
    producers, nodes = producers_of(model), list(model.graph.node)
    for node in (*nodes, *reversed(nodes)):
        if node.op_type in _ADDED and not node.metadata_props:
            near = (producers.get(node.input[0]), *consumers[node.output[0]])
            origin = next((n for n in near if n is not None and n.metadata_props), None)
            if origin is not None:
                node.metadata_props.extend(origin.metadata_props)
