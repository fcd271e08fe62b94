"""Small constants worked out: exporters write a padding or a shape as a dozen nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from netloft.onnx_graph.step import Step
from netloft.runtime.header import SMALL

__all__ = ["array_of", "small_constants"]

_Array = npt.NDArray[Any]


def array_of(tensor: onnx.TensorProto) -> _Array | None:
    """Return a small tensor's contents; nothing is opened for those that lie elsewhere."""
    elements = math.prod(map(float, tensor.dims))
    if tensor.data_location == onnx.TensorProto.EXTERNAL or not 0 <= elements <= SMALL:
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError):  # fewer bytes than its shape says, or an odd type
        return None


def small_constants(model: onnx.ModelProto, steps: Sequence[Step]) -> dict[str, _Array]:
    """Return the small arrays that a file holds or that follow from these alone, by name.

    Args:
        model: The file's structure.
        steps: Its nodes, each after what it reads.
    """
    known: dict[str, _Array] = {}
    for tensor in model.graph.initializer:
        found = array_of(tensor)
        if found is not None:
            known[tensor.name] = found
    for step in steps:
        if not step.gives or not step.gives[0] or step.domain:
            continue
        result = _constant(step) if step.op_type == "Constant" else _computed(step, known)
        if result is not None and result.size <= SMALL:
            known[step.gives[0]] = result
    return known


def _constant(step: Step) -> _Array | None:
    for attribute in step.attributes.values():
        if attribute.type == onnx.AttributeProto.TENSOR:
            return array_of(attribute.t)
    kinds = {"value_int": np.int64, "value_ints": np.int64}
    for name, value in step.values.items():
        if name.startswith(("value_int", "value_float")):
            return np.asarray(value, dtype=kinds.get(name, np.float32))
    return None


def _computed(step: Step, known: Mapping[str, _Array]) -> _Array | None:
    rule = _RULES.get(step.op_type)
    if rule is None or len(step.gives) != 1 or not step.reads:
        return None
    operands = [known.get(name) for name in step.reads if name]
    arrays = [array for array in operands if array is not None]
    if len(arrays) < len(operands) or any(a.dtype.kind not in "biuf" for a in arrays):
        return None
    try:
        if _elements(step, arrays) > SMALL:
            return None
        with np.errstate(all="ignore"):
            result = rule(step, arrays)
    except _WRONG:
        return None  # the file is wrong there, which shape inference tells
    return result if result is None or result.dtype.kind in "biuf" else None


_WRONG = (ValueError, IndexError, TypeError, KeyError, ArithmeticError, NotImplementedError)
"""What a rule raises for operands or attributes that do not fit it."""


def _elements(step: Step, arrays: Sequence[_Array]) -> float:
    """Return how large a result can be at most: some bytes broadcast to gigabytes."""
    if step.op_type in _BROADCAST:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        return math.prod([float(length) for length in shape])
    if step.op_type == "Gather" and len(arrays) > 1:
        along = arrays[0].shape[int(step.values.get("axis", 0))]
        return float(arrays[1].size * arrays[0].size / max(along, 1))
    return math.fsum(a.size for a in arrays) if step.op_type == "Concat" else 0.0


_BROADCAST = ("Add", "Sub", "Mul", "Div", "Equal", "Where")


def _axes(step: Step, arrays: Sequence[_Array]) -> tuple[int, ...]:
    if len(arrays) > 1:
        return tuple(int(n) for n in arrays[1].reshape(-1))
    found = step.values.get("axes", ())
    return tuple(int(n) for n in found)


def _slice(step: Step, arrays: Sequence[_Array]) -> _Array | None:
    if len(arrays) < 3:
        return None
    starts, ends = (array.reshape(-1).tolist() for array in arrays[1:3])
    axes = arrays[3].reshape(-1).tolist() if len(arrays) > 3 else list(range(len(starts)))
    steps = arrays[4].reshape(-1).tolist() if len(arrays) > 4 else [1] * len(starts)
    cut: list[slice] = [slice(None)] * arrays[0].ndim
    for start, end, axis, stride in zip(starts, ends, axes, steps, strict=True):
        low = -(2**62)
        cut[axis] = slice(start, None if stride < 0 and end <= low else end, stride)
    return arrays[0][tuple(cut)]


def _full(step: Step, arrays: Sequence[_Array]) -> _Array | None:
    shape = [int(n) for n in arrays[0].reshape(-1)]
    if not 0 <= math.prod(map(float, shape)) <= SMALL:
        return None
    value = _constant(step)
    given = np.zeros(1, np.float32) if value is None else value
    return np.full(shape, given.reshape(-1)[0])


def _cast(step: Step, arrays: Sequence[_Array]) -> _Array:
    kind = onnx.helper.tensor_dtype_to_np_dtype(int(step.values.get("to", 1)))
    return arrays[0].astype(kind)


def _divide(_: Step, arrays: Sequence[_Array]) -> _Array:
    if arrays[0].dtype.kind in "iu":
        return np.asarray(np.trunc(arrays[0] / arrays[1])).astype(arrays[0].dtype)
    return np.asarray(arrays[0] / arrays[1])


def _gather(step: Step, arrays: Sequence[_Array]) -> _Array:
    return np.asarray(np.take(arrays[0], arrays[1], axis=int(step.values.get("axis", 0))))


def _shape(step: Step, arrays: Sequence[_Array]) -> _Array:
    first, last = step.values.get("start", 0), step.values.get("end")
    return np.asarray(arrays[0].shape[first:last], np.int64)


def _unsqueezed(step: Step, arrays: Sequence[_Array]) -> _Array:
    return np.expand_dims(arrays[0], _axes(step, arrays))


def _squeezed(step: Step, arrays: Sequence[_Array]) -> _Array:
    return np.squeeze(arrays[0], _axes(step, arrays) or None)


_RULES: Mapping[str, Callable[[Step, Sequence[_Array]], _Array | None]] = {
    "Identity": lambda _, a: a[0],
    "Cast": _cast,
    "Concat": lambda s, a: np.concatenate(a, axis=int(s.values.get("axis", 0))),
    "Reshape": lambda _, a: a[0].reshape([int(n) for n in a[1].reshape(-1)]),
    "Transpose": lambda s, a: np.transpose(a[0], s.values.get("perm")),
    "Slice": _slice,
    "Gather": _gather,
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "ConstantOfShape": _full,
    "Shape": _shape,
    "Add": lambda _, a: np.asarray(a[0] + a[1]),
    "Sub": lambda _, a: np.asarray(a[0] - a[1]),
    "Mul": lambda _, a: np.asarray(a[0] * a[1]),
    "Div": _divide,
    "Neg": lambda _, a: np.asarray(-a[0]),
    "Sqrt": lambda _, a: np.asarray(np.sqrt(a[0])),
    "Equal": lambda _, a: np.asarray(a[0] == a[1]),
    "Where": lambda _, a: np.where(a[0], a[1], a[2]),
}
