"""Layers whose name or hyper-parameters follow their operands: one function a kind."""

from __future__ import annotations

import math
from collections import Counter

import onnx

from netloft.onnx_graph.operands import Node
from netloft.onnx_graph.step import cleaned

__all__ = [
    "attention",
    "axis",
    "clip",
    "conv",
    "deform_conv",
    "einsum",
    "flatten",
    "gather",
    "gelu",
    "gemm",
    "global_pool",
    "held",
    "integer_conv",
    "leaky",
    "matmul",
    "norm",
    "packed_matmul",
    "pool",
    "quantized_conv",
    "quantized_matmul",
    "recurrent",
    "reduce",
    "shrink",
    "softmax",
    "transpose",
]

_Found = tuple[str, dict[str, object]]


def _halves(pads: tuple[int, ...]) -> tuple[int, ...]:
    """Return (1, 1) for pads of 1, 1, 1, 1; pads that differ between the ends stay as they are."""
    half = len(pads) // 2
    return pads[:half] if pads[:half] == pads[half:] else pads


def _padding(node: Node, rank: int) -> object:
    automatic = node.word("auto_pad", "NOTSET")
    if automatic not in ("NOTSET", ""):
        return "valid" if automatic == "VALID" else "same"
    return _halves(node.integers("pads", (0,) * (2 * rank)))


def _dims(rank: int) -> int:
    """Return the axes beside batch and channels; a rank that is not known is a picture's."""
    return min(max(rank - 2, 1), 3) if rank else 2


def _windowed(node: Node, kernel: tuple[int, ...], rank: int) -> dict[str, object]:
    ones = (1,) * rank
    return {
        "kernel_size": node.integers("kernel_shape", kernel) or None,
        "stride": node.integers("strides", ones),
        "padding": _padding(node, rank),
        "dilation": node.integers("dilations", ones),
    }


def conv(node: Node, weight_at: int = 1, bias_at: int = 2) -> _Found:
    """A convolution, upwards or downwards."""
    weight = node.weight(weight_at)
    weight = weight if weight and len(weight) > 2 else None
    rank = _dims(len(weight) if weight else node.rank())
    attributes = _windowed(node, weight[2:] if weight else (), rank)
    attributes["groups"] = node.integer("group", 1)
    attributes["bias"] = bool(node.name(bias_at))
    if weight:
        attributes["weight_shape"] = weight
    kind = "conv_transpose" if node.step.op_type == "ConvTranspose" else "conv"
    return f"{kind}{rank}d", attributes


def quantized_conv(node: Node) -> _Found:
    """A convolution in integers, with a scale and a zero point behind each operand."""
    op, attributes = conv(node, 3, 8)
    return op, {**attributes, "quantized": True}


def integer_conv(node: Node) -> _Found:
    """A convolution in integers, with zero points and no bias."""
    op, attributes = conv(node)
    return op, {**attributes, "bias": False}


def deform_conv(node: Node) -> _Found:
    """A convolution whose kernel is bent."""
    _, attributes = conv(node, bias_at=3)
    return "deform_conv2d", attributes


def _linear(weight: tuple[int, ...], *, transposed: bool, bias: bool) -> _Found:
    """A fully connected layer; PyTorch tells its weight as (outputs, inputs)."""
    shape = weight if transposed else weight[::-1]
    told: dict[str, object] = {"weight_shape": shape, "bias": bias}
    return "linear", {"in_features": shape[1], "out_features": shape[0], **told}


def gemm(node: Node) -> _Found:
    """A fully connected layer where one factor is a weight, else a product of two values."""
    weight = node.weight(1)
    scales = {k: n for k in ("alpha", "beta") if (n := node.number(k, 1.0)) != 1.0}
    if weight and len(weight) == 2:
        turned, bias = bool(node.integer("transB", 0)), bool(node.name(2))
        op, found = _linear(weight, transposed=turned, bias=bias)
        return op, {**found, **scales}
    return "addmm" if node.name(2) else "mm", dict(scales)


def matmul(node: Node) -> _Found:
    """A fully connected layer without bias where the right factor is a weight."""
    weight = node.weight(1)
    if weight and len(weight) == 2:
        return _linear(weight, transposed=bool(node.integer("transB", 0)), bias=False)
    return "matmul", {}


