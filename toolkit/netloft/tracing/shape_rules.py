"""What the plainest modules give, without asking PyTorch's kernels, which take 50 to 500 µs each.

Each rule is checked against the modules themselves (`tests/toolkit/tracing`), the order of the axes
in memory included: it decides whether a later reshape shares memory. A rule answers only for a
floating-point input that the module would take; for any other it raises, and the whole graph is run
in the slower way, which tells what is wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "FUNCTION_RULES",
    "NAMED",
    "NAMED_FUNCTIONS",
    "SHAPE_RULES",
    "NoAnswer",
    "has_channels_last",
]

Rule = Callable[..., Any]

_made = torch.empty  # tracing wraps it


class NoAnswer(Exception):  # noqa: N818 - the slower run answers
    """The rule does not cover this call."""


def _require(condition: bool) -> None:
    if not condition:
        raise NoAnswer


def _empty(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return _made(shape, dtype=input.dtype, device="meta")


def _empty_like(input: Tensor) -> Tensor:
    # the order of the axes in memory is kept, which takes PyTorch a while to find
    return _empty(input, tuple(input.shape)) if input.is_contiguous() else torch.empty_like(input)


def _laid_out_like(shape: tuple[int, ...], *operands: Tensor) -> Tensor:
    """Return a tensor with the channels last in memory if one of the operands is so."""
    if not any(has_channels_last(operand) for operand in operands):
        return _empty(operands[0], shape)
    _require(len(shape) == 4)  # in three dimensions it depends on the kernel that is chosen
    order = torch.channels_last
    return _made(shape, dtype=operands[0].dtype, device="meta", memory_format=order)


def has_channels_last(tensor: Tensor) -> bool:
    """Tell as PyTorch does, by the strides: lengths of one leave it open otherwise."""
    if tensor.dim() not in (4, 5):
        return False
    least = 0
    for axis in (1, *reversed(range(2, tensor.dim())), 0):
        stride, length = tensor.stride(axis), tensor.shape[axis]
        if length == 0 or stride < least or (axis == 0 and least == tensor.stride(1)):
            return False
        if axis == 1 and stride == 0:  # repeated channels
            return False
        least = stride * length
    return True


def _same(module: nn.Module, input: Tensor) -> Tensor:
    _require(input.dtype.is_floating_point)
    return input if getattr(module, "inplace", False) else _empty_like(input)


def _dropped(module: nn.Dropout, input: Tensor) -> Tensor:
    """Dropout, which gives the very tensor where nothing is dropped."""
    result: Tensor = module.forward(input) if module.training else input
    return result


def _passed_on(module: nn.Identity, input: Tensor) -> Tensor:
    return input


def _normalised(module: Any, input: Tensor) -> Tensor:
    """BatchNorm of any number of axes: the channels have to be its own."""
    weight: Tensor | None = module.weight
    _require(input.dim() == _batch_norm_axes(module, input))
    _require(input.shape[1] == module.num_features)
    _require(weight is None or weight.dtype is input.dtype)
    return _laid_out_like(tuple(input.shape), input)


def _batch_norm_axes(module: nn.Module, input: Tensor) -> int:
    if isinstance(module, nn.BatchNorm1d):
        return input.dim() if input.dim() in (2, 3) else -1
    return 4 if isinstance(module, nn.BatchNorm2d) else 5


def _layer_norm(module: nn.LayerNorm, input: Tensor) -> Tensor:
    shape = tuple(module.normalized_shape)
    _require(tuple(input.shape[input.dim() - len(shape) :]) == shape)
    _require(module.weight is None or module.weight.dtype is input.dtype)
    return _empty(input, tuple(input.shape))


def _group_norm(module: nn.GroupNorm, input: Tensor) -> Tensor:
    _require(input.dim() >= 2 and input.shape[1] == module.num_channels)
    _require(module.weight is None or module.weight.dtype is input.dtype)
    return _laid_out_like(tuple(input.shape), input)


def _softmax(module: nn.Softmax, input: Tensor) -> Tensor:
    _require(input.dtype.is_floating_point)
    return _empty(input, tuple(input.shape))


def _linear(module: nn.Linear, input: Tensor) -> Tensor:
    _require(input.shape[-1] == module.in_features and input.dtype is module.weight.dtype)
    return _empty(input, (*input.shape[:-1], module.out_features))


def _conv(module: Any, input: Tensor) -> Tensor:
    n = len(module.kernel_size)
    _require(input.dim() == n + 2 and input.shape[1] == module.in_channels)
    _require(input.dtype is module.weight.dtype)
    # padded first, into a layout of its own
    _require(module.padding_mode == "zeros" or not has_channels_last(input))
    if module.padding == "same":
        shape = (input.shape[0], module.out_channels, *input.shape[2:])
        return _laid_out_like(shape, input, module.weight)
    padding = (0,) * n if module.padding == "valid" else module.padding
    options = zip(
        input.shape[2:], module.kernel_size, module.stride, padding, module.dilation, strict=True
    )
    spatial = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in options]
    _require(min(spatial) > 0)
    shape = (input.shape[0], module.out_channels, *spatial)
    return _laid_out_like(shape, input, module.weight)


def _pooled(module: Any, input: Tensor) -> Any:
    """Pooling of pictures; PyTorch's own is a program that imports a system for algebra first.

    That answers whatever is unusual, and what the module refuses.
    """
    try:
        return _pooled_picture(module, input)
    except NoAnswer:
        return module.forward(input)


def _pooled_picture(module: Any, input: Tensor) -> Tensor:
    _require(not getattr(module, "return_indices", False))
    _require(getattr(module, "divisor_override", None) is None)
    _require(input.dim() == 4 and input.dtype.is_floating_point and input.shape[1] > 0)
    options = (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
    pairs = [value if isinstance(value, tuple) else (value, value) for value in options]
    _require(all(len(pair) == 2 and {*map(type, pair)} == {int} for pair in pairs))
    sizes = zip(input.shape[2:], *pairs, strict=True)
    spatial = [_pooled_size(*size, ceil=module.ceil_mode) for size in sizes]
    return _laid_out_like((*input.shape[:2], *spatial), input)


def _pooled_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> int:
    _require(min(kernel, stride, dilation) > 0 and 0 <= 2 * padding <= kernel)
    left = size + 2 * padding - dilation * (kernel - 1) - 1
    made = (left + (stride - 1 if ceil else 0)) // stride + 1
    if ceil and (made - 1) * stride >= size + padding:  # the last window begins in the picture
        made -= 1
    _require(made > 0)
    return made


def _global_pool(module: nn.AdaptiveAvgPool2d, input: Tensor) -> Tensor:
    wanted = module.output_size
    sizes = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    lengths = [size for size in sizes if isinstance(size, int)]
    _require(input.dim() == 4 and len(lengths) == 2)
    return _laid_out_like((*input.shape[:2], *lengths), input)


def _recurrent(module: nn.RNNBase, input: Tensor, state: Any = None) -> Any:
    """RNN, GRU and LSTM, which PyTorch would take apart step by step, in seconds."""
    _require(isinstance(input, Tensor) and input.dim() in (2, 3))
    _require(input.shape[-1] == module.input_size)
    batch = (input.shape[0 if module.batch_first else 1],) if input.dim() == 3 else ()
    ways = 2 if module.bidirectional else 1
    width = module.proj_size or module.hidden_size
    shapes = [(ways * module.num_layers, *batch, width)]
    if isinstance(module, nn.LSTM):
        shapes.append((ways * module.num_layers, *batch, module.hidden_size))
    given = [] if state is None else list(state) if isinstance(module, nn.LSTM) else [state]
    _require(not given or [tuple(tensor.shape) for tensor in given] == shapes)
    _require({tensor.dtype for tensor in (input, *given)} == {module.all_weights[0][0].dtype})
    last = tuple(_empty(input, shape) for shape in shapes)
    output = _empty(input, (*input.shape[:-1], ways * width))
    if batch and module.batch_first:  # computed step by step, and turned
        output = _empty(input, (*output.shape[1::-1], ways * width)).transpose(0, 1)
    return output, last if isinstance(module, nn.LSTM) else last[0]


def _attended(module: Any, src: Tensor, *_: Any, **__: Any) -> Tensor:
    """An encoder or a decoder; it looks into its masks, which have no data here."""
    width = module.layers[0].self_attn.embed_dim
    _require(src.dtype.is_floating_point and src.dim() in (2, 3) and src.shape[-1] == width)
    _require(src.is_contiguous())
    return _empty_like(src)


def _translated(module: nn.Transformer, src: Tensor, tgt: Tensor, *_: Any, **__: Any) -> Tensor:
    """An encoder and a decoder: a result for each place of the second sequence."""
    _require(src.dtype.is_floating_point and src.shape[-1] == tgt.shape[-1] == module.d_model)
    _require(src.is_contiguous() and tgt.is_contiguous())
    return _empty_like(tgt)


_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh,
    nn.LeakyReLU, nn.ELU, nn.Mish,
)  # fmt: skip

SHAPE_RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys(_ACTIVATIONS, _same),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _normalised),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _conv),
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), _recurrent),
    nn.Dropout: _dropped,
    nn.Identity: _passed_on,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Softmax: _softmax,
    nn.Linear: _linear,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.MaxPool2d: _pooled,
    nn.AvgPool2d: _pooled,
    nn.TransformerEncoder: _attended,
    nn.TransformerDecoder: _attended,
    nn.Transformer: _translated,
}
"""By exact class: a subclass may do anything in its forward."""

NAMED = (nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer)
"""Whose rules take arguments by name."""


def _elementwise(first: Any, second: Any) -> Tensor:
    """Arithmetic of two alike tensors, or of a floating-point one and a number."""
    if not isinstance(first, Tensor):
        first, second = second, first
    _require(isinstance(first, Tensor))
    _require(first.dtype.is_floating_point and first.is_contiguous())
    if not isinstance(second, Tensor):
        _require(type(second) in (int, float))
        return _empty(first, tuple(first.shape))
    _require(second.dtype is first.dtype and second.is_contiguous())
    if second.shape == first.shape:
        return _empty(first, tuple(first.shape))
    broadcast: Callable[..., torch.Size] = torch.broadcast_shapes
    shape = tuple(broadcast(first.shape, second.shape))
    _require(min(shape, default=0) > 1)  # an axis of length one may lie anywhere in memory
    return _empty(first, shape)


def _in_place(first: Any, second: Any) -> Tensor:
    """`a += b` and the like, which give the very tensor."""
    made = _elementwise(first, second)
    _require(isinstance(first, Tensor) and made.shape == first.shape)
    return first  # type: ignore[no-any-return]


def _product(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    _require(input.is_contiguous() and input.shape[-1] == weight.shape[1] and weight.dim() == 2)
    _require(input.dtype is weight.dtype and (bias is None or bias.dtype is weight.dtype))
    return _empty(input, (*input.shape[:-1], weight.shape[0]))


def _rolled(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    axes = (dims,) if isinstance(dims, int) else () if dims is None else tuple(dims)
    _require(all(-input.dim() <= axis < input.dim() for axis in axes))
    _require(dims is None or len(axes) == (1 if isinstance(shifts, int) else len(shifts)))
    _require(input.is_contiguous())
    _require(dims is not None or isinstance(shifts, int) or len(shifts) == 1)
    return _empty(input, tuple(input.shape))


def _unit_length(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    _require(out is None)
    _require(type(p) is type(eps) is float and -input.dim() <= dim < input.dim())
    _require(min(input.shape) > 1)
    return _in_its_order(input)


def _clamped(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    _require(min is not None or max is not None)
    _require(all(type(limit) in (int, float) for limit in (min, max) if limit is not None))
    return _in_its_order(input)


def _joined(
    tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Any = None
) -> Tensor:
    _require(axis is None and out is None and len(tensors) > 0)
    first = tensors[0]
    _require(all(t.dtype is first.dtype and t.dim() == first.dim() for t in tensors))
    # each says in which order it would have the axes; where none wants them last, none is so
    _require(not any(has_channels_last(t) for t in tensors))
    _require(first.dtype.is_floating_point and -first.dim() <= dim < first.dim())
    shape = list(first.shape)
    del shape[dim]
    for tensor in tensors:
        others = list(tensor.shape)
        del others[dim]
        _require(others == shape)
    shape.insert(dim % first.dim(), sum(t.shape[dim] for t in tensors))
    return _empty(first, tuple(shape))


def _in_its_order(input: Tensor) -> Tensor:
    """Return a result with the axes in memory as the operand has them."""
    _require(isinstance(input, Tensor) and input.dtype.is_floating_point)
    # an axis of length one, or one that is repeated, may lie anywhere
    clear = min(input.shape, default=0) > 1 and min(input.stride()) > 0
    _require(input.is_contiguous() or clear)
    return _empty_like(input)


FUNCTION_RULES: dict[Any, Rule] = {
    operator.add: _elementwise,
    operator.sub: _elementwise,
    operator.mul: _elementwise,
    operator.truediv: _elementwise,
    operator.iadd: _in_place,
    operator.isub: _in_place,
    operator.imul: _in_place,
    operator.itruediv: _in_place,
    torch.add: _elementwise,
    torch.mul: _elementwise,
    torch.cat: _joined,
    torch.roll: _rolled,
    nn.functional.linear: _product,
    torch.clamp: _clamped,
    nn.functional.normalize: _unit_length,
}
"""Likewise for functions, called with what the rule takes."""

NAMED_FUNCTIONS = (torch.cat, torch.roll, torch.clamp, nn.functional.normalize)
"""Whose rules take arguments by name."""
