"""Interpolation to another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import UNKNOWN, evaluate, symbols_of
from netloft_exporters.onnx.lowering.adaptive import adaptive_mean, by_matrices
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import FLOATS, need

# torch's name to ONNX's
_SMOOTH = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}

_PROBES = (3, 4, 5, 7, 11, 13, 16, 17, 30, 31, 64, 100)


@dataclass(frozen=True)
class _Axis:
    """One axis of an interpolation.

    Attributes:
        axis: Counted from the end.
        given: Length before.
        wanted: Length after.
        scale: What torch scales by where it is not the ratio of the lengths.
        rank: Of the data.
    """

    axis: int
    given: Dim
    wanted: Dim
    scale: float | None
    rank: int

    @property
    def from_start(self) -> int:
        """Its number counted from the start: OpenVINO does not load a Resize with others."""
        return self.axis + self.rank


@lowering("interpolate")
def interpolate(
    ctx: Context,
    input: ir.Value,
    size: Any = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> ir.Value:
    """torch.nn.functional.interpolate to Resize: mode, coordinate_transformation_mode, scales.

    Nearest neighbours by another factor than a whole number are gathered, because the runtimes
    round elsewhere; what Resize has no kernel for is a product with a constant matrix an axis.
    """
    n = len(ctx.shape_of(input)) - 2
    if mode == "area":
        return adaptive_mean(ctx, input, n)
    scales = [None] * n if recompute_scale_factor else _scales(scale_factor, n)
    given, wanted = ctx.shape_of(input)[-n:], ctx.result.shape[-n:]
    axes = [
        _Axis(i - n, a, b, scale, n + 2)
        for i, (a, b, scale) in enumerate(zip(given, wanted, scales, strict=True))
    ]
    if mode in ("nearest", "nearest-exact"):
        return _nearest(ctx, input, axes, mode)
    if antialias or ctx.result.dtype == "float64":
        return _by_torch(ctx, input, axes, mode, align_corners, antialias)
    need(ctx, input)
    return _smooth(ctx, input, axes, _SMOOTH[mode], bool(align_corners))


def _torch_type(ctx: Context) -> torch.dtype:
    """Return the type in which torch works out places and weights."""
    return torch.float64 if ctx.result.dtype == "float64" else torch.float32


def _scales(scale_factor: Any, n: int) -> list[float | None]:
    if isinstance(scale_factor, tuple | list):
        return [float(scale) for scale in scale_factor]
    return [None if scale_factor is None else float(scale_factor)] * n


# nearest neighbours


def _nearest(ctx: Context, input: ir.Value, axes: list[_Axis], mode: str) -> ir.Value:
    changed = [axis for axis in axes if axis.given != axis.wanted or axis.scale not in (None, 1.0)]
    times = [_whole_factor(axis, mode) for axis in changed]
    if changed and None not in times and ctx.result.dtype in (*FLOATS, "int32", "int8", "uint8"):
        return ctx.op(
            "Resize",
            input,
            None,
            ctx.constant(times, "float32"),
            axes=[axis.from_start for axis in changed],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    dtype = _torch_type(ctx)
    for axis in changed:
        given, wanted = ctx.fixed([axis.given, axis.wanted])
        places = _places(axis, given, wanted, dtype, mode=mode)
        input = ctx.op("Gather", input, ctx.ints(places), axis=axis.axis)
    return input


def _whole_factor(axis: _Axis, mode: str) -> int | None:
    """Return how many times each element is repeated, where that is all there is to it."""
    times = _times(axis.given, axis.wanted)
    if times is None or axis.scale not in (None, float(times)):
        return None
    if isinstance(axis.given, int):
        wanted = times * axis.given
        places = _places(axis, axis.given, wanted, torch.float32, mode=mode)
        if places != [i // times for i in range(wanted)]:
            return None
    return times


def _times(given: Dim, wanted: Dim) -> int | None:
    """Return the whole number that one length is of another, for every size of the open axes."""
    if UNKNOWN in (given, wanted):
        return None
    names = sorted(symbols_of(given) | symbols_of(wanted))
    found = set()
    for i, probe in enumerate(_PROBES):
        sizes = {name: probe + (i * k) % 5 for k, name in enumerate(names)}
        found.add(Fraction(evaluate(wanted, sizes), max(evaluate(given, sizes), 1)))
    ratio = found.pop()
    return None if found or ratio.denominator != 1 else int(ratio)


def _places(axis: _Axis, given: int, wanted: int, dtype: torch.dtype, **options: Any) -> list[int]:
    """Ask torch itself which element goes where."""
    found = _asked(axis, torch.arange(given, dtype=dtype)[None], wanted, **options)
    return [int(place) for place in found[0]]


def _asked(axis: _Axis, rows: torch.Tensor, wanted: int, **options: Any) -> torch.Tensor:
    """Interpolate each row, as the one axis of data of this rank that changes.

    torch has other rules for two axes than for one or three, and for axes of length one.
    """
    n = axis.rank - 2
    shape = [len(rows), 1, *[1] * n]
    shape[axis.axis] = rows.shape[1]
    wide = [4] * n
    wide[axis.axis] = rows.shape[1]
    data = rows.reshape(shape).expand(-1, -1, *wide).contiguous()
    wide[axis.axis] = wanted
    if axis.scale is None:
        made = functional.interpolate(data, size=wide, **options)
    else:
        scales = [1.0] * n
        scales[axis.axis] = axis.scale
        made = functional.interpolate(data, scale_factor=scales, **options)
    return made.movedim(axis.axis, -1).reshape(len(rows), -1, wanted)[:, 0]


# linear and cubic


def _smooth(
    ctx: Context, input: ir.Value, axes: list[_Axis], mode: str, align_corners: bool
) -> ir.Value:
    by_size = align_corners or all(axis.scale is None for axis in axes)
    sizes = ctx.dims([axis.wanted for axis in axes]) if by_size else None
    scales = None if by_size else ctx.constant([_scale(axis) for axis in axes], "float32")
    return ctx.op(
        "Resize",
        input,
        None,
        scales,
        sizes,
        axes=[axis.from_start for axis in axes],
        mode=mode,
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
        cubic_coeff_a=-0.75 if mode == "cubic" else None,
    )


def _scale(axis: _Axis) -> float:
    """Return a factor that gives the wanted length in single precision too.

    Raises:
        Unsupported: The length follows the batch, and the factor has no exact single precision.
    """
    assert axis.scale is not None
    scale = np.float32(axis.scale)
    if not isinstance(axis.given, int):
        if Fraction(axis.scale).denominator > 64:
            raise Unsupported(f"a length that follows the batch times {axis.scale}")
        return float(scale)
    for _ in range(8):
        found = int(np.floor(np.float32(axis.given) * scale)), int(axis.given * float(scale))
        if found == (axis.wanted, axis.wanted):
            return float(scale)
        scale = np.nextafter(scale, np.float32(np.inf if min(found) < int(axis.wanted) else 0))
    raise Unsupported(f"a factor of {axis.scale}, which single precision does not hold")


def _by_torch(
    ctx: Context,
    input: ir.Value,
    axes: list[_Axis],
    mode: str,
    align_corners: bool | None,
    antialias: bool,
) -> ir.Value:
    """Ask torch itself for the weights of each axis."""
    matrices = {}
    dtype = _torch_type(ctx)
    for axis in axes:
        given, wanted = ctx.fixed([axis.given, axis.wanted])
        if given == wanted and axis.scale in (None, 1.0):
            continue
        options = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
        matrices[axis.axis] = _asked(axis, torch.eye(given, dtype=dtype), wanted, **options).numpy()
    return by_matrices(ctx, input, matrices)


# the same elements in other places


@lowering("pixel_shuffle")
def pixel_shuffle(ctx: Context, input: ir.Value, upscale_factor: int) -> ir.Value:
    """torch.nn.functional.pixel_shuffle to DepthToSpace: blocksize, mode CRD."""
    *lead, channels, height, width = ctx.shape_of(input)
    r = upscale_factor
    if len(lead) == 1 and ctx.result.dtype in FLOATS:
        return ctx.op("DepthToSpace", input, blocksize=r, mode="CRD")
    groups = ctx.fixed([channels])[0] // (r * r)
    split = [*lead, groups, r, r, height, width]
    return _rearranged(ctx, input, split, [0, 3, 1, 4, 2])


@lowering("pixel_unshuffle")
def pixel_unshuffle(ctx: Context, input: ir.Value, downscale_factor: int) -> ir.Value:
    """torch.nn.functional.pixel_unshuffle to Reshape, Transpose and Reshape.

    SpaceToDepth puts the channels into another order.
    """
    *lead, channels, height, width = ctx.shape_of(input)
    r = downscale_factor
    height, width = (length // r for length in ctx.fixed([height, width]))
    return _rearranged(ctx, input, [*lead, channels, height, r, width, r], [0, 2, 4, 1, 3])


def _rearranged(ctx: Context, input: ir.Value, split: list[Dim], order: list[int]) -> ir.Value:
    """Split axes, put the last of them into an order, and join them to the result's shape."""
    value = ctx.reshape(input, split)
    lead = len(split) - len(order)
    perm = [*range(lead), *(lead + axis for axis in order)]
    made = ctx.op("Transpose", value, perm=perm)
    info = TensorInfo(tuple(split[axis] for axis in perm), ctx.result.dtype)
    return ctx.reshape(ctx.know(made, info), ctx.result.shape)


