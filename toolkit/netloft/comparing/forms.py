"""What an operation does, spelled alike for a module, a function and a node of a file.

Where a spelling leaves open what an operation does, or where it is told in operands that a
file's record does not hold, the form is partial, and two of these are not called the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import fx

from netloft.comparing.arguments import Arguments
from netloft.comparing.file_forms import FILE_FORMS
from netloft.comparing.form import COMMUTES, Form, Shape, Wants, even_padding, pooled, split
from netloft.comparing.form import known as known_shape
from netloft.comparing.plain import plain
from netloft.comparing.readers import Readers
from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.graph import Graph

__all__ = ["form_of"]


def form_of(
    node: fx.Node, record: Annotation, graph: Graph, arguments: Arguments | None, shape: Shape,
    readers: Readers | None,
) -> Form:  # fmt: skip
    """Return what an operation does, as far as it can be told alike for all spellings.

    Args:
        node: The operation.
        record: What is known of it.
        graph: Where it is.
        arguments: What it is called with; None for a node of a file.
        shape: Of its result, the batch as `batch`.
        readers: Of the file's tensors; None for a module.
    """
    wants = Wants(node, record, shape, _rank(node), readers, graph)
    if arguments is None:
        make = FILE_FORMS.get(wants.op_type)
        return make(wants) if make else Form({}, whole=False)
    if record.family == "parameter":
        return Form({})
    if record.op in ("float", "double", "half"):
        return _cast(wants, _Told({}))
    told = _Told(dict(arguments.named), arguments.spelling.removeprefix("module "))
    found = _MODULE_FORMS.get(record.op)
    if found is None or not arguments.complete:
        return Form({}, whole=False)
    form = found(wants, told)
    return Form(form.facts, form.whole and not told.left())


def _rank(node: fx.Node) -> int:
    for operand in node.all_input_nodes:
        record = operand.meta.get("netloft")
        if isinstance(record, Annotation) and isinstance(record.value, TensorInfo):
            return len(record.value.shape)
    return 0


_SPELLING = (
    "affine", "elementwise_affine", "transposed", "bias", "track_running_stats", "padding_around",
    "min_value", "max_value", "num_channels", "num_parameters", "training",
    "num_embeddings", "embedding_dim", "norm_type", "padding_idx", "scale_grad_by_freq", "sparse",
)  # fmt: skip


class _Told:
    """Arguments of a call, taken one by one; what is left over has no common form."""

    def __init__(self, named: dict[str, object], kind: str = "") -> None:
        self.named, self.kind = named, kind

    def take(self, *names: str, otherwise: Any = None) -> Any:
        found = otherwise
        for name in names:
            if name in self.named:
                found = self.named.pop(name)
        return otherwise if found is None else found

    def left(self) -> list[str]:
        """Return the names of what nobody has asked for, without operands and weights."""
        return [
            name
            for name, value in self.named.items()
            if name not in _SPELLING and value is not None and not _is_operands(value)
        ]


def _is_operands(value: object) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    return value[0] in ("value", "weight") or all(_is_operands(item) for item in value)


def _nothing(wants: Wants, told: _Told) -> Form:
    return Form({})


def _binary(wants: Wants, told: _Told) -> Form:
    sides = [told.take("input", "argument 0"), told.take("other", "argument 1")]
    if None in sides:
        return Form({}, whole=False)
    found = tuple("value" if isinstance(s, tuple) else plain("", s) for s in sides)
    return Form({"operands": tuple(sorted(found, key=repr)) if wants.record.op in COMMUTES
                 else found})  # fmt: skip


def _cast(wants: Wants, told: _Told) -> Form:
    told.named.clear()
    value = wants.record.value
    return Form({"type": value.dtype if isinstance(value, TensorInfo) else None})


def _ints(value: object, rank: int) -> object:
    return (value,) * rank if isinstance(value, int) else value


def _conv(wants: Wants, told: _Told) -> Form:
    attributes = wants.record.attributes
    named = {**attributes, **told.named}
    rank = int(wants.record.op[-2])
    if named.get("padding_mode", "zeros") != "zeros":
        return Form({}, whole=False)
    dilation = _ints(named.get("dilation", 1), rank)
    kernel = attributes.get("kernel_size") or _kernel(attributes)
    padding = named.get("padding", 0)
    facts = {
        "stride": plain("stride", _ints(named.get("stride", 1), rank)),
        "dilation": plain("dilation", dilation),
        "groups": named.get("groups", 1),
    }
    told.named.clear()
    if isinstance(padding, str):
        padding = 0 if padding == "valid" else even_padding(_ints(kernel, rank), dilation)
    padding = plain("padding", _halves(_ints(padding, rank), rank))
    if "transpose" in wants.record.op:
        facts["shape"] = wants.shape
        return Form({**facts, "padding": padding}, whole=known_shape(wants.shape))
    return Form({**facts, "padding": padding}, whole=padding is not None)


def _kernel(attributes: Mapping[str, object]) -> object:
    shape = attributes.get("weight_shape")
    return shape[2:] if isinstance(shape, tuple) else None


def _halves(padding: object, rank: int) -> object:
    if isinstance(padding, tuple) and len(padding) == 2 * rank:
        return padding[:rank] if padding[:rank] == padding[rank:] else padding
    return padding


def _pool(wants: Wants, told: _Told) -> Form:
    rank = int(wants.record.op[-2])
    kernel = plain("kernel_size", _ints(told.take("kernel_size"), rank))
    stride = plain("stride", _ints(told.take("stride"), rank))
    facts = {
        "kernel_size": kernel,
        "stride": stride if stride not in (None, ()) else kernel,
        "padding": plain("padding", _ints(told.take("padding", otherwise=0), rank)),
        "dilation": plain("dilation", _ints(told.take("dilation", otherwise=1), rank)),
        "ceil_mode": bool(told.take("ceil_mode", otherwise=False)),
    }
    if wants.record.op.startswith("avg"):
        counts = bool(told.take("count_include_pad", otherwise=True))
        facts["count_include_pad"] = counts or facts["padding"] == 0
    form = pooled(wants, facts)
    return Form(form.facts, whole=form.whole and not told.take("return_indices"))


def _adaptive(wants: Wants, told: _Told) -> Form:
    size = plain("output_size", told.take("output_size"))
    return Form({"output_size": size}, whole=size is not None and not told.take("return_indices"))


def _norm(wants: Wants, told: _Told) -> Form:
    eps = told.take("eps", otherwise=1e-5)
    facts: dict[str, object] = {"eps": plain("eps", float(eps))}
    if wants.record.op == "layer_norm":
        facts["over"] = _ints(told.take("normalized_shape"), 1)
    if wants.record.op == "group_norm":
        facts["num_groups"] = told.take("num_groups")
    told.take("momentum", "cudnn_enabled", "use_input_stats")
    return Form(facts, whole=not told.take("training"))


def _dim(wants: Wants, told: _Told) -> Form:
    dim = told.take("dim", "axis", otherwise=0 if wants.record.op == "cat" else None)
    return Form({"dim": wants.axis(dim)}, whole=wants.axis(dim) is not None)


def _split(wants: Wants, told: _Told) -> Form:
    dim = wants.axis(told.take("dim", otherwise=0))
    told.named.clear()
    return split(wants, dim)


def _clamp(wants: Wants, told: _Told) -> Form:
    ends = [
        told.take("min", "min_val", otherwise=-1.0 if wants.record.op == "hardtanh" else None),
        told.take("max", "max_val", otherwise=1.0 if wants.record.op == "hardtanh" else None),
    ]
    if wants.record.op == "relu6":
        ends = [0.0, 6.0]
    whole = not any(isinstance(end, tuple) for end in ends)
    return Form({"min": plain("", ends[0]), "max": plain("", ends[1])}, whole=whole)


def _one(*names: str, otherwise: Any, call: str = "") -> Callable[[Wants, _Told], Form]:
    def make(wants: Wants, told: _Told) -> Form:
        value = plain("", told.take(*names, otherwise=otherwise))
        return Form({call or names[0]: float(value) if isinstance(value, int) else value})

    return make


def _softplus(wants: Wants, told: _Told) -> Form:
    return Form({}, whole=told.take("beta", otherwise=1) == 1 and told.take("threshold") == 20)


def _permute(wants: Wants, told: _Told) -> Form:
    order = list(range(wants.rank))
    if wants.record.op == "permute":
        dims = told.take("dims")
        order = [wants.axis(d) for d in dims] if isinstance(dims, tuple) else []  # type: ignore[misc]
    elif wants.record.op in ("transpose", "swapaxes"):
        ends = [wants.axis(told.take(f"dim{i}", f"axis{i}")) for i in (0, 1)]
        if None in ends:
            return Form({}, whole=False)
        a, b = (int(end) for end in ends if end is not None)
        order[a], order[b] = order[b], order[a]
    else:
        order = order[::-1] if wants.record.op == "t" else []
    return Form({"dims": tuple(order)}, whole=bool(order) and None not in order)


def _shape(wants: Wants, told: _Told) -> Form:
    told.named.clear()
    return Form({"shape": wants.shape}, whole=known_shape(wants.shape))


def _reduce(wants: Wants, told: _Told) -> Form:
    dims = told.take("dim")
    told_dims = tuple(range(wants.rank)) if dims in (None, ()) else dims
    dims = told_dims if isinstance(told_dims, tuple) else (told_dims,)
    found = sorted(d for d in map(wants.axis, dims) if d is not None)
    keeps = bool(told.take("keepdim", otherwise=False))
    return Form({"dim": tuple(found), "keepdim": keeps}, whole=len(found) == len(dims))


_PAD_MODES = {"Zero": "constant", "Const": "constant", "Refle": "reflect", "Repli": "replicate",
              "Circu": "circular"}  # fmt: skip


def _pad(wants: Wants, told: _Told) -> Form:
    sizes = told.named.pop("padding", None) or told.take("pad")
    spatial = max(wants.rank - 2, 1)
    pads = sizes if isinstance(sizes, tuple) else (sizes,) * (2 * spatial)
    while len(pads) > 2 and pads[-2:] == (0, 0):
        pads = pads[:-2]
    value = told.take("value", otherwise=0.0)
    mode = _PAD_MODES.get(told.kind[:5], told.take("mode", otherwise="constant"))
    facts = {"mode": mode, "value": float(value) if mode == "constant" else 0.0, "pad": pads}
    whole = known_shape(wants.shape) and bool(wants.rank)
    return Form({**facts, "shape": wants.shape}, whole=whole)


def _resample(wants: Wants, told: _Told) -> Form:
    mode = str(told.take("mode", otherwise="nearest"))
    names = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
    return Form({"mode": names.get(mode, mode), "shape": wants.shape}, whole=False)


def _layer(wants: Wants, told: _Told) -> Form:
    # the rest of what it is called with is not told alike
    names = ("hidden_size", "bidirectional")
    return Form({n: told.take(n) for n in names if n in told.named}, whole=False)


def _by_shape(wants: Wants, told: _Told) -> Form:
    return Form({"shape": wants.shape}, whole=False)


def _table() -> dict[str, Callable[[Wants, _Told], Form]]:
    found: dict[str, Callable[[Wants, _Told], Form]] = {}
    for names, make in (
        ("relu sigmoid tanh erf exp log sqrt abs neg sin cos floor ceil sign reciprocal not isnan "
         "hardswish mish softsign matmul bmm mm linear identity prelu embedding silu", _nothing),
        ("add sub mul div pow maximum minimum and or xor eq lt gt le ge", _binary),
        ("to float double half", _cast),
        ("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d", _conv),
        ("max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d", _pool),
        ("batch_norm layer_norm instance_norm group_norm", _norm),
        ("softmax log_softmax cat", _dim), ("split chunk", _split),
        ("clamp clamp_min clamp_max clip hardtanh relu6", _clamp), ("softplus", _softplus),
        ("leaky_relu", _one("negative_slope", otherwise=0.01)),
        ("elu celu", _one("alpha", otherwise=1.0)),
        ("gelu", _one("approximate", otherwise="none")),
        ("permute transpose swapaxes t", _permute),
        ("reshape flatten squeeze unsqueeze unflatten view expand expand_as", _shape),
        ("mean sum prod amax amin", _reduce), ("pad", _pad), ("interpolate", _resample),
        ("lstm gru rnn", _layer), ("getitem select narrow index_select", _by_shape),
        ("pixel_shuffle", _by_shape),
        *((f"adaptive_{kind}_pool{n}d", _adaptive) for kind in ("avg", "max") for n in (1, 2, 3)),
    ):  # fmt: skip
        found |= dict.fromkeys(names.split(), make)
    return found


_MODULE_FORMS = _table()
