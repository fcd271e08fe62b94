"""Pooling with a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported, dtype_of
from netloft_exporters.onnx.lowering.pad import padded
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import Lengths, batched, need, tuple_of, unbatched

__all__ = ["Windows", "average", "max_with_indices", "windows_of"]

MAX_TYPES = ("float32", "float16", "float64", "int8", "uint8")

# torch pools these on the CPU too; the other type holds every value of the first
_WIDER = {"int16": "float32", "int32": "float64"}


@dataclass(frozen=True)
class Windows:
    """Where the windows of a pooling lie; each list has one entry an axis.

    Attributes:
        kernel: Elements of a window.
        stride: From one window to the next.
        begin: Padding before.
        end: Padding behind, so much that every window is whole.
        dilation: From one element of a window to the next.
        ceil: Let ONNX round the number of windows up, because a length is not a number.
    """

    kernel: list[int]
    stride: list[int]
    begin: list[int]
    end: list[int]
    dilation: list[int]
    ceil: bool = False

    def attributes(self) -> dict[str, Any]:
        """Return ONNX's attributes."""
        dilated = any(d > 1 for d in self.dilation)
        return {
            "kernel_shape": self.kernel,
            "strides": self.stride,
            "pads": [*self.begin, *self.end],
            "dilations": self.dilation if dilated else None,
            "ceil_mode": 1 if self.ceil else None,
        }

    def reach(self) -> list[int]:
        """Return how many elements a window spans."""
        return [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]


