"""One name an operation, whether it was written as a module, a function or a method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload, OpOverloadPacket

from netloft.graph.arguments import bound_arguments, inplace_is_an_argument, is_plain

__all__ = [
    "FAMILIES",
    "attributes_of",
    "called_module",
    "family_of",
    "is_inplace",
    "is_known_code",
    "op_of",
    "writes",
]

FAMILIES = (
    "input",
    "output",
    "parameter",
    "conv",
    "linear",
    "norm",
    "activation",
    "pool",
    "merge",
    "attention",
    "recurrent",
    "embedding",
    "pad",
    "resample",
    "shape",
    "reduce",
    "identity",
    "other",
)
"""Kinds of operation; a drawing gives each its own colour and form."""

# Modules whose snake-case class name is not the name of their function.
MODULE_OPS = {
    "BatchNorm1d": "batch_norm",
    "BatchNorm2d": "batch_norm",
    "BatchNorm3d": "batch_norm",
    "SyncBatchNorm": "batch_norm",
    "InstanceNorm1d": "instance_norm",
    "InstanceNorm2d": "instance_norm",
    "InstanceNorm3d": "instance_norm",
    "RMSNorm": "rms_norm",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "PReLU": "prelu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "CELU": "celu",
    "SELU": "selu",
    "GELU": "gelu",
    "GLU": "glu",
    "SiLU": "silu",
    "LSTM": "lstm",
    "GRU": "gru",
    "RNN": "rnn",
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "RNNCell": "rnn_cell",
    "Dropout1d": "dropout",
    "Dropout2d": "dropout",
    "Dropout3d": "dropout",
    "AlphaDropout": "dropout",
    "FeatureAlphaDropout": "dropout",
    "StochasticDepth": "stochastic_depth",
    "Upsample": "interpolate",
    "UpsamplingNearest2d": "interpolate",
    "UpsamplingBilinear2d": "interpolate",
    "Softmax2d": "softmax",
    "LPPool1d": "lp_pool1d",
    "LPPool2d": "lp_pool2d",
    "LPPool3d": "lp_pool3d",
    "Identity": "identity",
    **{
        f"{kind}Pad{n}d": "pad"
        for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
        for n in (1, 2, 3)
    },
}

# Functions and methods whose name is not the operation's.
FUNCTION_OPS = {
    "truediv": "div",
    "itruediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "negative": "neg",
    "concat": "cat",
    "concatenate": "cat",
    "_assert": "assert",
    "view": "reshape",
    "view_as": "reshape",
    "contiguous": "identity",
    "clone": "identity",
    "detach": "identity",
    "requires_grad": "identity",
    "share_memory": "identity",
    "swish": "silu",
    "dropout1d": "dropout",
    "dropout2d": "dropout",
    "dropout3d": "dropout",
    "alpha_dropout": "dropout",
    "upsample": "interpolate",
    "ipow": "pow",
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "conj": "identity",
    "conj_physical": "identity",
    "expit": "sigmoid",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "pos": "identity",
    "positive": "identity",
    "real": "identity",
    "resolve_conj": "identity",
    "resolve_neg": "identity",
    "sgn": "sign",
    "_threshold": "threshold",
}

# Methods whose arguments stand in another order than those of the function of the same name.
METHOD_OPS = {"where": "where_method"}

_IN_PLACE_OPERATORS = (
    "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor",
    "ilshift", "irshift",
)  # fmt: skip

_FAMILY_OPS: dict[str, str] = {
    "conv": r"conv(_transpose)?[123]d|deform_conv2d",
    "linear": r"linear|bilinear|matmul|[bm]?mm|mv|dot|inner|(add|badd)(mm|mv|bmm)|einsum|tensordot",
    "norm": r"(batch|layer|group|instance|rms|local_response)_norm|normalize|weight_norm",
    "activation": (
        r"relu6?|prelu|r?relu|leaky_relu|elu|celu|selu|gelu|glu|silu|mish|sigmoid|hard(sigmoid|swish|tanh|shrink)"
        r"|tanh|softplus|softsign|softshrink|tanhshrink|threshold|log_?sigmoid|softmax|softmin|log_softmax"
        r"|clamp(_min|_max)?|clip|exp|log|sqrt|rsqrt|abs|neg|pow|erf|sin|cos"
    ),
    "pool": r"(adaptive_)?(avg|max|lp)_pool[123]d|fractional_max_pool[23]d|max_unpool[123]d",
    "merge": r"add|sub|rsub|mul|div|floordiv|mod|cat|stack|hstack|vstack|where(_method)?"
    r"|maximum|minimum|addcmul|addcdiv|lerp|and|or|xor",
    "attention": (
        r"multihead_attention|scaled_dot_product_attention|transformer.*|shifted_window_attention.*"
    ),
    "recurrent": r"(lstm|gru|rnn)(_cell)?",
    "embedding": r"embedding(_bag)?",
    "pad": r"pad",
    "resample": r"interpolate|grid_sample|pixel_(un)?shuffle|affine_grid|channel_shuffle|"
    r"roi_align|roi_pool",
    "shape": (
        r"flatten|unflatten|reshape|permute|transpose|swapaxes|t|squeeze|unsqueeze|expand(_as)?|repeat|"
        r"repeat_interleave|tile|split|chunk|unbind|narrow|select|getitem|getattr|index_select|gather|"
        r"roll|flip|movedim|moveaxis|size|dim|numel|unfold|fold|setitem|slice_scatter"
    ),
    "reduce": r"mean|sum|a?max|a?min|prod|std|var|norm|arg(max|min)|topk|sort|cumsum|any|all"
    r"|logsumexp",
    "identity": r"identity|(feature_)?dropout|stochastic_depth|to|float|double|half|type(_as)?",
    "input": "input",
    "output": "output",
    "parameter": "parameter|constant",
}
_FAMILY_PATTERNS = {family: re.compile(pattern) for family, pattern in _FAMILY_OPS.items()}


@cache
def family_of(op: str) -> str:
    """Return the family of a canonical operation; `other` where none fits."""
    return next((f for f, pattern in _FAMILY_PATTERNS.items() if pattern.fullmatch(op)), "other")


@cache
def snake_case(name: str) -> str:
    """Return `AdaptiveAvgPool2d` as `adaptive_avg_pool2d`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name)
    return words.lower()


