"""Moves: the same numbers in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import Step, adjoint
from netloft.gradients.lengths import each_axis, pulled_along

__all__ = ["cast", "expand", "identity", "permute", "repeat", "reshape", "swap"]


@adjoint("identity", "dropout", "feature_dropout", "stochastic_depth")
def identity(
    step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """What gives its input."""
    return {"input": grad}


@adjoint("to", "float", "double", "half", "type", "type_as")
def cast(
    step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """Another element type: back to the one that it had."""
    return {"input": grad.type_as(input)}


@adjoint("reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze")
def reshape(
    step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """Another shape: back to the one that it had."""
    return {"input": step.as_argument(grad, "input", input)}


@adjoint("permute")
def permute(
    step: Step, grad: Tensor, input: Tensor, *args: Any, dims: Any = ()
) -> Mapping[str, Any]:
    """torch.permute: back again."""
    given = args or (dims,)
    order = given if isinstance(given[0], int) else given[0]
    rank = len(order)
    back = sorted(range(rank), key=lambda axis: order[axis] % rank)
    return {"input": grad.permute(back)}


@adjoint("transpose", "swapaxes", "swapdims")
def swap(step: Step, grad: Tensor, input: Tensor, dim0: int, dim1: int) -> Mapping[str, Tensor]:
    """torch.transpose: once more."""
    return {"input": grad.transpose(dim0, dim1)}


@adjoint("t")
def t(step: Step, grad: Tensor, input: Tensor) -> Mapping[str, Tensor]:
    """torch.t: once more."""
    return {"input": grad.t()}


@adjoint("movedim", "moveaxis")
def movedim(
    step: Step, grad: Tensor, input: Tensor, source: Any, destination: Any
) -> Mapping[str, Tensor]:
    """torch.movedim: back again."""
    return {"input": grad.movedim(destination, source)}


@adjoint("expand", "expand_as", "broadcast_to")
def expand(
    step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """torch.Tensor.expand: what was repeated is added up."""
    return step.parts(input=lambda: grad)


@adjoint("repeat", "tile")
def repeat(
    step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any
) -> Mapping[str, Tensor]:
    """torch.Tensor.repeat: what was repeated is added up."""
    own, made = step.shape_of("input"), step.shape
    front = len(made) - len(own)
    sizes: list[Any] = []
    summed: list[int] = []
    for axis, whole in enumerate(made):
        mine = own[axis - front] if axis >= front else 1
        if mine == whole:
            sizes.append(-1 if isinstance(whole, str) else whole)
        elif isinstance(mine, int) and isinstance(whole, int):
            summed.append(len(sizes))
            sizes += [whole // mine, mine]
        else:
            step.refuse("an axis whose length is open")
    found = grad.reshape(sizes).sum(dim=summed) if summed else grad
    return {"input": step.as_argument(found, "input", input)}


@adjoint("flip")
def flip(step: Step, grad: Tensor, input: Tensor, *args: Any, **options: Any) -> Mapping[str, Any]:
    """torch.flip: once more."""
    return {"input": grad.flip(*args, **options)}


@adjoint("roll")
def roll(
    step: Step, grad: Tensor, input: Tensor, shifts: Any, dims: Any = None
) -> Mapping[str, Any]:
    """torch.roll: the other way."""
    if dims is None or dims == ():
        step.refuse("no dims are given")
    back = -shifts if isinstance(shifts, int) else [-shift for shift in shifts]
    return {"input": grad.roll(back, dims)}


@adjoint("pixel_shuffle")
def pixel_shuffle(
    step: Step, grad: Tensor, input: Tensor, upscale_factor: int
) -> Mapping[str, Tensor]:
    """torch.nn.functional.pixel_shuffle: back again."""
    return {"input": F.pixel_unshuffle(grad, upscale_factor)}


@adjoint("pixel_unshuffle")
def pixel_unshuffle(
    step: Step, grad: Tensor, input: Tensor, downscale_factor: int
) -> Mapping[str, Tensor]:
    """torch.nn.functional.pixel_unshuffle: back again."""
    return {"input": F.pixel_shuffle(grad, downscale_factor)}


@adjoint("channel_shuffle")
def channel_shuffle(step: Step, grad: Tensor, input: Tensor, groups: int) -> Mapping[str, Tensor]:
    """torch.nn.functional.channel_shuffle: with the groups and their members changed about."""
    (channels,) = step.lengths_of("input", 1)
    shape = [grad.shape[0], channels // groups, groups, -1]
    found = grad.reshape(shape).transpose(1, 2)
    return {"input": step.as_argument(found, "input", input)}


@adjoint("unfold")
def unfold(
    step: Step, grad: Tensor, input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.nn.functional.unfold: fold."""
    if len(step.shape_of("input")) != 4 or len(step.shape) != 3:
        step.refuse("a tensor's own unfold")
    size = step.lengths_of("input", -2, -1)
    return {"input": F.fold(grad, tuple(size), kernel_size, dilation, padding, stride)}


@adjoint("fold")
def fold(
    step: Step, grad: Tensor, input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1,
    padding: Any = 0, stride: Any = 1,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.nn.functional.fold: unfold."""
    return {"input": F.unfold(grad, kernel_size, dilation, padding, stride)}


@adjoint("pad")
def pad(
    step: Step, grad: Tensor, input: Tensor, pad: int | Sequence[int], mode: str = "constant",
    value: float | None = None,
) -> Mapping[str, Tensor]:  # fmt: skip
    """torch.nn.functional.pad: zeros are cut off, copies are added up."""
    widths = each_axis(pad, 2 * (len(step.shape) - 2)) if isinstance(pad, int) else list(pad)
    if mode == "constant":
        return {"input": F.pad(grad, [-width for width in widths])}
    axes = range(-(len(widths) // 2), 0)
    maps = [partial(_padded, pad=widths[-2 * a - 2 : -2 * a], mode=mode) for a in axes]
    return {"input": pulled_along(grad, step.lengths_of("input", *axes), maps)}


def _padded(x: Tensor, pad: Sequence[int], mode: str) -> Tensor:
    return F.pad(x.unsqueeze(1), tuple(pad), mode).squeeze(1)
