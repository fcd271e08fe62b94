"""An ONNX file's structure, read without its weights and within limits.

The file is read as protobuf rather than through onnx_ir: what is wrong in a hostile or broken file
has to be told precisely, and no weight beside it may be opened.
"""

from __future__ import annotations

import math
import mmap
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message

from netloft.errors import InputError
from netloft.runtime.header import header_of
from netloft.runtime.wire import fields

__all__ = ["MAX_NODES", "is_onnx", "load_structure"]

MAX_NODES = 50_000
"""Nodes of a graph that is read, those of functions as often as they are called."""

_MAX_FIELDS = 1_000_000
"""Nodes, weights and shapes together, of the graph or of a function."""

_MAX_HEADER = 1 << 29
"""Bytes of a structure, weights aside."""

_MAX_ELEMENTS = 1 << 62
"""Elements of a weight."""

_GRAPH, _FUNCTION = 7, 25  # field numbers of ModelProto
_NODES = {_GRAPH: 1, _FUNCTION: 7}
"""Field number of the nodes in a graph and in a function."""


def is_onnx(spec: str) -> bool:
    """Tell whether a MODEL names an ONNX file."""
    return spec.lower().endswith(".onnx")


def load_structure(path: Path) -> onnx.ModelProto:
    """Read a file's nodes, shapes and small constants; weights keep their shapes only.

    Args:
        path: An ONNX file. Weights that lie beside it are not looked for.

    Returns:
        A model that holds one graph at least; its large weights say that they lie elsewhere.

    Raises:
        InputError: It is no file, is cut off, is no ONNX model, or is larger than can be drawn.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}", remedy="give the path of an .onnx file")
    try:
        _check_size(path)
        header = header_of(path)
        if len(header) > _MAX_HEADER:
            raise _too_large(path, f"{len(header):,} bytes beside its weights")
        model: onnx.ModelProto = onnx.ModelProto.FromString(header)
        _check_text(model)
        _check_weights(model.graph, path)
    except (ValueError, DecodeError) as error:  # an empty file cannot be mapped
        raise InputError(
            f"{path} is no ONNX file: it is cut off, or holds something else",
            remedy="write or download it again",
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not model.HasField("graph") or not model.graph.output:
        raise InputError(f"{path} holds no graph that gives anything", remedy="give an ONNX model")
    return model


def _check_size(path: Path) -> None:
    """Count before anything is unpacked: a few bytes in a file are a node in memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        nodes = count = 0
        for part in fields(data, 0, len(data)):
            count += 1
            if part.number in _NODES:
                for field in fields(data, part.contents, part.end):
                    nodes += field.number == _NODES[part.number]
                    count += 1
                    if nodes > MAX_NODES or count > _MAX_FIELDS:
                        raise _too_large(path, f"more than {MAX_NODES:,} nodes")
            if count > _MAX_FIELDS:
                raise _too_large(path, f"more than {_MAX_FIELDS:,} parts")


def _check_weights(graph: onnx.GraphProto, path: Path) -> None:
    """Refuse sizes that no tensor has.

    Raises:
        InputError: A weight has a negative length, or more elements than there are addresses.
    """
    sparse = [part for tensor in graph.sparse_initializer for part in (tensor.values, tensor)]
    for tensor in (*graph.initializer, *sparse):
        lengths = [int(dim) for dim in tensor.dims]
        if min(lengths, default=0) < 0 or math.prod(map(float, lengths)) > _MAX_ELEMENTS:
            raise InputError(
                f"a weight of {path} has an impossible size", remedy="write or download it again"
            )


def _check_text(message: Message) -> None:
    """Refuse text that is none: protobuf gives it as bytes, which no caller expects.

    Raises:
        ValueError: A name or another text of the file is no UTF-8.
    """
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for item in [value] if isinstance(value, str | bytes | Message) else value:
            if isinstance(item, Message):
                _check_text(item)
            elif not isinstance(item, str):
                raise ValueError("a text is no UTF-8")


def _too_large(path: Path, what: str) -> InputError:
    return InputError(f"{path} has {what}", remedy="draw a part of the network")
