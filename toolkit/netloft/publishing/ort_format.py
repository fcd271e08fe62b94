"""One order for the part of an `.ort` file that ONNX Runtime writes in the order of a hash table.

Besides the model an `.ort` file tells which kernels its operators need. The same model gives the
same entries, but their order changes from run to run, and with it every offset among them. Here
that part is written anew, in the order of its names; the model is carried over byte by byte.

Sources: the schema, onnxruntime/core/flatbuffers/schema/ort.fbs in
https://github.com/microsoft/onnxruntime, and https://flatbuffers.dev/internals for the layout.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["in_order"]

# offsets of fields in a table's list of fields: 4 is the first, each has two bytes
_VERSION, _MODEL, _KERNELS = 4, 6, 10
_FIRST, _SECOND = 4, 6

_ROOT = 20
"""Where the root table is put: behind its own offset, the identifier and its list of fields."""

_ALIGNED = 64
"""Bytes that any value in the model may be aligned to, counted from either end of the file."""


class _Argument(NamedTuple):
    kind: int
    place: int


class _Kernel(NamedTuple):
    type_name: bytes
    arguments: tuple[_Argument, ...]


class _Operator(NamedTuple):
    name: bytes
    kernels: tuple[_Kernel, ...]


def in_order(data: bytes) -> bytes:
    """Return an `.ort` file that is the same for the same model.

    Args:
        data: As ONNX Runtime wrote it.
    """
    from flatbuffers.table import Table

    root = Table(data, struct.unpack_from("<I", data)[0])
    version, model, kernels = (_target(root, field) for field in (_VERSION, _MODEL, _KERNELS))
    operators = sorted(_each(Table(data, kernels), _FIRST, _operator))
    # a file is written back to front, so that all of the model lies behind the model's own table
    start = min(model, model - struct.unpack_from("<i", data, model)[0])
    return _joined(data[start:], _kernels(operators), version - start, model - start)


def _target(table: Any, field: int) -> int:
    return int(table.Indirect(table.Pos + table.Offset(field)))


def _each(table: Any, field: int, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Read each table of a vector; a field that is left out is empty."""
    from flatbuffers.table import Table

    offset = table.Offset(field)
    if not offset:
        return ()
    first = table.Vector(offset)
    places = (table.Indirect(first + 4 * index) for index in range(table.VectorLen(offset)))
    return tuple(read(Table(table.Bytes, place)) for place in places)


def _operator(table: Any) -> _Operator:
    return _Operator(_name(table), tuple(sorted(_each(table, _SECOND, _kernel))))


def _kernel(table: Any) -> _Kernel:
    return _Kernel(_name(table), _each(table, _SECOND, _argument))


def _name(table: Any) -> bytes:
    return bytes(table.String(table.Pos + table.Offset(_FIRST)))


def _argument(table: Any) -> _Argument:
    from flatbuffers.number_types import Int8Flags, Uint32Flags

    kind, place = table.Offset(_FIRST), table.Offset(_SECOND)
    return _Argument(
        int(table.Get(Int8Flags, table.Pos + kind)) if kind else 0,
        int(table.Get(Uint32Flags, table.Pos + place)) if place else 0,
    )


def _kernels(operators: Sequence[_Operator]) -> bytes:
    """Return the part as a file of its own, whose first four bytes tell where its root is."""
    from flatbuffers import Builder

    builder = Builder(1024)
    tables = [
        _named(
            builder,
            operator.name,
            [
                _named(builder, kernel.type_name, [_written(builder, a) for a in kernel.arguments])
                for kernel in operator.kernels
            ],
        )
        for operator in operators
    ]
    every = _vector(builder, tables)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, every, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _named(builder: Any, name: bytes, tables: Sequence[int]) -> int:
    text, vector = builder.CreateString(name), _vector(builder, tables)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    return int(builder.EndObject())


def _written(builder: Any, argument: _Argument) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, argument.kind, 0)
    builder.PrependUint32Slot(1, argument.place, 0)
    return int(builder.EndObject())


def _vector(builder: Any, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _joined(body: bytes, kernels: bytes, version: int, model: int) -> bytes:
    """Put a new root and the kernels before the model.

    Args:
        body: From the model's first byte to the end of the old file.
        kernels: As a file of its own.
        version: Where the format's version is in `body`.
        model: Where the model's table is in it.
    """
    place = _ROOT + 16 + 4  # behind the root's four fields, at a multiple of 8
    start = place + len(kernels)
    start += -(start + len(body)) % _ALIGNED
    fields = struct.pack("<6H", 12, 16, 4, 8, 0, 12)  # sizes, then where each field is
    targets = (start + version, start + model, place + struct.unpack_from("<I", kernels)[0])
    offsets = (target - (_ROOT + 4 * index) for index, target in enumerate(targets, 1))
    root = struct.pack("<i3I", _ROOT - 8, *offsets)
    front = struct.pack("<I4s", _ROOT, b"ORTM") + fields + root
    return (front.ljust(place, b"\0") + kernels).ljust(start, b"\0") + body