def quantized_matmul(node: Node) -> _Found:
    """A fully connected layer in integers."""
    weight = node.weight(3)
    if weight and len(weight) == 2:
        op, found = _linear(weight, transposed=False, bias=False)
        return op, {**found, "quantized": True}
    return "matmul", {"quantized": True}


def packed_matmul(node: Node) -> _Found:
    """A fully connected layer whose weight is packed in a few bits an element."""
    before, after, bits = node.integer("K", 0), node.integer("N", 0), node.integer("bits", 4)
    op, found = _linear((after, before), transposed=True, bias=bool(node.name(5)))
    return op, {**found, "quantized": True, "bits": bits}


def gather(node: Node) -> _Found:
    """An embedding where the table is a weight, else a choice along an axis."""
    table = node.constant(0)
    along = node.integer("axis", 0)
    if table is not None and table.shape and len(table.shape) == 2 and "float" in table.dtype:
        rows, width = table.shape
        told: dict[str, object] = {"weight_shape": table.shape}
        return "embedding", {"num_embeddings": rows, "embedding_dim": width, **told}
    index = node.constant(1)
    if index is not None and index.scalar is not None and index.shape == ():
        return "select", {"dim": along, "index": int(index.scalar)}
    return "index_select", {"dim": along}


def pool(node: Node) -> _Found:
    """A pooling with a window."""
    rank = _dims(len(node.integers("kernel_shape")) + 2)
    kind = {"MaxPool": "max_pool", "LpPool": "lp_pool"}.get(node.step.op_type, "avg_pool")
    attributes = _windowed(node, (), rank)
    attributes["ceil_mode"] = bool(node.integer("ceil_mode", 0))
    if kind == "avg_pool":
        attributes["count_include_pad"] = bool(node.integer("count_include_pad", 0))
    return f"{kind}{rank}d", attributes


def global_pool(node: Node) -> _Found:
    """A pooling over all of the picture."""
    rank = _dims(node.rank())
    kind = {"GlobalMaxPool": "adaptive_max_pool", "GlobalLpPool": "adaptive_lp_pool"}
    op = kind.get(node.step.op_type, "adaptive_avg_pool")
    return f"{op}{rank}d", {"output_size": (1,) * rank}


_NORMS = {
    "BatchNormalization": "batch_norm",
    "InstanceNormalization": "instance_norm",
    "GroupNormalization": "group_norm",
    "RMSNormalization": "rms_norm",
    "SimplifiedLayerNormalization": "rms_norm",
    "SkipSimplifiedLayerNormalization": "rms_norm",
}


def norm(node: Node) -> _Found:
    """A normalisation with learned scales."""
    skips = node.step.op_type.startswith("Skip")  # ONNX Runtime's, behind a sum
    attributes: dict[str, object] = {"eps": node.number("epsilon", 1e-12 if skips else 1e-5)}
    if node.integer("num_groups", 0):
        attributes["num_groups"] = node.integer("num_groups", 0)
    weight = node.weight(2 if skips else 1)
    if weight:
        attributes["weight_shape"] = weight
    if skips:
        attributes["skip"] = True
    return _NORMS.get(node.step.op_type, "layer_norm"), attributes


def recurrent(node: Node) -> _Found:
    """A recurrent layer; both its matrices are applied once for each step."""
    matrices = sum(c.numel for c in (node.constant(1), node.constant(2)) if c is not None)
    attributes: dict[str, object] = {
        "hidden_size": node.integer("hidden_size", 0),
        "bidirectional": node.word("direction", "forward") == "bidirectional",
    }
    if matrices:
        attributes["matrix_elements"] = matrices
    return node.step.op_type.lower(), attributes


def attention(node: Node) -> _Found:
    """An attention; ONNX Runtime's own holds its projections."""
    heads = node.integer("num_heads", node.integer("q_num_heads", 0))
    attributes: dict[str, object] = {"num_heads": heads} if heads else {}
    own = node.step.domain and node.step.op_type in ("Attention", "QAttention")
    return "multihead_attention" if own else "scaled_dot_product_attention", attributes


def clip(node: Node) -> _Found:
    """A clamp; between 0 and 6 it has a name of its own."""
    ends = [_end(node, 1, "min"), _end(node, 2, "max")]
    if ends == [0, 6]:
        return "relu6", {}
    found = zip(("min", "max"), ends, strict=True)
    return "clamp", {name: value for name, value in found if value is not None}