def module_op(module: nn.Module) -> str:
    """Return the operation of a module, from the nearest class that torch.nn defines."""
    return _class_op(type(module))  # type: ignore[arg-type] # a class is hashable


@lru_cache(maxsize=1024)
def _class_op(kind: type[nn.Module]) -> str:
    for cls in kind.__mro__:
        if cls.__name__ in MODULE_OPS:
            return MODULE_OPS[cls.__name__]
        if cls.__module__.startswith(("torch.nn", "torchvision.ops")) and cls is not nn.Module:
            return snake_case(cls.__name__)
    return snake_case(kind.__name__)


@cache
def function_op(name: str) -> str:
    """Return the operation of a function or a method called `name`."""
    name = name.partition(".")[0]  # torch.ops has conv2d.default
    if name in FUNCTION_OPS:
        return FUNCTION_OPS[name]
    plain = name.rstrip("_") if not name.startswith("__") else name.strip("_")
    plain = plain[1:] if plain in _IN_PLACE_OPERATORS else plain.removeprefix("special_")
    plain = re.sub(r"^(adaptive_)?(max_pool\dd)_with_indices$", r"\1\2", plain)
    return FUNCTION_OPS.get(plain, plain)


def called_module(node: fx.Node, root: nn.Module) -> nn.Module:
    """Return the module that a `call_module` node calls; nn.Module's own way takes ten times."""
    found = root
    for word in str(node.target).split("."):
        found = found._modules[word]  # type: ignore[assignment] # a called one is not None
    return found


