"""A convolution or matrix product with known weights, and what passes have folded into it."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.graph.annotation import Annotation
from netloft.passes.edit import Edit

__all__ = ["Affine", "affine_of", "weight_readers"]

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "conv1d": F.conv1d,
    "conv2d": F.conv2d,
    "conv3d": F.conv3d,
    "conv_transpose1d": F.conv_transpose1d,
    "conv_transpose2d": F.conv_transpose2d,
    "conv_transpose3d": F.conv_transpose3d,
    "linear": F.linear,
}

_AT_A_TIME = 1 << 16  # numbers of a weight that are scaled in float64

_CONV = ("stride", "padding", "dilation", "groups")
_CONV_T = ("stride", "padding", "output_padding", "groups", "dilation")
_MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Conv1d: ("conv1d", _CONV),
    nn.Conv2d: ("conv2d", _CONV),
    nn.Conv3d: ("conv3d", _CONV),
    nn.ConvTranspose1d: ("conv_transpose1d", _CONV_T),
    nn.ConvTranspose2d: ("conv_transpose2d", _CONV_T),
    nn.ConvTranspose3d: ("conv_transpose3d", _CONV_T),
    nn.Linear: ("linear", ()),
}


class Affine(nn.Module):
    """`scale * function(inner * x, weight, bias) + shift`, as one call of the function.

    Scales and shift are kept in float64 and meet the weight only when it is read, so that folding
    rounds once and holds no second copy of the weights.

    Attributes:
        op: Canonical operation: `conv2d`, `conv_transpose2d`, `linear` …
        options: Its other arguments; a padding of twice the length gives all begins, then all ends.
    """

    def __init__(
        self, op: str, weight: Tensor, bias: Tensor | None, options: dict[str, Any]
    ) -> None:
        super().__init__()
        self.op, self.options = op, options
        self._weight, self._bias = [weight], [bias]  # in lists: they are not this module's own
        self._scale: Tensor | None = None
        self._shift: Tensor | None = None
        self._inner: Tensor | None = None

    @property
    def own_weight(self) -> Tensor:
        """The weight before anything was folded."""
        return self._weight[0]

    @property
    def channels(self) -> int:
        """How many channels the result has."""
        size = self.own_weight.shape[1 if self._is_transposed else 0]
        return size * int(self.options.get("groups", 1)) if self._is_transposed else size

    @property
    def weight(self) -> Tensor:
        """The weight to compute with, in its own element type."""
        if not self.is_folded:
            return self.own_weight
        if self._scale is not None and self._inner is None and not self._is_transposed:
            return _scaled_rows(self.own_weight.detach(), self._scale)
        return self._wide_weight().to(self.own_weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        """The bias to compute with, in the weight's element type."""
        if self._scale is None:
            return self._bias[0]
        wide = self._wide_bias()
        return None if wide is None else wide.to(self.own_weight.dtype)

    def scaled(self, scale: Tensor, shift: Tensor) -> Affine:
        """Return this with `scale * result + shift` of each channel folded in.

        Args:
            scale: For each channel of the result, float64.
            shift: Likewise.
        """
        made = copy.copy(self)
        before, offset = self._scale, self._shift
        made._scale = scale if before is None else before * scale
        made._shift = shift if offset is None else offset * scale + shift
        return made

    def scaling_input(self, scale: Tensor) -> Affine:
        """Return this with a scale of each channel of the input folded in.

        Args:
            scale: For each channel of the input, float64.
        """
        made = copy.copy(self)
        made._inner = scale if self._inner is None else self._inner * scale
        return made

    def padded(self, padding: Sequence[int]) -> Affine:
        """Return this with another padding: all begins, then all ends."""
        made = copy.copy(self)
        made.options = {**self.options, "padding": list(padding)}
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Compute in the input's element type."""
        weight = self._wide_weight().to(input.dtype)
        bias = self._wide_bias()
        options = dict(self.options)
        padding = options.get("padding")
        if isinstance(padding, list) and len(padding) == 2 * (weight.dim() - 2):
            n = len(padding) // 2
            pairs = [p for axis in reversed(range(n)) for p in (padding[axis], padding[n + axis])]
            input, options["padding"] = F.pad(input, pairs), 0
        function = _FUNCTIONS[self.op]
        return function(input, weight, None if bias is None else bias.to(input.dtype), **options)

    @property
    def is_folded(self) -> bool:
        """Whether the weight is not the layer's own."""
        return self._scale is not None or self._inner is not None

    @property
    def _is_transposed(self) -> bool:
        return self.op.startswith("conv_transpose")

    def _wide_weight(self) -> Tensor:
        weight = self.own_weight.detach().double()
        # (out, in / groups, …), and (in, out / groups, …) where transposed: the scales of the first
        # axis lie along it, and those of the second are each group's own
        first, second = self._scale, self._inner
        if self._is_transposed:
            first, second = second, first
        if first is not None:
            weight = weight * first.reshape(-1, *[1] * (weight.dim() - 1))
        if second is not None:
            groups = int(self.options.get("groups", 1))
            scale = second.reshape(groups, 1, weight.shape[1], *[1] * (weight.dim() - 2))
            split = weight.reshape(groups, -1, *weight.shape[1:])
            weight = (split * scale).reshape(weight.shape)
        return weight

    def _wide_bias(self) -> Tensor | None:
        bias = self._bias[0]
        wide = None if bias is None else bias.detach().double()
        if self._scale is None or self._shift is None:
            return wide
        return self._shift if wide is None else wide * self._scale + self._shift


