"""Pictures of another size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.gradients.adjoint import Step, adjoint
from netloft.gradients.lengths import pulled_along

__all__ = ["interpolate"]


@adjoint("interpolate")
def interpolate(
    step: Step,
    grad: Tensor,
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Mapping[str, Tensor]:
    """torch.nn.functional.interpolate: linear along each axis, pulled back along each."""
    sizes = step.lengths_of("input")
    made = [length for length in step.shape[2:] if isinstance(length, int)]
    if antialias or len(made) < len(sizes):
        step.refuse("antialias" if antialias else "an axis whose length is open")
    factors: Sequence[float | None] = [None] * len(sizes)
    if scale_factor is not None and not recompute_scale_factor:
        one = isinstance(scale_factor, int | float)
        factors = [scale_factor] * len(sizes) if one else scale_factor  # type: ignore[list-item,assignment]
    options = {"mode": mode, "align_corners": align_corners}
    maps: list[Callable[[Tensor], Tensor]] = [
        partial(_resized, axis=axis, n=len(sizes), length=to, factor=factor, options=options)
        for axis, (to, factor) in enumerate(zip(made, factors, strict=True))
    ]
    return {"input": pulled_along(grad, sizes, maps)}


def _resized(
    x: Tensor, axis: int, n: int, length: int, factor: float | None, options: Mapping[str, Any]
) -> Tensor:
    """Resize (channels, length) along the length, as a picture with lengths of one beside it."""

    def beside(value: Any, other: Any) -> list[Any]:
        return [value if i == axis else other for i in range(n)]

    picture = x.reshape(len(x), 1, *beside(x.shape[1], 1))
    to: dict[str, Any] = {"size": beside(length, 1)}
    if factor is not None:
        to = {"scale_factor": beside(factor, 1.0)}
    return F.interpolate(picture, **to, **options).reshape(len(x), length)
