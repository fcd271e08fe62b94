"""How an operation is called in a drawing: its title, and its short name as a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netloft.graph import Annotation

__all__ = [
    "bytes_text",
    "channels_of",
    "count",
    "duration",
    "kernel_text",
    "list_text",
    "part",
    "rank_of",
    "short_count",
    "size_text",
    "symbol",
    "title",
]

NAMES = {
    "batch_norm": "BatchNorm",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm",
    "rms_norm": "RMSNorm",
    "local_response_norm": "LRN",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "prelu": "PReLU",
    "leaky_relu": "LeakyReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "elu": "ELU",
    "selu": "SELU",
    "glu": "GLU",
    "hardswish": "HardSwish",
    "hardsigmoid": "HardSigmoid",
    "log_softmax": "LogSoftmax",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
    "matmul": "MatMul",
    "multihead_attention": "Attention",
    "scaled_dot_product_attention": "Attention",
    "interpolate": "Resize",
    "stochastic_depth": "DropPath",
    "getitem": "Slice",
    "setitem": "Write",
}
PARTS = {"batch_norm": "BN", "layer_norm": "LN", "group_norm": "GN", "instance_norm": "IN"}
SYMBOLS = {"add": "+", "mul": "×", "sub": "\N{MINUS SIGN}", "rsub": "\N{MINUS SIGN}", "div": "÷"}


def title(record: Annotation) -> str:
    """Return the words that name an operation, e.g. `Conv 3×3 → 64`."""
    attributes = record.attributes
    if isinstance(attributes.get("label"), str):  # what only a file knows goes by its own name
        return str(attributes["label"])
    match record.family:
        case "conv":
            return _conv(record)
        case "linear":
            return _linear(record)
        case "pool":
            return _pool(record)
        case "recurrent":
            return f"{_name(record.op)}{_arrow(attributes.get('hidden_size'))}"
        case "embedding":
            return f"Embedding{_arrow(attributes.get('embedding_dim'))}"
    return _name(record.op)


def part(record: Annotation) -> str:
    """Return an operation's short name in the list of what is fused into a box."""
    if record.family == "pad":
        return _pad(record)
    if record.family == "shape":
        return "write" if record.op == "setitem" else record.op.replace("_", " ")
    return PARTS.get(record.op, _name(record.op))


def symbol(record: Annotation, operands: Sequence[object] = ()) -> str:
    """Return the sign in a merge's circle; empty for what is no merge.

    Args:
        record: The operation.
        operands: What it is given; the constant of `x * 2` is part of the sign.
    """
    if record.op == "cat":
        return "concat"
    if record.family != "merge":
        return ""
    sign = SYMBOLS.get(record.op, record.op)
    pair = [*operands[::-1]] if record.op == "rsub" else [*operands]
    if len(pair) != 2 or sum(isinstance(value, int | float) for value in pair) != 1:
        return sign
    if isinstance(pair[0], int | float):
        return f"{pair[0]:.4g} {sign}"
    return f"{sign} {pair[1]:.4g}"


def count(number: int) -> str:
    """Return `314,178`."""
    return f"{number:,}"


def short_count(number: int) -> str:
    """Return three digits and a letter: `36.9k`, `1.40G`."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit * 0.9995:
            value = number / limit
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f}{letter}"
    return str(number)


def bytes_text(number: int) -> str:
    """Return bytes in the unit that suits them, e.g. `3.8 MiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


def duration(seconds: float) -> str:
    """Return seconds with three digits in the unit that suits them, e.g. `1.23 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds * 1e6)} µs"


def _digits(number: float) -> str:
    """Return three digits, and no more of them after the point than count."""
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"


def _name(op: str) -> str:
    return NAMES.get(op) or "".join(
        word[:1].upper() + word[1:] for word in op.strip("_").split("_")
    )


def _arrow(value: object) -> str:
    return f" → {value}" if isinstance(value, int) else ""


def list_text(value: object) -> str:
    """Return `0, 2, 1` for a list, or the one number."""
    return ", ".join(map(str, value)) if isinstance(value, Sequence) else str(value)


def size_text(value: object) -> str:
    """Return `2` for (2, 2) and `2×1` for (2, 1)."""
    if isinstance(value, tuple | list):
        return str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value))
    return str(value)


def kernel_text(attributes: Mapping[str, object], rank: int) -> str:
    """Return the size of a window, `3×3`; empty where it is not known."""
    size = attributes.get("kernel_size")
    weight = attributes.get("weight_shape")
    if size is None and isinstance(weight, tuple):
        size = weight[2:]
    if isinstance(size, int):
        size = (size,) * rank
    return "×".join(map(str, size)) if isinstance(size, tuple | list) else ""


def rank_of(record: Annotation) -> int:
    """Return how many axes the windows of an operation have, from its name."""
    return int(record.op[-2]) if record.op[-2:-1].isdigit() else 2


def channels_of(record: Annotation) -> tuple[object, object]:
    """Return a convolution's input and output channels."""
    attributes, weight = record.attributes, record.attributes.get("weight_shape")
    groups = attributes.get("groups")
    groups = groups if isinstance(groups, int) else 1
    if not isinstance(weight, tuple):
        return attributes.get("in_channels"), attributes.get("out_channels")
    if record.op.startswith("conv_transpose"):
        return weight[0], weight[1] * groups
    return weight[1] * groups, weight[0]


def _conv(record: Annotation) -> str:
    before, after = channels_of(record)
    groups = record.attributes.get("groups")
    depthwise = groups == before and isinstance(groups, int) and groups > 1
    kind = "UpConv" if record.op.startswith("conv_transpose") else "DWConv" if depthwise else "Conv"
    return f"{kind} {kernel_text(record.attributes, rank_of(record))}{_arrow(after)}"


def _linear(record: Annotation) -> str:
    weight = record.attributes.get("weight_shape")
    if record.op != "linear":
        return _name(record.op)
    return f"Linear{_arrow(weight[0]) if isinstance(weight, tuple) else ''}"


def _pool(record: Annotation) -> str:
    kind = "MaxPool" if "max" in record.op else "AvgPool"
    if record.op.startswith("adaptive"):
        size = record.attributes.get("output_size")
        size = (size,) * rank_of(record) if isinstance(size, int) else size
        return f"{kind} → {'×'.join(map(str, size))}" if isinstance(size, tuple | list) else kind
    return f"{kind} {kernel_text(record.attributes, rank_of(record))}"


def _pad(record: Annotation) -> str:
    pad = record.attributes.get("pad", record.attributes.get("padding"))
    if isinstance(pad, tuple | list):
        values = pad[: 2 * ((len(pad) + 1) // 2)]
        return f"pad {values[0]}" if len(set(values)) == 1 else f"pad {list_text(values)}"
    return f"pad {pad}" if pad is not None else "pad"