def op_of(node: fx.Node, root: nn.Module) -> str:
    """Return the canonical operation of an fx node."""
    if node.op == "placeholder":
        return "input"
    if node.op == "output":
        return "output"
    if node.op == "get_attr":
        return "parameter"
    if node.op == "call_module":
        return module_op(called_module(node, root))
    if node.op == "call_method":
        return METHOD_OPS.get(str(node.target)) or function_op(str(node.target))
    return _op_of_function(node.target)


@cache
def _op_of_function(target: Any) -> str:
    name = getattr(target, "__name__", str(target))
    return function_op(name) if is_known_code(target) else f"{_home(target)}.{name}"


_HOMES = ("", "torch", "torchvision", "netloft", "_operator", "operator", "math", "builtins")
"""Packages whose functions are what their names say; the empty one is that of built-in methods."""

_NAMESPACES = ("aten", "prims", "prim", "torchvision", "higher_order")


def _home(target: Any) -> str:
    """Return where a function comes from: its module, or the namespace of a registered operator."""
    if isinstance(target, OpOverload):
        return target.namespace
    if isinstance(target, OpOverloadPacket):
        return str(target._qualified_op_name).partition("::")[0]
    return getattr(target, "__module__", "") or ""


def is_known_code(target: Any) -> bool:
    """Tell whether a function is torch's; anybody may call one of their own `normalize`."""
    home = _home(target)
    if isinstance(target, OpOverload | OpOverloadPacket):
        return home in _NAMESPACES
    return home.partition(".")[0] in _HOMES


_NO_WRITES = ("requires_grad_", "share_memory_")


def is_inplace(node: fx.Node, root: nn.Module) -> bool:
    """Tell whether the node overwrites its first operand."""
    if node.op == "call_module":
        return bool(getattr(called_module(node, root), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    if node.kwargs.get("inplace") is True:
        return True
    always = _overwrites(node.target)
    return bool(bound_arguments(node).get("inplace", False)) if always is None else always


@cache
def _overwrites(target: Any) -> bool | None:
    """Tell whether a function or a method overwrites its operand; None if `inplace` says it."""
    name = target if isinstance(target, str) else str(getattr(target, "__name__", ""))
    name = name.partition(".")[0]
    if getattr(target, "__module__", "") == "_operator" or name.startswith("__"):
        plain = name.strip("_")
        return plain == "setitem" or plain in _IN_PLACE_OPERATORS
    if name.endswith("_") and not name.startswith("_"):
        return name not in _NO_WRITES
    return None if inplace_is_an_argument(target) else False


def writes(node: fx.Node, root: nn.Module) -> bool:
    """Tell whether the node overwrites its first operand, or its `out=` argument."""
    return node.kwargs.get("out") is not None or is_inplace(node, root)


_MODULE_ATTRIBUTES = """
    in_channels out_channels kernel_size stride padding dilation groups padding_mode output_size
    in_features out_features num_features num_channels num_groups normalized_shape eps ceil_mode
    count_include_pad divisor_override negative_slope approximate dim p start_dim end_dim
    num_embeddings embedding_dim embed_dim num_heads size scale_factor mode align_corners
    output_padding value upscale_factor hidden_size num_layers bidirectional inplace
""".split()  # noqa: SIM905 - forty quoted names would hide the list


def attributes_of(node: fx.Node, root: nn.Module) -> dict[str, object]:
    """Return the hyper-parameters of a node by name; tensors and defaults of None are left out."""
    found: Mapping[str, object]
    if node.op == "call_module":
        module = called_module(node, root)
        # where a module keeps its plain attributes; asking it for one that it lacks is slow
        own = vars(module)
        found = {name: own[name] for name in _MODULE_ATTRIBUTES if name in own}
        found = {**found, "bias": getattr(module, "bias", None) is not None}
    elif node.op in ("call_function", "call_method"):
        found = bound_arguments(node)
        if node.target is torch.einsum and node.args:
            found = {"equation": node.args[0]}
    else:
        return {}
    return {name: value for name, value in found.items() if is_plain(value)}
