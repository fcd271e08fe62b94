"""Long sums added term by term in float32, as a runtime may, where PyTorch adds in a tree.

Flat pictures make the terms of a long sum equal. The errors of equal terms are alike and do not
cancel, so that the sum of n of them may be off by n·u/2 of itself (u = 2⁻²⁴; Higham, Accuracy and
Stability of Numerical Algorithms, 2nd ed., ch. 4), and PyTorch's tree of log₂ n levels shows
nothing of it. How far it goes depends on the terms, so it is measured: the module runs with its
means and sums added one term after the other, in as many lanes as vector units have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["LANES", "TermByTerm", "summed"]

LANES = (1, 4, 8, 16)
"""Partial sums at a time: none, and those of SSE, AVX and AVX-512."""

_POOLS = {
    functional.adaptive_avg_pool1d: 1,
    functional.adaptive_avg_pool2d: 2,
    functional.adaptive_avg_pool3d: 3,
}


class TermByTerm(TorchFunctionMode):
    """While active, sums and means of float32 tensors are added term by term.

    Args:
        lanes: Partial sums at a time, which are added up at the end.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self._lanes = lanes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, but add up by hand what is added up."""
        given = kwargs or {}
        if args and isinstance(args[0], torch.Tensor) and _is_added_up(args[0]):
            if func in _POOLS and _is_global(args, given):
                dims = tuple(range(-_POOLS[func], 0))
                return summed(args[0], dims, self._lanes, keepdim=True, mean=True)
            if getattr(func, "__name__", "") in ("mean", "sum") and set(given) <= _KNOWN:
                return _reduced(func.__name__, self._lanes, *args, **given)
        return func(*args, **given)


_KNOWN = {"dim", "keepdim"}


def _is_added_up(tensor: torch.Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.numel() > 0


def _is_global(args: Sequence[Any], given: dict[str, Any]) -> bool:
    size = given.get("output_size", args[1] if len(args) > 1 else None)
    return set(size if isinstance(size, tuple | list) else (size,)) == {1}


def _reduced(
    name: str, lanes: int, tensor: torch.Tensor, dim: Any = None, keepdim: bool = False
) -> torch.Tensor:
    dims = (dim,) if isinstance(dim, int) else tuple(dim or range(tensor.dim()))
    return summed(tensor, dims, lanes, keepdim=keepdim, mean=name == "mean")


def summed(
    tensor: torch.Tensor, dims: Sequence[int], lanes: int, *, keepdim: bool, mean: bool
) -> torch.Tensor:
    """Return a sum or a mean in float32 whose terms are added one after the other.

    Args:
        tensor: In float32.
        dims: Axes to add over.
        lanes: Partial sums at a time.
        keepdim: Keep these axes, one long.
        mean: Divide by the number of terms.
    """
    kept = sorted(dim % tensor.dim() for dim in dims) if tensor.dim() else []
    values = np.moveaxis(tensor.detach().numpy(), kept, range(-len(kept), 0))
    shape = values.shape[: tensor.dim() - len(kept)]
    terms = values.reshape(*shape, -1)
    count = terms.shape[-1]
    padded = np.pad(terms, [(0, 0)] * len(shape) + [(0, -count % lanes)])
    parts = np.add.accumulate(padded.reshape(*shape, -1, lanes), axis=-2)[..., -1, :]
    total = torch.from_numpy(np.array(np.add.accumulate(parts, axis=-1)[..., -1]))
    if mean:
        total = total / count
    for axis in kept if keepdim else ():
        total = total.unsqueeze(axis)
    return total
