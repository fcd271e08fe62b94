"""A float32 file in float16, by ONNX Runtime's own converter.

Weights and values are float16; inputs and outputs of the file, and everything from a saturating
head on, stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from netloft.errors import ExportError, first_line
from netloft_exporters.onnx.precision.layers import float_tail, producers_of, weight_layers
from netloft_exporters.onnx.precision.likeness import write_like

__all__ = ["halve"]


def halve(source: Path, target: Path) -> None:
    """Write a float16 file; the same bytes for the same source.

    Args:
        source: A float32 file as netloft writes them.
        target: A file in a folder of our own.

    Raises:
        ExportError: There is nothing to convert, or the converter gives up.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    if not weight_layers(model):
        raise ExportError(
            "there is nothing to halve: the graph has no convolution and no matrix product with "
            "float32 weights",
            remedy="export it with --precision fp32",
        )
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    try:
        made = convert_float_to_float16(
            whole, keep_io_types=True, node_block_list=list(float_tail(model))
        )
    except Exception as error:  # the converter has no kind of its own
        raise ExportError(
            f"ONNX Runtime cannot convert this graph to float16: {first_line(error)}",
            remedy="export it with --precision fp32",
        ) from error
    _without_detours(made)
    ordered = ONNXModel(made)
    ordered.topological_sort()
    write_like(ordered.model, model, target)


def _without_detours(model: onnx.ModelProto) -> None:
    """Take away casts to float16 and back between nodes that stay in float32; they round."""
    producers = producers_of(model)
    outputs = {value.name for value in model.graph.output}
    renamed = dict[str, str]()
    for back in [node for node in model.graph.node if node.op_type == "Cast"]:
        there = producers.get(back.input[0])
        if there is None or not there.name.endswith(_ADDED) or _to(back) != onnx.TensorProto.FLOAT:
            continue
        given = producers[there.input[0]]
        if back.output[0] in outputs:
            given.output[:] = [back.output[0] if v == there.input[0] else v for v in given.output]
            renamed[there.input[0]] = back.output[0]
        else:
            renamed[back.output[0]] = there.input[0]
        model.graph.node.remove(back)
    for node in model.graph.node:
        node.input[:] = [_end(value, renamed) for value in node.input]
    read = outputs | {value for node in model.graph.node for value in node.input}
    for node in [n for n in model.graph.node if n.op_type == "Cast" and n.output[0] not in read]:
        model.graph.node.remove(node)


_ADDED = "_cast_to_fp16_node"
"""How the converter ends the name of a cast behind a node that it left in float32."""


def _to(cast: onnx.NodeProto) -> int:
    return next(int(attribute.i) for attribute in cast.attribute if attribute.name == "to")


def _end(value: str, renamed: Mapping[str, str]) -> str:
    while value in renamed:
        value = renamed[value]
    return value
