"""Operators of ONNX's reference evaluator by PyTorch: its own take seconds on a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_conv import Conv as _Conv
from onnx.reference.ops.op_max_pool import MaxPool as _MaxPool
from torch.nn import functional

__all__ = ["FAST"]

Array = npt.NDArray[Any]
Lengths = list[int] | None

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


class Conv(_Conv):
    """Convolution; the evaluator's own where the padding is to be found out."""

    def _run(  # type: ignore[override] # attributes come by name
        self, x: Array, w: Array, b: Array | None = None, **given: Any
    ) -> tuple[Array, ...]:
        axes = x.ndim - 2
        if given["auto_pad"] not in (None, "NOTSET") or axes not in _CONVOLUTIONS:
            own: tuple[Array, ...] = super()._run(x, w, b, **given)  # type: ignore[no-untyped-call]
            return own
        bias = None if b is None else _tensor(b)
        strides, dilations = given["strides"] or [1] * axes, given["dilations"] or [1] * axes
        found = _CONVOLUTIONS[axes](
            _padded(x, given["pads"], 0.0), _tensor(w), bias, tuple(strides),
            dilation=tuple(dilations), groups=given["group"] or 1,
        )  # fmt: skip
        return (found.numpy(),)


class MaxPool(_MaxPool):
    """Maximum over windows; the evaluator's own for places, and where the padding is not given."""

    def _run(  # type: ignore[override] # as above
        self, x: Array, **given: Any
    ) -> tuple[Array, ...]:
        axes, is_real = x.ndim - 2, np.issubdtype(x.dtype, np.floating)
        plain = given["auto_pad"] in (None, "NOTSET") and not given["ceil_mode"]
        if not plain or not is_real or len(self.output) > 1 or axes not in _POOLS:
            own: tuple[Array, ...] = super()._run(x, **given)  # type: ignore[no-untyped-call]
            return own
        found = _POOLS[axes](
            _padded(x, given["pads"], float("-inf")),
            tuple(given["kernel_shape"]),
            tuple(given["strides"] or [1] * axes),
            dilation=tuple(given["dilations"] or [1] * axes),
        )
        return (found.numpy(),)


FAST: list[type[OpRun]] = [Conv, MaxPool]
"""For `netloft.parity.wide.evaluator.evaluator`."""


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(array))  # a copy: the evaluator's arrays may be read-only


def _padded(x: Array, pads: Lengths, value: float) -> torch.Tensor:
    """Pad both ends of each axis; ONNX names all beginnings first, and PyTorch the last axis."""
    axes = x.ndim - 2
    both = pads or [0] * (2 * axes)
    flat = [both[i + end] for i in reversed(range(axes)) for end in (0, axes)]
    return functional.pad(_tensor(x), flat, value=value) if any(flat) else _tensor(x)
