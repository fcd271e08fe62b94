"""Which operators a program may call: torch's own, that compute tensors and touch nothing else."""

from __future__ import annotations

import functools
import re

import torch

__all__ = ["fault"]

_ATEN = re.compile(r"torch\.ops\.aten\.([a-zA-Z]\w*|__\w+__|_\w+)\.(\w+)", re.ASCII)
_LENGTHS = frozenset(
    {f"_operator.{name}" for name in (
        "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lt", "mod", "mul", "ne",
        "neg", "not_", "or_", "pos", "pow", "sub", "truediv")}
    | {f"math.{name}" for name in ("ceil", "floor", "trunc")}
    | {f"torch.{name}" for name in (
        "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sum")}
)  # fmt: skip
"""Arithmetic on lengths."""
_NESTING = frozenset(
    {"torch.ops.higher_order.cond", "torch.ops.higher_order.wrap_with_set_grad_enabled"}
)
"""Operators that call a graph which lies in the same program, and is checked like it."""
_PRIVATE = frozenset({
    "__and__", "__or__", "__xor__", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d",
    "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_conj", "_convolution",
    "_convolution_mode", "_log_softmax", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_reshape_alias", "_safe_softmax",
    "_scaled_dot_product_flash_attention_for_cpu", "_softmax", "_to_copy", "_unsafe_view",
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "_weight_norm",
})  # fmt: skip
"""Of the operators whose names start with `_`, those that programs hold; others skip checks."""
_DENIED = frozenset({"from_file", "record_stream", "resize_", "resize_as_", "set", "set_",
                     "set_data", "requires_grad_", "retain_grad", "segment_reduce"})  # fmt: skip
"""They open files, or reach past the memory of a tensor."""


def fault(target: str) -> str:
    """Say why a program may not call an operator; empty if it may.

    torch looks a target up attribute by attribute from `torch`, `math` and `operator`, so that
    `torch.os.system` would be found. TorchScript's own functions, among them `aten::save`, which
    writes a file, lie in the namespace aten too; an operator has to be one of the dispatcher's.
    """
    if target in _LENGTHS or target in _NESTING:
        return ""
    told = target[:80] if re.fullmatch(r"[ -~]+", target[:80]) else ascii(target[:80])
    match = _ATEN.fullmatch(target)
    if not match:
        return f"calls {told}, which is not an operator of torch's own"
    name, overload = match.groups()
    known = f"aten::{name}" + ("" if overload == "default" else f".{overload}")
    hidden = name.startswith("_") and name not in _PRIVATE
    if known not in _registered() or hidden or name in _DENIED or "sparse" in name:
        return f"calls {told}, which is not one of the operators that compute tensors"
    return ""


@functools.cache
def _registered() -> frozenset[str]:
    names = torch._C._dispatch_get_all_op_names()
    return frozenset(name for name in names if name.startswith("aten::"))