def _end(node: Node, position: int, name: str) -> float | None:
    found = node.numbers(position, name) or (node.number(name, math.nan),)
    return None if math.isnan(found[0]) else float(found[0])


def leaky(node: Node) -> _Found:
    """An activation with a slope or a threshold."""
    op = {"LeakyRelu": "leaky_relu", "ThresholdedRelu": "threshold"}
    name = node.step.op_type
    slope = node.number("alpha", 0.01 if name == "LeakyRelu" else 1.0)
    key = "negative_slope" if name == "LeakyRelu" else "alpha"
    return op.get(name, name.lower()), {key: slope}


def gelu(node: Node) -> _Found:
    """A GELU, exact or by tanh."""
    return "gelu", {"approximate": node.word("approximate", "none")}


_AXIS_OPS = {"Concat": "cat", "LogSoftmax": "log_softmax"}


def axis(node: Node) -> _Found:
    """An operation along one axis."""
    op = node.step.op_type
    return _AXIS_OPS.get(op, op.lower()), {"dim": node.integer("axis", 0)}


def softmax(node: Node) -> _Found:
    """A softmax; before operator set 13 it runs over all axes from one on, as if they were one."""
    op = node.step.op_type
    name = _AXIS_OPS.get(op, op.lower())
    if not 0 < node.step.opset < 13:
        return name, {"dim": node.integer("axis", -1)}
    along, rank = node.integer("axis", 1), node.rank()
    told: dict[str, object] = {"dim": along}
    if along not in (-1, rank - 1):
        told["flattened"] = True
    return name, told


def flatten(node: Node) -> _Found:
    """Two axes: those before one as one, and those from it on."""
    along = node.integer("axis", 1)
    return "flatten", {"start_dim": 1} if along == 1 else {"axis": along}


def shrink(node: Node) -> _Found:
    """A shrinking: what is small is zero, and the rest is moved towards it, or not."""
    bias, threshold = node.number("bias", 0.0), node.number("lambd", 0.5)
    if bias == 0:
        return "hardshrink", {"lambd": threshold}
    more = {} if bias == threshold else {"bias": bias}
    return "softshrink", {"lambd": threshold, **more}


def einsum(node: Node) -> _Found:
    """A sum of products."""
    return "einsum", {"equation": node.word("equation", "")}


def transpose(node: Node) -> _Found:
    """Axes in another order."""
    return "permute", {"dims": node.integers("perm", tuple(range(node.rank()))[::-1])}


_REDUCTIONS = {
    "ReduceMax": "amax",
    "ReduceMin": "amin",
    "ReduceL1": "norm",
    "ReduceL2": "norm",
    "ReduceLogSum": "sum_log",
    "ReduceLogSumExp": "logsumexp",
    "ReduceSumSquare": "sum_square",
}


def reduce(node: Node) -> _Found:
    """A sum or the like over some axes."""
    op = node.step.op_type
    attributes: dict[str, object] = {"keepdim": bool(node.integer("keepdims", 1))}
    axes = node.numbers(1, "axes")
    if axes is not None:
        attributes["dim"] = axes
    return _REDUCTIONS.get(op, op.removeprefix("Reduce").lower()), attributes


def held(node: Node) -> _Found:
    """A node that holds graphs of its own: what is in them is told in words."""
    graphs = node.step.graphs
    names = [name for name in _BRANCHES if name in graphs]
    names += [name for name in graphs if name not in _BRANCHES]
    told = [f"{_BRANCHES.get(n, cleaned(n, 40))}: {_contents(graphs[n])}" for n in names]
    return node.step.op_type.lower(), {"holds": tuple(told)}


_BRANCHES = {"then_branch": "then", "else_branch": "else", "body": "body"}


def _contents(graph: onnx.GraphProto) -> str:
    counts = Counter(str(n.op_type) for n in graph.node if n.op_type != "Constant")
    total = math.fsum(counts.values())
    most = ", ".join(f"{n}× {name}" if n > 1 else name for name, n in counts.most_common(3))
    more = ", …" if len(counts) > 3 else ""
    return cleaned(f"{most}{more}" if total else "nothing but constants", 80)
