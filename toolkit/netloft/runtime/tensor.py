"""ONNX's `TensorProto`, read without the onnx package: NumPy arrays out of bytes.

Source: onnx.proto, message TensorProto.
"""

from __future__ import annotations

import itertools
import math
import mmap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.runtime.wire import BYTES, NUMBER, fields, number_at, numbers_of, require_kind

__all__ = ["DTYPES", "TensorHeader", "array_of", "tensor_header", "whole_tensor"]

Data = bytes | mmap.mmap

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128",
}  # fmt: skip
"""NumPy's names of the element types that NumPy has."""

_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_UNSIGNED = 11
_TYPED = {4: "<f4", 5: "", 7: "", 10: "<f8", _UNSIGNED: ""}
"""Fields of values that are not raw bytes; of whole numbers where the type is empty."""

_KEY, _VALUE = 1, 2
_WIRE = {_TYPE: NUMBER, _NAME: BYTES, _RAW: BYTES, _EXTERNAL: BYTES, _LOCATION: NUMBER}
_MOST_DIMS = 64  # NumPy's own limit
_INT32 = 0xFFFFFFFF  # what protobuf keeps of a number that its schema calls 32 bits long


@dataclass(frozen=True)
class TensorHeader:
    """A tensor but for its values.

    Attributes:
        name: Of the tensor.
        dims: Lengths in order.
        type: Number of the element type.
        raw: Where its bytes lie, start and end; None where they are not given so.
        typed: Where values of another form lie, with the number of the field.
        external: Where its bytes lie in another file, as it is written; None where they do not.
    """

    name: str
    dims: tuple[int, ...]
    type: int
    raw: tuple[int, int] | None = None
    typed: tuple[tuple[int, int, int], ...] = ()
    external: dict[str, str] | None = field(default=None, compare=False)

    @property
    def elements(self) -> int:
        """How many elements the lengths make."""
        return math.prod(self.dims)


def tensor_header(data: Data, start: int, end: int) -> TensorHeader:
    """Read what a tensor says of itself; its values are not read.

    Raises:
        ValueError: It is cut off, or no tensor.
    """
    name, kind, dims, raw = "", 0, list[int](), None
    typed, entries, outside = list[tuple[int, int, int]](), dict[str, str](), False
    for each in fields(data, start, end):
        if each.number in _WIRE:
            require_kind(each, _WIRE[each.number])
        if each.number == _DIMS:
            dims += itertools.islice(numbers_of(data, each), _MOST_DIMS + 1)
            if len(dims) > _MOST_DIMS:
                break  # told below
        elif each.number == _TYPE:
            kind = number_at(data, each.contents) & _INT32
        elif each.number == _NAME:
            name = data[each.contents : each.end].decode("utf-8", "replace")
        elif each.number == _RAW:
            raw = each.contents, each.end
        elif each.number in _TYPED:
            typed.append((each.number, each.start, each.end))
        elif each.number == _EXTERNAL:
            key, value = _entry(data, each.contents, each.end)
            if key in entries:
                raise ValueError(f"the tensor '{name}' says twice where it lies: {key}")
            entries[key] = value
        elif each.number == _LOCATION:
            outside = number_at(data, each.contents) & _INT32 == 1
    if len(dims) > _MOST_DIMS or any(length < 0 for length in dims):
        raise ValueError(f"the tensor '{name}' has lengths that are none: {dims[:8]}")
    external = entries if outside or (entries and raw is None) else None
    return TensorHeader(name, tuple(dims), kind, raw, tuple(typed), external)


def array_of(data: Data, header: TensorHeader) -> npt.NDArray[Any]:
    """Return a tensor's values; those of raw bytes are not copied.

    Raises:
        ValueError: They are not in this file, or are not as many as the lengths say.
    """
    dtype = DTYPES.get(header.type)
    if dtype is None:
        raise ValueError(f"the tensor '{header.name}' has the element type {header.type}")
    if header.external is not None:
        raise ValueError(f"the values of '{header.name}' lie in another file")
    whole = np.dtype(dtype).newbyteorder("<")
    if header.raw is not None:
        start, end = header.raw
        if end - start != header.elements * whole.itemsize:
            raise ValueError(f"'{header.name}' has {end - start} bytes for {header.dims}")
        flat = np.frombuffer(data, whole, header.elements, start)
    else:
        flat = _typed(data, header, np.dtype(dtype))
    return flat.reshape(header.dims)


def _typed(data: Data, header: TensorHeader, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    parts = [_values(data, *place) for place in header.typed]
    flat = np.concatenate(parts) if parts else np.empty(0)
    if dtype.kind == "c":
        flat = flat.view(dtype) if len(flat) % 2 == 0 else flat
    if len(flat) != header.elements:
        raise ValueError(f"'{header.name}' has {len(flat)} values for {header.dims}")
    if dtype == np.float16:  # its bits are written as whole numbers
        return flat.astype(np.uint16).view(np.float16)
    return flat.astype(dtype)


def _values(data: Data, number: int, start: int, end: int) -> npt.NDArray[Any]:
    (each,) = fields(data, start, end)
    kind = _TYPED[number]
    if kind:
        return np.frombuffer(data[each.contents : each.end], kind)
    if each.kind == BYTES:
        whole = _varints(np.frombuffer(data[each.contents : each.end], np.uint8))
    else:
        whole = np.array([number_at(data, each.contents)], np.int64)
    return whole.view(np.uint64) if number == _UNSIGNED else whole


def _varints(packed: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Return whole numbers that are packed together."""
    ends = np.flatnonzero(packed < 128)
    if packed.size and (not ends.size or ends[-1] != packed.size - 1):
        raise ValueError("a number is cut off")
    if not ends.size:
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise ValueError("a number has more than 64 bits")
    shifts = 7 * (np.arange(packed.size) - np.repeat(starts, lengths))
    parts = (packed & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts).view(np.int64)


def _entry(data: Data, start: int, end: int) -> tuple[str, str]:
    found = {
        each.number: data[each.contents : each.end].decode("utf-8", "replace")
        for each in fields(data, start, end)
        if each.kind == BYTES
    }
    return found.get(_KEY, ""), found.get(_VALUE, "")


def whole_tensor(data: bytes) -> tuple[str, npt.NDArray[Any]]:
    """Return the name and the values of a file that is one tensor.

    Raises:
        ValueError: It is none.
    """
    header = tensor_header(data, 0, len(data))
    return header.name, array_of(data, header)
