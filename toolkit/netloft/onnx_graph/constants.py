"""What a file holds beside its flow: weights, constants, and sums on lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.onnx_graph.arithmetic import array_of
from netloft.onnx_graph.step import Step, refusal
from netloft.onnx_graph.values import LARGEST, Values, dtype_name

__all__ = ["Constant", "Sorted", "sort_values"]


@dataclass(frozen=True)
class Constant:
    """A value that is the same in every run.

    Attributes:
        names: The tensors that it is made of, as the file calls them, each once; the one that it
            is mainly made of is first. Those that say how large or where are left out.
        shape: Its lengths, where they are known.
        dtype: Element type.
        sizes: Elements of each of `names` that are parameters: none for scales of integers, nor for
            a number that stands in the structure.
        array: Its contents, where they are few and lie in the file.
        is_listed: Whether the file holds it as a tensor; what is worked out is not.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...] | None
    dtype: str
    sizes: tuple[int, ...]
    array: npt.NDArray[Any] | None = field(default=None, compare=False)
    is_listed: bool = True

    @property
    def numel(self) -> int:
        """Elements; those of what it is made of where its own shape is not known."""
        return sum(self.sizes) if self.shape is None else math.prod(self.shape)

    @property
    def scalar(self) -> int | float | None:
        """The one number that it is, if it is one."""
        if self.array is None or self.array.size != 1 or self.array.dtype.kind not in "iufb":
            return None
        found: int | float = self.array.reshape(-1)[0].item()
        return found


@dataclass(frozen=True)
class Sorted:
    """Which values are constants, and which nodes do not take part in the flow.

    Attributes:
        constants: By name of the value.
        hidden: Positions of the nodes that only make constants or compute with lengths.
    """

    constants: Mapping[str, Constant]
    hidden: frozenset[int]


# Operands that say how large or where, and are no tensors of the flow.
_SIZE_OPERANDS: Mapping[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Resize": (1, 2, 3), "Upsample": (1,),
    "Tile": (1,), "Pad": (1, 2, 3), "ConstantOfShape": (0,), "Range": (0, 1, 2), "Squeeze": (1,),
    "Unsqueeze": (1,), "Split": (1,), "TopK": (1,), "OneHot": (1,), "Trilu": (1,), "CumSum": (1,),
    "Clip": (1, 2), "Loop": (0, 1), "If": (0,), "AffineGrid": (1,), "CenterCropPad": (1,),
    "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,), "ReduceMin": (1,), "ReduceProd": (1,),
    "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,), "ReduceLogSumExp": (1,),
    "ReduceSumSquare": (1,), "Dropout": (1, 2), "Gather": (1,), "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2), "QLinearConv": (1, 2, 4, 5, 6, 7), "ConvInteger": (2, 3),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7), "MatMulInteger": (2, 3),
}  # fmt: skip

# Operators that give something else each time, or depend on what is not seen here.
_NOT_CONSTANT = frozenset((
    "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
    "Multinomial", "If", "Loop", "Scan",
))  # fmt: skip


_SCALED = ("QuantizeLinear", "DequantizeLinear")
"""Operators whose scales belong to a weight and are no parameters."""

_MAX_NAMES = 1_000_000
"""Names of all constants' sources together."""


def is_size_operand(step: Step, position: int) -> bool:
    """Tell whether an operand says how large or where, and is no tensor of the flow."""
    return step.domain == "" and position in _SIZE_OPERANDS.get(step.op_type, ())


def sort_values(
    model: onnx.ModelProto,
    steps: Sequence[Step],
    values: Values,
    known: Mapping[str, npt.NDArray[Any]],
) -> Sorted:
    """Tell constants and sums on lengths from the flow.

    Args:
        model: The file's structure.
        steps: Its nodes, each after what it reads.
        values: Shapes of all values.
        known: Small constants, by name.
    """
    sorter = _Sorter(values, known, _all(model))
    for position, step in enumerate(steps):
        sorter.take(position, step)
    results = {output.name for output in model.graph.output}
    shown = {i for i, step in enumerate(steps) if results & set(step.gives)}
    hidden = sorter.hidden(steps, shown)
    constants = {
        name: constant
        for name, constant in sorter.constants.items()
        if sorter.maker.get(name, -1) not in shown
    }
    return Sorted(constants, hidden)


def _all(model: onnx.ModelProto) -> dict[str, Constant]:
    found = {tensor.name: _of_tensor(tensor) for tensor in model.graph.initializer}
    for sparse in model.graph.sparse_initializer:
        found[sparse.values.name] = _sparse(sparse)
    return found


def _sparse(tensor: onnx.SparseTensorProto) -> Constant:
    """Return a tensor of which the file holds what is not zero."""
    shape = tuple(int(dim) for dim in tensor.dims)
    held = _of_tensor(tensor.values)
    return Constant(held.names, shape, held.dtype, held.sizes, is_listed=False)


def _of_tensor(tensor: onnx.TensorProto) -> Constant:
    shape = tuple(int(dim) for dim in tensor.dims)
    kind = dtype_name(tensor.data_type)
    return Constant((tensor.name,), shape, kind, (math.prod(shape),), array_of(tensor))


