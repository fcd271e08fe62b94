"""Weights by name, from a module or from a file, and how far two of them differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from netloft.comparing.readers import Readers
from netloft.errors import InputError
from netloft.graph.graph import Graph
from netloft.onnx_graph.flatten import flatten
from netloft.onnx_graph.step import Step

__all__ = ["Gap", "Weights", "as_numpy", "gap"]

Array = npt.NDArray[Any]

_PART = 1 << 24
"""Elements that are compared at a time."""


@dataclass(frozen=True)
class Gap:
    """How far two tensors of one shape differ.

    Attributes:
        count: Elements that differ.
        total: Elements.
        absolute: Largest difference.
        relative: Largest difference over the largest magnitude of the first.
    """

    count: int
    total: int
    absolute: float
    relative: float

    def __str__(self) -> str:
        part = f"{self.relative:.2%}" if self.relative >= 1e-4 else f"{self.relative:.1e}"
        return (
            f"{self.count:,} of {self.total:,} values, by {self.absolute:.3g} at most "
            f"({part} of the largest)"
        )


def gap(a: Array, b: Array) -> Gap:
    """Measure how far two tensors of one shape differ; two NaN are the same."""
    count, absolute, largest = 0, 0.0, 0.0
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, flat_a.size, _PART):
        x, y = flat_a[start : start + _PART], flat_b[start : start + _PART]
        if np.array_equal(x, y):
            continue
        differs = ~((x == y) | ((x != x) & (y != y)))
        count += int(differs.sum())
        if count:
            with np.errstate(all="ignore"):
                wide_x, wide_y = x[differs].astype(np.float64), y[differs].astype(np.float64)
                absolute = max(absolute, float(np.nanmax(np.abs(wide_x - wide_y), initial=0)))
    if count:
        with np.errstate(all="ignore"):
            largest = float(np.nanmax(np.abs(flat_a.astype(np.float64)), initial=0))
    return Gap(count, flat_a.size, absolute, absolute / largest if largest else absolute)


class Weights:
    """The tensors of one side, read when they are asked for."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._file = None if graph.file is None else _File(graph.file)
        self._own: dict[str, torch.Tensor] = {}
        if self._file is None:
            module = graph.module
            named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers())
            self._own = dict(named)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor.

        Raises:
            InputError: It lies outside of the file's folder, or is not there.
        """
        if self._file is not None:
            return self._file[name]
        return as_numpy(self._tensor(name))

    def _tensor(self, name: str) -> torch.Tensor:
        if name in self._own:
            return self._own[name]
        path, _, leaf = name.rpartition(".")  # a folded weight, worked out now
        found = getattr(self._graph.module.get_submodule(path), leaf)
        assert isinstance(found, torch.Tensor)
        return found

    @property
    def is_ours(self) -> bool:
        """Whether they are of a file that netloft wrote."""
        return self._file is not None and self._file.producer == "netloft"

    @property
    def readers(self) -> Readers | None:
        """Which nodes read the tensors of a file; None for a module."""
        return None if self._file is None else self._file.readers

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's lengths without reading it."""
        if self._file is not None:
            return self._file.shape(name)
        return tuple(self._tensor(name).shape)

    def identity(self, name: str) -> object:
        """Return the same for names of one tensor."""
        return name if self._file is not None or name not in self._own else id(self._own[name])


def as_numpy(tensor: torch.Tensor) -> Array:
    """Return a tensor's values, whatever its type."""
    plain = tensor.detach().cpu()
    if plain.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
        plain = plain.float()  # numpy has no such type; the values are the same
    return plain.numpy()


def _constant(step: Step) -> onnx.TensorProto | None:
    """Return what a constant holds, as a tensor or as a list of numbers."""
    for name, attribute in step.attributes.items():
        if attribute.type == onnx.AttributeProto.TENSOR:
            return attribute.t
        if name in ("value_float", "value_floats"):
            floats = attribute.f if name == "value_float" else list(attribute.floats)
            return numpy_helper.from_array(np.asarray(floats, np.float32))
        if name in ("value_int", "value_ints"):
            ints = attribute.i if name == "value_int" else list(attribute.ints)
            return numpy_helper.from_array(np.asarray(ints, np.int64))
    return None


class _File:
    """The tensors of an ONNX file; those beside it must lie in its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            model = onnx.load(path, load_external_data=False)
        except (DecodeError, OSError, ValueError) as error:
            raise InputError(
                f"the weights of {path} cannot be read", remedy="write or download it again"
            ) from error
        self.producer = str(model.producer_name)
        self._tensors: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        steps = flatten(model)
        for step in steps:  # a value of a function has a name of its own for each call
            value = _constant(step) if step.op_type == "Constant" and step.gives else None
            if value is not None:
                self._tensors.setdefault(step.gives[0], value)
        opsets = [s.version for s in model.opset_import if s.domain in ("", "ai.onnx")]
        self.readers = Readers(steps, max(opsets, default=0))

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(dim) for dim in self._tensor(name).dims)

    def _tensor(self, name: str) -> onnx.TensorProto:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise InputError(f"{self._path} holds no tensor '{name[:100]}'")
        return tensor

    def __getitem__(self, name: str) -> Array:
        tensor = self._tensor(name)
        try:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                return self._beside(tensor)
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, OSError) as error:  # KeyError: no such type
            raise InputError(
                f"the weight '{name[:100]}' of {self._path} cannot be read",
                remedy="write or download the file again, with the data that lies beside it",
            ) from error

    def _beside(self, tensor: onnx.TensorProto) -> Array:
        told = {entry.key: entry.value for entry in tensor.external_data}
        folder = self._path.resolve().parent
        target = folder / told.get("location", "")
        inside = target.resolve().is_relative_to(folder) and target.resolve() == target
        if not inside or not target.is_file():
            raise InputError(
                f"the weight '{tensor.name[:100]}' lies in a file that is not in the folder of "
                f"{self._path}",
                remedy="put its data beside it; links and other folders are not followed",
            )
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        shape = tuple(int(n) for n in tensor.dims)
        offset = int(told.get("offset", 0))
        size = math.prod(shape) * kind.itemsize
        if offset < 0 or size < 0 or offset + size > target.stat().st_size:
            raise ValueError("the data is cut off")
        if not size:
            return np.zeros(shape, kind)
        return np.memmap(target, dtype=kind, mode="r", offset=offset, shape=shape)
