"""ONNX's operators by the names and hyper-parameters that netloft has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netloft.graph.ops import family_of
from netloft.onnx_graph import layers, resampling
from netloft.onnx_graph.operands import Node
from netloft.onnx_graph.step import cleaned

__all__ = ["NAMES", "Meaning", "meaning_of"]

Meaning = tuple[str, str, dict[str, object]]
"""Operation, family and hyper-parameters."""

_Read = Callable[[Node], tuple[str, dict[str, object]]]

NAMES: Mapping[str, str] = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Mod": "mod", "Sum": "add",
    "Max": "maximum", "Min": "minimum", "And": "and", "Or": "or", "Xor": "xor", "Where": "where",
    "Pow": "pow", "Sqrt": "sqrt", "Exp": "exp", "Log": "log", "Abs": "abs", "Neg": "neg",
    "Erf": "erf", "Sin": "sin", "Cos": "cos", "Reciprocal": "reciprocal", "Floor": "floor",
    "Ceil": "ceil", "Round": "round", "Sign": "sign", "Not": "not", "Equal": "eq", "Less": "lt",
    "LessOrEqual": "le", "Greater": "gt", "GreaterOrEqual": "ge", "IsNaN": "isnan",
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish",
    "Mish": "mish", "Softplus": "softplus", "Softsign": "softsign", "PRelu": "prelu",
    "Selu": "selu", "HardSigmoid": "hardsigmoid", "Swish": "silu", "QuickGelu": "silu",
    "BiasGelu": "gelu", "FastGelu": "gelu",
    "Reshape": "reshape", "Squeeze": "squeeze", "Unsqueeze": "unsqueeze", "Expand": "expand",
    "Tile": "repeat", "Slice": "getitem", "GatherElements": "gather", "GatherND": "gather_nd",
    "Shape": "size", "Size": "numel", "ReverseSequence": "flip", "Trilu": "trilu",
    "GridSample": "grid_sample", "AffineGrid": "affine_grid", "RoiAlign": "roi_align",
    "MaxRoiPool": "roi_pool", "CumSum": "cumsum", "Det": "det", "TopK": "topk",
    "NonMaxSuppression": "nms", "OneHot": "one_hot", "Range": "arange", "EyeLike": "eye",
    "ConstantOfShape": "full", "NonZero": "nonzero", "Unique": "unique",
    "LRN": "local_response_norm", "LpNormalization": "normalize", "Constant": "constant",
}  # fmt: skip
"""Operators that are called otherwise here and have no hyper-parameter to tell."""

# Operators that change the type or the scale of a value and nothing of the network: they are
# told in the box of what they follow.
_QUIET: Mapping[str, str] = {
    "Identity": "identity", "Dropout": "dropout", "Cast": "to", "CastLike": "type_as",
    "QuantizeLinear": "quantize", "DequantizeLinear": "dequantize",
    "DynamicQuantizeLinear": "quantize",
}  # fmt: skip

_READ: Mapping[str, _Read] = {
    "Conv": layers.conv, "ConvTranspose": layers.conv, "FusedConv": layers.conv,
    "NhwcConv": layers.conv, "ConvInteger": layers.integer_conv,
    "QLinearConv": layers.quantized_conv, "DeformConv": layers.deform_conv,
    "Gemm": layers.gemm, "FusedGemm": layers.gemm,
    "MatMul": layers.matmul, "FusedMatMul": layers.matmul, "MatMulInteger": layers.matmul,
    "QLinearMatMul": layers.quantized_matmul, "MatMulNBits": layers.packed_matmul,
    "Gather": layers.gather,
    "MaxPool": layers.pool, "AveragePool": layers.pool, "LpPool": layers.pool,
    "QLinearAveragePool": layers.pool,
    "GlobalAveragePool": layers.global_pool, "GlobalMaxPool": layers.global_pool,
    "GlobalLpPool": layers.global_pool, "QLinearGlobalAveragePool": layers.global_pool,
    "BatchNormalization": layers.norm, "LayerNormalization": layers.norm,
    "InstanceNormalization": layers.norm, "GroupNormalization": layers.norm,
    "RMSNormalization": layers.norm, "SimplifiedLayerNormalization": layers.norm,
    "SkipLayerNormalization": layers.norm, "SkipSimplifiedLayerNormalization": layers.norm,
    "LSTM": layers.recurrent, "GRU": layers.recurrent, "RNN": layers.recurrent,
    "Attention": layers.attention, "MultiHeadAttention": layers.attention,
    "GroupQueryAttention": layers.attention, "QAttention": layers.attention,
    "Clip": layers.clip, "LeakyRelu": layers.leaky, "ThresholdedRelu": layers.leaky,
    "Elu": layers.leaky, "Celu": layers.leaky, "Gelu": layers.gelu,
    "Softmax": layers.softmax, "LogSoftmax": layers.softmax, "Hardmax": layers.softmax,
    "Shrink": layers.shrink, "Einsum": layers.einsum,
    "Concat": layers.axis, "Split": layers.axis, "Flatten": layers.flatten,
    "ArgMax": layers.axis, "ArgMin": layers.axis, "Transpose": layers.transpose,
    "ReduceMean": layers.reduce, "ReduceSum": layers.reduce, "ReduceMax": layers.reduce,
    "ReduceMin": layers.reduce, "ReduceProd": layers.reduce, "ReduceL1": layers.reduce,
    "ReduceL2": layers.reduce, "ReduceLogSumExp": layers.reduce, "ReduceLogSum": layers.reduce,
    "ReduceSumSquare": layers.reduce,
    "Pad": resampling.pad, "Resize": resampling.resize, "Upsample": resampling.resize,
    "DepthToSpace": resampling.shuffle, "SpaceToDepth": resampling.shuffle,
    "If": layers.held, "Loop": layers.held, "Scan": layers.held,
}  # fmt: skip


def meaning_of(node: Node) -> Meaning:
    """Return what a node does, in netloft's words; one that is not known keeps its own name."""
    step = node.step
    if step.known and step.domain != "ai.onnx.ml":
        if step.op_type in _READ:
            op, attributes = _READ[step.op_type](node)
            return op, family_of(op), attributes
        if step.op_type in _QUIET:
            return _QUIET[step.op_type], "identity", {}
        if step.op_type in NAMES:
            op = NAMES[step.op_type]
            return op, family_of(op), {}
    own = cleaned(step.op_type, 80) or "operation without a name"
    told: dict[str, object] = {"label": own, **_plain(node)}
    if step.domain:
        told["domain"] = cleaned(step.domain, 80)
    return own, "other", told


def _plain(node: Node) -> dict[str, object]:
    """Return an unknown operator's own attributes; what is long is left to the file."""
    found = {name: value for name, value in node.step.values.items() if name.isidentifier()}
    return {
        name: cleaned(value, 80) if isinstance(value, str) else value
        for name, value in found.items()
        if name not in ("label", "domain") and not (isinstance(value, tuple) and len(value) > 8)
    }