class _Sorter:
    def __init__(
        self,
        values: Values,
        known: Mapping[str, npt.NDArray[Any]],
        constants: dict[str, Constant],
    ) -> None:
        self._values, self._known, self.constants = values, known, constants
        self.maker: dict[str, int] = {}
        self._made: set[int] = set()
        self._sums: set[int] = set()
        self._lengths: set[str] = set()
        self._named = 0

    def take(self, position: int, step: Step) -> None:
        """Sort the results of the next node."""
        self.maker |= dict.fromkeys((name for name in step.gives if name), position)
        if step.op_type == "Constant" and step.known:
            if any(step.gives):
                self.constants[next(filter(None, step.gives))] = _of_constant(step)
            self._made.add(position)
            return
        if step.op_type in _NOT_CONSTANT or not step.known or step.graphs:
            return
        read = [name for name in step.reads if name]
        if read and all(name in self.constants for name in read):
            self._made.add(position)
            for name in filter(None, step.gives):
                self.constants[name] = self._computed(name, step)
            return
        on_lengths = step.op_type in ("Shape", "Size") or (
            bool(read)
            and all(n in self._lengths or self._is_number(n) for n in read)
            and all(self._is_short(name) for name in step.gives if name)
        )
        if on_lengths:
            self._sums.add(position)
            self._lengths |= {name for name in step.gives if name}

    def _is_number(self, name: str) -> bool:
        """Tell whether a constant is one that is counted with, and no weight."""
        constant = self.constants.get(name)
        return constant is not None and (constant.numel <= 1 or "int" in constant.dtype)

    def _is_short(self, name: str) -> bool:
        info = self._values.infos.get(name)
        if info is None:
            return True
        one = math.prod(d if isinstance(d, int) else 2 for d in info.shape) <= 1
        return one or (len(info.shape) <= 1 and not info.dtype.startswith("float"))

    def _computed(self, name: str, step: Step) -> Constant:
        first = self.constants[next(filter(None, step.reads))]
        sizes = self._sources(step) or {name: 0}
        info = self._values.infos.get(name)
        shape = _numbers(info.shape) if info else None
        dtype = info.dtype if info else first.dtype
        array = self._known.get(name)
        return Constant(tuple(sizes), shape, dtype, tuple(sizes.values()), array, is_listed=False)

    def _sources(self, step: Step) -> dict[str, int]:
        """Return the tensors that a node's operands are made of, with their parameters.

        Raises:
            InputError: Constants are made of each other without end.
        """
        sizes: dict[str, int] = {}
        for position, name in enumerate(step.reads):
            constant = self.constants.get(name)
            sized = is_size_operand(step, position)
            scales = sized and step.op_type in _SCALED
            if constant is None or (sized and not scales):
                continue
            for tensor, size in zip(constant.names, constant.sizes, strict=True):
                sizes.setdefault(tensor, 0 if scales else size)
        self._named += len(sizes)
        if self._named > _MAX_NAMES:
            raise refusal(
                "constants are made of too many others", step, "fold them before it is drawn"
            )
        return sizes

    def hidden(self, steps: Sequence[Step], shown: set[int]) -> frozenset[int]:
        """Return the nodes that are not drawn; those whose results others need as tensors are."""
        hidden = (self._made | self._sums) - shown
        for position in range(len(steps) - 1, -1, -1):
            if position in hidden:
                continue
            for i, name in enumerate(steps[position].reads):
                maker = self.maker.get(name, -1)
                if maker in self._sums and not self._may_hide(name, steps[position], i):
                    hidden.discard(maker)
        return frozenset(hidden)

    def _may_hide(self, name: str, reader: Step, position: int) -> bool:
        info = self._values.infos.get(name)
        one = info is None or math.prod(d if isinstance(d, int) else 2 for d in info.shape) <= 1
        return one or is_size_operand(reader, position)


def _numbers(shape: Sequence[object]) -> tuple[int, ...] | None:
    numbers = tuple(dim for dim in shape if isinstance(dim, int))
    return numbers if len(numbers) == len(shape) else None


def _of_constant(step: Step) -> Constant:
    """Return what a Constant node gives."""
    name = next(filter(None, step.gives))
    for attribute in step.attributes.values():
        if attribute.type == onnx.AttributeProto.TENSOR:
            found = _of_tensor(attribute.t)
        elif attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            found = _sparse(attribute.sparse_tensor)
        else:
            continue
        if min(found.shape or (0,)) < 0 or found.numel > LARGEST:
            raise refusal("a constant has an impossible size", step, "write the file again")
        return replace(found, names=(name,), sizes=found.sizes if found.shape else (0,))
    array = np.asarray(next(iter(step.values.values()), ()))
    kind = {"i": "int64", "f": "float32"}.get(array.dtype.kind, "string")
    size = array.size if array.shape else 0
    held = array if array.size else None
    return Constant((name,), array.shape, kind, (size,), held, is_listed=False)
