"""Multiply-adds of a file's node: operands are counted where ONNX has them, weights and all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from netloft.graph.annotation import TensorInfo
from netloft.graph.cost import einsum_macs, macs_of
from netloft.onnx_graph.operands import Node
from netloft.onnx_graph.values import sized

__all__ = ["macs"]

_Shape = tuple[int, ...]


def macs(node: Node, op: str, attributes: Mapping[str, object]) -> int:
    """Return the multiply-adds of a node; open lengths count as one.

    Args:
        node: The node.
        op: What netloft calls its operation.
        attributes: Its hyper-parameters.
    """
    if not node.step.gives:
        return 0
    result = sized(node.values.info(next(filter(None, node.step.gives), "")))
    rule = _RULES.get(node.step.op_type) if node.step.known else None
    if rule is not None and op != "linear":
        return rule(node, result.shape)  # type: ignore[arg-type] # all of them are numbers
    operands = [_shape(node, position) for position in range(len(node.step.reads))]
    infos = tuple(TensorInfo(shape, "float32") for shape in operands if shape is not None)
    return macs_of(op, infos, result, attributes)


def _shape(node: Node, position: int) -> _Shape | None:
    """Return an operand's lengths; None where it is left out."""
    constant = node.constant(position)
    if constant is not None and constant.shape is not None:
        return constant.shape
    info = node.info(position)
    return None if info is None else tuple(int(dim) for dim in sized(info).shape)


def _product(node: Node, out: _Shape) -> int:
    """A product of matrices: each element of the result takes one axis of the first."""
    first = _shape(node, 0) or ()
    turned = len(first) > 1 and bool(node.integer("transA", 0))
    return math.prod(out) * first[-2 if turned else -1] if first else 0


def _deformed(node: Node, out: _Shape) -> int:
    weight = _shape(node, 1) or ()
    return math.prod(out) * math.prod(weight[1:]) if len(weight) > 2 else 0


def _window(at: int) -> Callable[[Node, _Shape], int]:
    return lambda node, out: _convolved(node, out, at)


def _convolved(node: Node, out: _Shape, at: int) -> int:
    """A convolution, whose weight may be worked out by the network."""
    weight, first = _shape(node, at) or (), _shape(node, 0) or ()
    if len(weight) < 3:
        return 0
    up = node.step.op_type == "ConvTranspose"
    return math.prod(first if up else out) * math.prod(weight[1:])


def _einsum(node: Node, out: _Shape) -> int:
    shapes = [_shape(node, position) or () for position in range(len(node.step.reads))]
    return einsum_macs(node.word("equation", ""), shapes)


def _recurrent(node: Node, out: _Shape) -> int:
    """Both matrices of all directions, once for each step of each item of the batch."""
    operand, weights = _shape(node, 0) or (), [_shape(node, 1) or (), _shape(node, 2) or ()]
    if len(operand) != 3 or not out or not all(weights):
        return 0
    return math.prod(operand[:2]) * sum(map(math.prod, weights))


def _own_attention(node: Node, out: _Shape) -> int:
    """ONNX Runtime's attention: one matrix gives query, key and value; then two products."""
    operand, weight = _shape(node, 0) or (), _shape(node, 1) or ()
    if node.step.domain == "" or len(operand) < 2 or len(weight) != 2:
        return _attention(node, out)
    steps, length, width = math.prod(operand[:-1]), operand[-2], weight[1] // 3
    return steps * math.prod(weight) + 2 * steps * length * width


def _attention(node: Node, out: _Shape) -> int:
    shapes = [_shape(node, position) or () for position in range(min(len(node.step.reads), 3))]
    if len(shapes) < 3 or min(map(len, shapes)) < 2:
        return 0
    return (math.prod(shapes[0]) + math.prod(out)) * shapes[1][-2]


_RULES: Mapping[str, Callable[[Node, _Shape], int]] = {
    "Gemm": _product, "FusedGemm": _product, "MatMul": _product, "FusedMatMul": _product,
    "MatMulInteger": _product, "QLinearMatMul": _product, "Conv": _window(1),
    "ConvTranspose": _window(1), "FusedConv": _window(1), "ConvInteger": _window(1),
    "QLinearConv": _window(3), "DeformConv": _deformed, "Einsum": _einsum,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent, "Attention": _own_attention,
    "QAttention": _own_attention, "MultiHeadAttention": _attention,
}  # fmt: skip
