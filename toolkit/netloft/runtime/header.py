"""An ONNX file without its weights: what a check has to read, however large the file is.

A weight in the file becomes one that lies outside of the header, in that very file, which ONNX
allows; so the header is a model of its own that reads the same weights.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from netloft.runtime.wire import fields, tag, varint

__all__ = ["SMALL", "header_of"]

# field numbers in onnx.proto: of the model, the graph, the tensor, the entry
_GRAPH, _INITIALIZER, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION, _KEY, _VALUE = (
    7,
    5,
    9,
    13,
    14,
    1,
    2,
)

SMALL = 1024
"""Bytes up to which a weight stays in the header: shape inference reads lengths and axes."""


def header_of(path: Path) -> bytes:
    """Return the bytes of a model whose large weights lie in the file `path`, where they are.

    Args:
        path: An ONNX file; its weights are not read. Without any that are large, the header is
            the file itself.

    Raises:
        ValueError: The file is cut off, or is no protobuf.
        OSError: It cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        out = bytearray()
        for field in fields(data, 0, len(data)):
            if field.number == _GRAPH:
                graph = _graph(data, field.contents, field.end, path.name)
                out += tag(_GRAPH, len(graph)) + graph
            else:
                out += data[field.start : field.end]
        return bytes(out)


def _graph(data: mmap.mmap, start: int, end: int, location: str) -> bytes:
    out = bytearray()
    for field in fields(data, start, end):
        if field.number == _INITIALIZER and field.end - field.contents > SMALL:
            tensor = _tensor(data, field.contents, field.end, location)
            out += tag(_INITIALIZER, len(tensor)) + tensor
        else:
            out += data[field.start : field.end]
    return bytes(out)


def _tensor(data: mmap.mmap, start: int, end: int, location: str) -> bytes:
    out, moved = bytearray(), False
    for field in fields(data, start, end):
        if field.number == _RAW_DATA:
            moved = True  # a writer may have said that its place is the usual one
            length = field.end - field.contents
            place = {"location": location, "offset": field.contents, "length": length}
            for entry in (_entry(key, str(value)) for key, value in place.items()):
                out += tag(_EXTERNAL_DATA, len(entry)) + entry
            out += varint(_DATA_LOCATION << 3) + varint(1)
        elif field.number != _DATA_LOCATION or not moved:
            out += data[field.start : field.end]
    return bytes(out)


def _entry(key: str, value: str) -> bytes:
    pairs = ((_KEY, key.encode()), (_VALUE, value.encode()))
    return b"".join(tag(number, len(text)) + text for number, text in pairs)
