"""Padding, and cropping by a negative pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering

__all__ = ["pad", "padded"]

# torch's name to ONNX's
_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

_END = 2**62


@lowering("pad")
def pad(
    ctx: Context, input: ir.Value, pad: Sequence[Dim], mode: str = "constant", value: Any = None
) -> ir.Value:
    """torch.nn.functional.pad to Pad: pads from the last axis backwards, mode, value."""
    begins, ends = list(pad[0::2])[::-1], list(pad[1::2])[::-1]
    return padded(ctx, input, begins, ends, mode, value or 0)


def padded(
    ctx: Context,
    input: ir.Value,
    begins: Sequence[Dim],
    ends: Sequence[Dim],
    mode: str,
    value: Any = 0,
) -> ir.Value:
    """Pad the last axes.

    Args:
        ctx: The graph under construction.
        input: What to pad.
        begins: Elements before each of the last axes; negative ones are cut off.
        ends: The same for behind.
        mode: torch's name.
        value: What `constant` puts there.
    """
    if mode not in _MODES or isinstance(value, ir.Value | str):
        raise Unsupported(f"padding mode {mode}, or with a computed value")
    lengths = [*begins, *ends]
    if not all(isinstance(length, int) for length in lengths):
        return _by_computed(ctx, input, lengths, mode, value)
    more = [max(int(length), 0) for length in lengths]
    less = [min(int(length), 0) for length in lengths]
    if mode in ("constant", "circular"):  # cut first, in torch: what was cut does not come back
        return _pad(ctx, _crop(ctx, input, less), more, mode, value)
    return _crop(ctx, _pad(ctx, input, more, mode, value), less)


def _by_computed(
    ctx: Context, input: ir.Value, lengths: Sequence[Dim], mode: str, value: Any
) -> ir.Value:
    if mode != "constant":
        raise Unsupported(f"padding mode {mode} by lengths that follow the batch")
    info, n = ctx.info_of(input), len(lengths) // 2
    whole = [0] * (len(info.shape) - n)
    pads = ctx.dims([*whole, *lengths[:n], *whole, *lengths[n:]])
    return ctx.op("Pad", input, pads, ctx.constant(value, info.dtype))


def _crop(ctx: Context, input: ir.Value, cuts: Sequence[int]) -> ir.Value:
    n = len(cuts) // 2
    axes = [axis for axis in range(n) if cuts[axis] or cuts[axis + n]]
    if not axes:
        return input
    starts = [-cuts[axis] for axis in axes]
    ends = [cuts[axis + n] or _END for axis in axes]
    bounds = (starts, ends, [axis - n for axis in axes])
    made = ctx.op("Slice", input, *(ctx.ints(values) for values in bounds))
    return _known(ctx, made, input, cuts)


def _pad(ctx: Context, input: ir.Value, pads: Sequence[int], mode: str, value: Any) -> ir.Value:
    if not any(pads):
        return input
    info, n = ctx.info_of(input), len(pads) // 2
    if mode != "constant" and 0 in info.shape:
        raise Unsupported(f"padding mode {mode} of nothing")
    if mode == "circular" and ctx.opset < 19:
        made = input
        for axis in range(n):
            made = _wrapped(ctx, made, axis - n, pads[axis], pads[axis + n])
        return _known(ctx, made, input, pads)
    whole = [0] * (len(info.shape) - n)
    fill = ctx.constant(value, info.dtype) if mode == "constant" and value else None
    both = ctx.ints([*whole, *pads[:n], *whole, *pads[n:]])
    return _known(ctx, ctx.op("Pad", input, both, fill, mode=_MODES[mode]), input, pads)


def _known(ctx: Context, made: ir.Value, input: ir.Value, pads: Sequence[int]) -> ir.Value:
    info, n = ctx.info_of(input), len(pads) // 2
    shape = list(info.shape)
    for axis, more in enumerate(a + b for a, b in zip(pads[:n], pads[n:], strict=True)):
        dim = shape[axis - n]
        shape[axis - n] = dim + more if isinstance(dim, int) else f"{dim}{more:+d}"
    return ctx.know(made, TensorInfo(tuple(shape), info.dtype))


def _wrapped(ctx: Context, input: ir.Value, axis: int, begin: int, end: int) -> ir.Value:
    """Pad's mode `wrap` came with opset 19."""
    parts = [input]
    if begin:
        last = (ctx.ints([value]) for value in (-begin, _END, axis))
        parts.insert(0, ctx.op("Slice", input, *last))
    if end:
        first = (ctx.ints([value]) for value in (0, end, axis))
        parts.append(ctx.op("Slice", input, *first))
    return ctx.op("Concat", *parts, axis=axis) if len(parts) > 1 else input