def windows_of(
    ctx: Context,
    input: ir.Value,
    kernel_size: Lengths,
    stride: Lengths | None,
    padding: Lengths,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Return the windows of a pooling over the last axes of `input`.

    The number of windows is the graph's: torch drops one that starts in the padding behind, which
    ONNX's `ceil_mode` does not do in every version. So the padding behind says how many there are.
    """
    n = int(ctx.record.op[-2])
    kernel = tuple_of(kernel_size, n)
    empty = stride is None or (not isinstance(stride, int | str) and not stride)
    begin = tuple_of(padding, n)
    plain = Windows(
        kernel, kernel if empty else tuple_of(stride, n), begin, begin, tuple_of(dilation, n)
    )
    return _rounded_up(ctx, input, plain) if ceil_mode else plain


def _rounded_up(ctx: Context, input: ir.Value, plain: Windows) -> Windows:
    n = len(plain.kernel)
    given, wanted = ctx.shape_of(input)[-n:], ctx.results[0].shape[-n:]
    spans = [*zip(plain.stride, plain.begin, plain.reach(), strict=True)]
    if all(isinstance(length, int) for length in (*given, *wanted)):
        ends = [
            max((int(out) - 1) * s + reach - int(size) - p, 0)
            for size, out, (s, p, reach) in zip(given, wanted, spans, strict=True)
        ]
        return replace(plain, end=ends)
    if any(p + s > reach for s, p, reach in spans):
        raise Unsupported("ceil_mode over a length that follows the batch")
    return replace(plain, ceil=True)


@lowering("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    ctx: Context,
    input: ir.Value,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> ir.Value | tuple[ir.Value, ir.Value]:
    """torch.nn.functional.max_pool to MaxPool: kernel_shape, strides, pads, dilations."""
    windows = windows_of(ctx, input, kernel_size, stride, padding, dilation, ceil_mode)
    dtype = ctx.info_of(input).dtype
    wide = any(p >= k for p, k in zip(windows.end, windows.kernel, strict=True))
    if return_indices and wide:
        raise Unsupported("max pooling with indices and more padding than a kernel")
    if return_indices:
        return max_with_indices(ctx, input, windows.attributes(), len(windows.kernel))
    value = ctx.cast(input, _WIDER.get(dtype, dtype))
    need(ctx, value, MAX_TYPES)
    if wide:
        value, windows = _padded(ctx, value, windows)
    rank = len(windows.kernel) + 2
    made = ctx.op("MaxPool", batched(ctx, value, rank), **windows.attributes())
    made = unbatched(ctx, made, input, rank)
    return made if dtype not in _WIDER else ctx.op("Cast", made, to=dtype_of(dtype))


def _padded(ctx: Context, value: ir.Value, windows: Windows) -> tuple[ir.Value, Windows]:
    """Pad beforehand: MaxPool takes no padding as long as its kernel, dilated or not."""
    dtype = ctx.info_of(value).dtype
    lowest = -math.inf if dtype.startswith("float") else torch.iinfo(getattr(torch, dtype)).min
    none = [0] * len(windows.kernel)
    value = padded(ctx, value, windows.begin, windows.end, "constant", lowest)
    return value, replace(windows, begin=none, end=none)


def max_with_indices(
    ctx: Context, input: ir.Value, attributes: dict[str, Any], n: int
) -> tuple[ir.Value, ir.Value]:
    """Return maxima and where they are: torch counts within a channel, ONNX over everything."""
    need(ctx, input, MAX_TYPES)
    made = ctx.ops("MaxPool", batched(ctx, input, n + 2), outputs=2, **attributes)
    values, places = (unbatched(ctx, part, input, n + 2) for part in made)
    plane = product(ctx.shape_of(input)[-n:])
    return values, ctx.op("Mod", places, ctx.scalar(plane))


def product(dims: Sequence[Dim]) -> Dim:
    """Return the product of lengths as a length."""
    if all(isinstance(dim, int) for dim in dims):
        return math.prod(int(dim) for dim in dims)
    return "*".join(f"({dim})" for dim in dims)


@lowering("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    ctx: Context,
    input: ir.Value,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ir.Value:
    """torch.nn.functional.avg_pool to AveragePool.

    What torch divides by otherwise than AveragePool, by `divisor_override` or in a window that
    `ceil_mode` adds, is a Mul after it.
    """
    windows = windows_of(ctx, input, kernel_size, stride, padding, 1, ceil_mode)
    return average(ctx, input, windows, count_include_pad, divisor_override)


def average(
    ctx: Context,
    input: ir.Value,
    windows: Windows,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ir.Value:
    """Return the mean of each window, as torch counts the elements."""
    need(ctx, input)
    if windows.ceil:
        raise Unsupported("ceil_mode of a mean over a length that follows the batch")
    padded = any(windows.begin) and count_include_pad
    rank = len(windows.kernel) + 2
    made = ctx.op(
        "AveragePool",
        batched(ctx, input, rank),
        **windows.attributes(),
        count_include_pad=int(padded or divisor_override is not None),
    )
    made = unbatched(ctx, made, input, rank)
    if divisor_override is not None:
        return ctx.op("Mul", made, ctx.like(math.prod(windows.kernel) / divisor_override))
    if padded and any(e > b for b, e in zip(windows.begin, windows.end, strict=True)):
        return ctx.op("Mul", made, ctx.constant(_parts(ctx, input, windows), ctx.result.dtype))
    return made


def _parts(ctx: Context, input: ir.Value, windows: Windows) -> Any:
    """Return one over the part of each window that is not behind the padding that was asked for."""
    n = len(windows.kernel)
    given, wanted = (ctx.fixed(shape[-n:]) for shape in (ctx.shape_of(input), ctx.result.shape))
    parts = np.ones([1] * n)
    for axis, (size, out) in enumerate(zip(given, wanted, strict=True)):
        k, s, p = windows.kernel[axis], windows.stride[axis], windows.begin[axis]
        starts = np.arange(out) * s - p
        counted = np.minimum(starts + k, size + p) - starts
        parts = parts * (k / counted).reshape([-1 if a == axis else 1 for a in range(n)])
    return parts


@lowering("lp_pool1d", "lp_pool2d", "lp_pool3d")
def lp_pool(
    ctx: Context,
    input: ir.Value,
    norm_type: float,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    ceil_mode: bool = False,
) -> ir.Value:
    """torch.nn.functional.lp_pool to LpPool for even norms.

    LpPool takes the absolute value and torch does not, so others become Pow, AveragePool and Pow.
    """
    need(ctx, input)
    windows = windows_of(ctx, input, kernel_size, stride, 0, 1, ceil_mode)
    rank = len(windows.kernel) + 2
    if norm_type in (2, 4, 6) and not any(windows.end):
        made = ctx.op("LpPool", batched(ctx, input, rank), p=int(norm_type), **windows.attributes())
        return unbatched(ctx, made, input, rank)
    powers = ctx.op("Pow", input, ctx.like(norm_type))
    means = average(ctx, ctx.know(powers, ctx.info_of(input)), windows)
    sums = ctx.op("Mul", means, ctx.like(math.prod(windows.kernel)))
    return ctx.op("Pow", sums, ctx.like(1 / norm_type))


@lowering("max_unpool1d", "max_unpool2d", "max_unpool3d")
def max_unpool(ctx: Context, input: ir.Value, indices: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """torch.nn.functional.max_unpool to ScatterElements into zeros, over the flat plane."""
    n = int(ctx.record.op[-2])
    shape = ctx.result.shape
    lead = shape[:-n]
    planes = ctx.dims([*lead, product(shape[-n:])])
    zero = ir.tensor(np.zeros(1, dtype_of(ctx.result.dtype).numpy()))
    zeros = ctx.op("ConstantOfShape", planes, value=zero)
    flat = [
        ctx.reshape(value, [*lead, product(ctx.shape_of(value)[-n:])]) for value in (indices, input)
    ]
    made = ctx.op("ScatterElements", zeros, *flat, axis=len(lead))
    ctx.know(made, TensorInfo((*lead, product(shape[-n:])), ctx.result.dtype))
    return ctx.reshape(made, shape)
