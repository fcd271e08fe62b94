"""Which nodes of a model hold the weights, and which stay in float32 whatever is done."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from netloft.defaults import MODULE

__all__ = ["float_tail", "module_of", "producers_of", "weight_layers", "weight_layers_before"]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SATURATING = ("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "Softplus")


def weight_layers(model: onnx.ModelProto) -> tuple[onnx.NodeProto, ...]:
    """Return the convolutions and matrix products of float32 weights, in order."""
    held = {
        tensor.name for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }  # fmt: skip
    return tuple(
        node for node in model.graph.node
        if node.op_type in _WEIGHTED and any(name in held for name in node.input)
    )  # fmt: skip


def producers_of(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the node that gives each value, by the value's name."""
    return {name: node for node in model.graph.node for name in node.output}


def module_of(node: onnx.NodeProto) -> str:
    """Return the path of the module call that a node comes from; its name where it has none."""
    found = next((entry.value for entry in node.metadata_props if entry.key == MODULE), "")
    return found or str(node.name)


def float_tail(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return names of the nodes from the last weights to an output through a saturating head.

    A softmax squeezes its result into [0, 1], most of it near 0, where 256 steps say nothing: of
    AlphaGo's 361 moves all get the same probability, and the first move is never the right one.
    What stands right before it, such as the bias of each point, is not worth a rounding either.
    """
    producers, tail = producers_of(model), list[str]()
    for output in model.graph.output:
        behind = _without_weights(output.name, producers)
        if any(node.op_type in _SATURATING for node in behind.values()):
            tail += behind
    return tuple(dict.fromkeys(tail))


def _without_weights(
    value: str, producers: Mapping[str, onnx.NodeProto]
) -> dict[str, onnx.NodeProto]:
    """Return the nodes between a value and the weight layers before it, by name."""
    found, open_values = dict[str, onnx.NodeProto](), [value]
    while open_values:
        node = producers.get(open_values.pop())
        if node is not None and node.op_type not in _WEIGHTED and node.name not in found:
            found[node.name] = node
            open_values += node.input
    return found


def weight_layers_before(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]
) -> tuple[str, ...]:
    """Return names of the weight layers whose results reach a node through no other one."""
    between = {name: n for value in node.input for name, n in
               _without_weights(value, producers).items()}  # fmt: skip
    given = (producers.get(value) for n in (node, *between.values()) for value in n.input)
    names = [n.name for n in given if n is not None and n.op_type in _WEIGHTED]
    return tuple(dict.fromkeys(names))