def _scaled_rows(weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply in float64 some rows at a time, which then stay in the processor's cache."""
    made = torch.empty_like(weight)
    scales = scale.reshape(-1, *[1] * (weight.dim() - 1))
    step = max(1, _AT_A_TIME * len(weight) // max(1, weight.numel()))
    for start in range(0, len(weight), step):
        rows = slice(start, start + step)
        made[rows] = weight[rows].double().mul_(scales[rows])
    return made


def affine_of(edit: Edit, node: fx.Node, record: Annotation) -> Affine | None:
    """Return what a node computes as an `Affine`; None where it is none."""
    if node.op == "call_module":
        module = edit.module_of(node)
        if isinstance(module, Affine):
            return module
        if type(module) not in _MODULES or len(node.args) != 1 or node.kwargs:
            return None
        if getattr(module, "padding_mode", "zeros") != "zeros" or "forward" in vars(module):
            return None
        op, names = _MODULES[type(module)]
        options = {name: getattr(module, name) for name in names}
        weight: Any = module.weight
        bias: Any = module.bias
        return Affine(op, weight, bias, options)
    if node.op == "call_function" and record.op in _FUNCTIONS:
        return _of_function(edit, node, record.op)
    return None


def _of_function(edit: Edit, node: fx.Node, op: str) -> Affine | None:
    names = _CONV_T if op.startswith("conv_transpose") else _CONV if op != "linear" else ()
    given = dict(zip(("input", "weight", "bias", *names), node.args, strict=False))
    given |= node.kwargs
    weight = _constant(edit, given.get("weight"))
    bias = _constant(edit, given.get("bias"))
    options = {name: given[name] for name in names if name in given}
    plain = all(_is_plain(value) for value in options.values())
    if weight is None or (given.get("bias") is not None and bias is None) or not plain:
        return None
    if not isinstance(given.get("input"), fx.Node):
        return None
    return Affine(op, weight, bias, options)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, int | str)


def _constant(edit: Edit, argument: Any) -> Tensor | None:
    return edit.tensor_of(argument) if isinstance(argument, fx.Node) else None


def input_of(node: fx.Node) -> fx.Node:
    """Return the operand of a node that has an `Affine`."""
    found = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(found, fx.Node)
    return found


def weight_readers(edit: Edit) -> Counter[int]:
    """Count the reads of each weight, by `id` of the tensor; a weight read twice is shared."""
    counts: Counter[int] = Counter()
    for node in edit.fx.nodes:
        if node.op == "call_module":
            module = edit.module_of(node)
            own = [module.own_weight] if isinstance(module, Affine) else module.parameters()
            counts.update(id(tensor) for tensor in own)
        elif node.op == "get_attr":
            tensor = edit.tensor_of(node)
            counts[id(tensor)] += len(node.users)
    return counts


def put_affine(edit: Edit, node: fx.Node, affine: Affine, record: Annotation, name: str) -> None:
    """Let a node be a call of an `Affine`, and be known as `record`."""
    operand, operands = input_of(node), node.all_input_nodes
    if node.op == "call_module":
        edit.put_module(node, affine)
        node.args, node.kwargs = (operand,), {}
    else:
        edit.call_module(node, name, affine, (operand,))
    edit.set(node, **{f.name: getattr(record, f.name) for f in dataclasses.fields(record)})
    edit.drop_unread(operands, node)


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, without its history."""
    return tensor.detach().to(torch.float64)
