"""Forms of the nodes of a file: only of those whose record holds all that they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from netloft.comparing.form import COMMUTES, Form, Wants, known, pooled, split
from netloft.comparing.plain import plain
from netloft.graph.annotation import TensorInfo
from netloft.onnx_graph import WEIGHTS

__all__ = ["FILE_FORMS"]


def _get(wants: Wants, name: str, otherwise: Any = None) -> Any:
    return wants.record.attributes.get(name, otherwise)


def _operands(wants: Wants) -> int:
    return sum(isinstance(arg, fx.Node) for arg in wants.node.args)


def _ask(wants: Wants, op_type: str, name: str, otherwise: int) -> int | None:
    if wants.readers is None:
        return None
    return wants.readers.attribute(wants.node.meta.get(WEIGHTS, ()), op_type, name, otherwise)


def _nothing(wants: Wants) -> Form:
    return Form({})


def _binary(wants: Wants) -> Form:
    args = [a for a in wants.node.args if isinstance(a, fx.Node | int | float)]
    found = tuple("value" if isinstance(a, fx.Node) else plain("", a) for a in args)
    ordered = tuple(sorted(found, key=repr)) if wants.record.op in COMMUTES else found
    return Form({"operands": ordered}, whole=len(found) == 2)


def _cast(wants: Wants) -> Form:
    value = wants.record.value
    return Form({"type": value.dtype if isinstance(value, TensorInfo) else None})


def _conv(wants: Wants) -> Form:
    padding = plain("padding", _get(wants, "padding"))
    padding = 0 if padding == "valid" else padding
    facts = {
        "stride": plain("stride", _get(wants, "stride")),
        "dilation": plain("dilation", _get(wants, "dilation")),
        "groups": _get(wants, "groups", 1),
    }
    if padding == "same":
        return Form(facts, whole=False)
    facts["padding"] = padding
    if "transpose" in wants.record.op:
        facts["shape"] = wants.shape
        return Form(facts, whole=known(wants.shape))
    return Form(facts)


def _gemm(wants: Wants) -> Form:
    facts = {name: _get(wants, name) for name in ("alpha", "beta") if _get(wants, name) is not None}
    if wants.record.op != "linear":
        return Form(facts, whole=False)
    turned = _ask(wants, "Gemm", "transA", 0)
    return Form(facts, whole=turned == 0)


def _matmul(wants: Wants) -> Form:
    return Form({}, whole=_operands(wants) == 2 or wants.record.op == "linear")


def _pool(wants: Wants) -> Form:
    names = ("kernel_size", "stride", "padding", "dilation")
    facts: dict[str, object] = {name: plain(name, _get(wants, name)) for name in names}
    facts["padding"] = 0 if facts["padding"] == "valid" else facts["padding"]
    facts["ceil_mode"] = bool(_get(wants, "ceil_mode", False))
    if wants.record.op.startswith("avg"):
        counts = bool(_get(wants, "count_include_pad", False))
        facts["count_include_pad"] = counts or facts["padding"] == 0
    if facts["padding"] == "same":
        return Form({"kernel_size": facts["kernel_size"]}, whole=False)
    return pooled(wants, facts)


def _global(wants: Wants) -> Form:
    return Form({"output_size": 1})


def _norm(wants: Wants) -> Form:
    facts: dict[str, object] = {"eps": plain("", float(_get(wants, "eps", 1e-5)))}
    if wants.record.op == "batch_norm":
        return Form(facts, whole=_ask(wants, "BatchNormalization", "training_mode", 0) == 0)
    if wants.record.op == "group_norm":
        facts["num_groups"] = _get(wants, "num_groups")
    if wants.record.op == "layer_norm":
        shape = _get(wants, "weight_shape") or ()
        facts["over"] = shape
        axis = wants.axis(_ask(wants, "LayerNormalization", "axis", -1))
        return Form(facts, whole=axis is not None and wants.rank - axis == len(shape))
    return Form(facts)


def _dim(wants: Wants) -> Form:
    dim = wants.axis(_get(wants, "dim"))
    is_old = wants.readers is None or wants.readers.opset < 13
    return Form({"dim": dim}, whole=dim is not None and not (is_old and "soft" in wants.record.op))


def _split(wants: Wants) -> Form:
    return split(wants, wants.axis(_get(wants, "dim", 0)))


def _clip(wants: Wants) -> Form:
    ends = [_get(wants, "min"), _get(wants, "max")]
    if wants.record.op == "relu6":
        ends = [0.0, 6.0]
    return Form({"min": plain("", ends[0]), "max": plain("", ends[1])}, whole=_operands(wants) == 1)


def _one(name: str) -> Callable[[Wants], Form]:
    return lambda wants: Form({name: plain("", _get(wants, name))})


def _permute(wants: Wants) -> Form:
    dims = tuple(wants.axis(d) for d in _get(wants, "dims", ()))
    return Form({"dims": dims}, whole=bool(dims) and None not in dims)


def _shape(wants: Wants) -> Form:
    return Form({"shape": wants.shape}, whole=known(wants.shape))


def _reduce(wants: Wants) -> Form:
    dims = _get(wants, "dim")
    found = sorted(d for d in map(wants.axis, dims or ()) if d is not None)
    facts = {"dim": tuple(found), "keepdim": bool(_get(wants, "keepdim", True))}
    if not dims:
        return Form({"keepdim": facts["keepdim"]}, whole=False)
    return Form(facts, whole=len(found) == len(dims))


_PAD_MODES = {"edge": "replicate", "wrap": "circular"}


def _pad(wants: Wants) -> Form:
    mode = str(_get(wants, "mode", "constant"))
    value = float(_get(wants, "value", 0.0)) if mode == "constant" else 0.0
    facts = {"mode": _PAD_MODES.get(mode, mode), "value": value, "pad": _get(wants, "pad")}
    whole = known(wants.shape) and _operands(wants) == 1 and facts["pad"] is not None
    return Form({**facts, "shape": wants.shape}, whole=whole)


def _resize(wants: Wants) -> Form:
    return Form({"mode": _get(wants, "mode", "nearest"), "shape": wants.shape}, whole=False)


def _recurrent(wants: Wants) -> Form:
    names = ("hidden_size", "bidirectional")
    return Form({name: _get(wants, name) for name in names}, whole=False)


def _by_shape(wants: Wants) -> Form:
    return Form({"shape": wants.shape}, whole=False)


def _embedding(wants: Wants) -> Form:
    return Form({}, whole=_ask(wants, "Gather", "axis", 0) == 0)


def _gather(wants: Wants) -> Form:
    return _embedding(wants) if wants.record.op == "embedding" else _by_shape(wants)


def _table() -> dict[str, Callable[[Wants], Form]]:
    found: dict[str, Callable[[Wants], Form]] = {}
    for names, make in (
        ("Relu Sigmoid Tanh Erf Exp Log Sqrt Abs Neg Sin Cos Floor Ceil Sign Reciprocal Not IsNaN "
         "HardSwish Mish Softsign Softplus Identity PRelu Constant", _nothing),
        ("Add Sub Mul Div Pow Max Min And Or Xor Equal Less Greater LessOrEqual GreaterOrEqual",
         _binary),
        ("Cast", _cast), ("Conv ConvTranspose", _conv), ("Gemm", _gemm), ("MatMul", _matmul),
        ("MaxPool AveragePool", _pool), ("GlobalAveragePool GlobalMaxPool", _global),
        ("BatchNormalization LayerNormalization InstanceNormalization GroupNormalization", _norm),
        ("Softmax LogSoftmax Concat", _dim), ("Split", _split), ("Clip", _clip),
        ("LeakyRelu", _one("negative_slope")), ("Elu Celu", _one("alpha")),
        ("Gelu", _one("approximate")), ("Transpose", _permute),
        ("Reshape Flatten Squeeze Unsqueeze Expand", _shape),
        ("ReduceMean ReduceSum ReduceProd ReduceMax ReduceMin", _reduce), ("Pad", _pad),
        ("Resize", _resize), ("LSTM GRU RNN", _recurrent), ("Slice", _by_shape),
        ("Gather", _gather), ("DepthToSpace", _by_shape),
    ):  # fmt: skip
        found |= dict.fromkeys(names.split(), make)
    return found


FILE_FORMS = _table()