# sampling at points


@lowering("grid_sample")
def grid_sample(
    ctx: Context,
    input: ir.Value,
    grid: ir.Value,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> ir.Value:
    """torch.nn.functional.grid_sample to GridSample: mode, padding_mode, align_corners."""
    if ctx.opset < 20:
        if len(ctx.shape_of(input)) > 4:
            raise Unsupported("sampling of volumes before opset 20")
    else:
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    need(ctx, input, ("float32", "float64"))
    return ctx.op(
        "GridSample",
        input,
        grid,
        mode=mode,
        padding_mode=padding_mode,
        align_corners=int(bool(align_corners)),
    )


@lowering("affine_grid")
def affine_grid(
    ctx: Context, theta: ir.Value, size: Sequence[Dim], align_corners: bool | None = None
) -> ir.Value:
    """torch.nn.functional.affine_grid to MatMul of the constant base grid with theta."""
    lengths = ctx.fixed(size[2:])
    n = len(lengths)
    identity = torch.eye(n, n + 1).unsqueeze(0)
    base = functional.affine_grid(identity, [1, 1, *lengths], align_corners)
    points = torch.cat([base.reshape(-1, n), torch.ones(base.numel() // n, 1)], 1)
    columns = ctx.op("Transpose", theta, perm=[0, 2, 1])
    dtype = ctx.result.dtype
    made = ctx.op("MatMul", ctx.constant(points.numpy(), dtype), columns)
    ctx.know(made, TensorInfo((size[0], len(points), n), dtype))
    return ctx.reshape(made, ctx.result.shape)
