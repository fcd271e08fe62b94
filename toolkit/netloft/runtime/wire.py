"""The bytes of protobuf messages: fields, numbers, and the starts of new ones."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "BYTES",
    "NUMBER",
    "Field",
    "fields",
    "number_at",
    "numbers_of",
    "require_kind",
    "tag",
    "varint",
]

NUMBER, BYTES = 0, 2
"""Wire types of whole numbers, and of texts and messages."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Field:
    """Where one field of a message lies in a file.

    Attributes:
        number: As in the schema.
        kind: Its wire type: 0 for a varint, 1 and 5 for 8 and 4 bytes, 2 for a length and bytes.
        start: Of its tag.
        contents: Of its contents, after tag and length.
        end: Behind its contents.
    """

    number: int
    kind: int
    start: int
    contents: int
    end: int


def fields(data: mmap.mmap | bytes, start: int, end: int) -> Iterator[Field]:
    """Return the fields of the message between two positions; their contents are not read.

    A key of more than 32 bits is refused: readers differ in what they make of it, and then they
    would read different messages.

    Raises:
        ValueError: The message is cut off, or is no protobuf.
    """
    position = start
    while position < end:
        key, contents = _read_varint(data, position)
        kind, last = key & 7, contents
        if key >> 32 or not key >> 3:
            raise ValueError("the file is no protobuf")
        if kind == _LENGTH:
            length, contents = _read_varint(data, contents)
            last = contents + length
        elif kind == _VARINT:
            _, last = _read_varint(data, contents)
        elif kind in (_FIXED64, _FIXED32):
            last = contents + (8 if kind == _FIXED64 else 4)
        else:
            raise ValueError("the file is no protobuf")
        if last > end:
            raise ValueError("the file is cut off")
        yield Field(key >> 3, kind, position, contents, last)
        position = last


def _read_varint(data: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            if number >> 64:
                raise ValueError("the file is no protobuf")
            return number, position
    raise ValueError("the file is cut off")


def number_at(data: mmap.mmap | bytes, position: int) -> int:
    """Return the whole number at a position, with its sign.

    Raises:
        ValueError: It is cut off.
    """
    return _signed(_read_varint(data, position)[0])


def numbers_of(data: mmap.mmap | bytes, field: Field) -> Iterator[int]:
    """Return the whole numbers of a field, which are written one by one or packed together.

    Raises:
        ValueError: One is cut off, or it holds something else.
    """
    if field.kind != _LENGTH:
        require_kind(field, _VARINT)
        yield number_at(data, field.contents)
        return
    position = field.contents
    while position < field.end:
        number, position = _read_varint(data, position)
        yield _signed(number)


def require_kind(field: Field, kind: int) -> None:
    """Refuse a field of another wire type than its schema says, which other readers pass over.

    Raises:
        ValueError: It is of another one.
    """
    if field.kind != kind:
        raise ValueError(f"field {field.number} has the wire type {field.kind}")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def tag(number: int, length: int) -> bytes:
    """Return the start of a field of `length` bytes."""
    return varint(number << 3 | _LENGTH) + varint(length)


def varint(number: int) -> bytes:
    """Return a number of 0 or more as protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
