"""A model's bytes: the graph as protobuf, and each weight straight from its own memory.

The file is, byte for byte, what protobuf itself would write; but protobuf gathers a model in memory
twice, and ends at 2 GiB. Past that the weights lie in `NAME.data` beside the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import torch
from google.protobuf.message import Message

from netloft.defaults import INLINE_LIMIT
from netloft.runtime.header import SMALL
from netloft.runtime.wire import tag

__all__ = ["Parts", "parts_of", "write_parts"]

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers in onnx.proto

_PAGE, _GRANULE, _LARGE = 4096, 65536, 1 << 20
"""Where a weight may start beside the file, so that it can be mapped; Windows maps by granules."""

_PART = 1 << 26  # bytes of a weight that are put in order at a time


@dataclass(frozen=True)
class _Piece:
    """One initializer as it will stand in the file.

    Attributes:
        tensor: Its contents.
        head: Its message up to its contents, or all of it.
        length: Bytes of its message.
        offset: Where its contents lie in the data file; None where they follow the head.
    """

    tensor: ir.TensorProtocol
    head: bytes
    length: int
    offset: int | None = None


@dataclass(frozen=True)
class Parts:
    """A finished model in two halves.

    Attributes:
        shell: The model without its initializers.
        weights: The initializers by name, in order.
    """

    shell: onnx.ModelProto
    weights: dict[str, ir.TensorProtocol]


def parts_of(model: ir.Model) -> Parts:
    """Take a model apart; its weights stay where they are in memory."""
    tensors = {v.name or "": v.const_value for v in model.graph.initializers.values()}
    return Parts(_shell(model), {name: t for name, t in tensors.items() if t is not None})


def write_parts(parts: Parts, path: Path) -> tuple[str, ...]:
    """Write a model; one file where it fits, else with its weights in `NAME.data` beside it.

    Args:
        parts: The model; it is not changed.
        path: The file; a failure leaves what was written so far.

    Returns:
        Names of the initializers that hold NaN or infinity.

    Raises:
        OSError: The disk refuses.
    """
    odd: list[str] = []
    total = sum(tensor.nbytes for tensor in parts.weights.values())
    if total + parts.shell.ByteSize() > INLINE_LIMIT:
        beside = path.with_name(f"{path.name}.data")
        pieces = list(_placed(parts.weights, beside.name))
        with beside.open("wb") as file:
            for piece in pieces:
                if piece.offset is not None:
                    file.seek(piece.offset)
                    odd += _write_tensor(file, piece.tensor)
    else:
        pieces = [_inline(name, tensor) for name, tensor in parts.weights.items()]
    with path.open("wb") as file:
        odd += _write_file(file, parts.shell, pieces)
    return tuple(odd)


def _shell(model: ir.Model) -> onnx.ModelProto:
    """Return a model as protobuf without its weights."""
    graph = model.graph
    view: Any = ir.GraphView(graph.inputs, graph.outputs, nodes=list(graph), name=graph.name)
    proto = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        graph=ir.serde.serialize_graph(view),
    )
    for domain, version in sorted(model.opset_imports.items()):
        proto.opset_import.add(domain=domain, version=version)
    for key, value in sorted(model.metadata_props.items()):
        proto.metadata_props.add(key=key, value=value)
    proto.functions.extend(ir.serde.serialize_function(f) for f in model.functions.values())
    return proto


def _head(name: str, tensor: ir.TensorProtocol) -> onnx.TensorProto:
    dims = tensor.shape.numpy()
    return onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims)


def _inline(name: str, tensor: ir.TensorProtocol) -> _Piece:
    length = tensor.nbytes
    head = _head(name, tensor).SerializeToString() + tag(_RAW_DATA, length)
    return _Piece(tensor, head, len(head) + length)


def _placed(weights: Mapping[str, ir.TensorProtocol], location: str) -> Iterator[_Piece]:
    """Lay the weights out in the data file, in order."""
    end = 0
    for name, tensor in weights.items():
        length = tensor.nbytes
        if length <= SMALL:
            yield _inline(name, tensor)
            continue
        step = _GRANULE if length >= _LARGE else _PAGE
        offset = -(-end // step) * step
        end = offset + length
        head = _head(name, tensor)
        head.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            head.external_data.add(key=key, value=str(value))
        data = head.SerializeToString()
        yield _Piece(tensor, data, len(data), offset)


def _write_file(file: BinaryIO, shell: onnx.ModelProto, pieces: list[_Piece]) -> list[str]:
    """Write the fields in the order of their numbers, as protobuf does."""
    before = _part(shell.graph, lambda number: number < _INITIALIZER)
    after = _part(shell.graph, lambda number: number > _INITIALIZER)
    starts = [tag(_INITIALIZER, piece.length) for piece in pieces]
    size = sum(map(len, starts)) + sum(piece.length for piece in pieces)
    file.write(_part(shell, lambda number: number < _GRAPH))
    file.write(tag(_GRAPH, len(before) + size + len(after)) + before)
    odd: list[str] = []
    for start, piece in zip(starts, pieces, strict=True):
        file.write(start + piece.head)
        if piece.offset is None:
            odd += _write_tensor(file, piece.tensor)
    file.write(after + _part(shell, lambda number: number > _GRAPH))
    return odd


def _part(message: Message, keep: Callable[[int], bool]) -> bytes:
    part = type(message)()
    part.CopyFrom(message)
    for field, _ in message.ListFields():
        if not keep(field.number):
            part.ClearField(field.name)
    return bytes(part.SerializeToString(deterministic=True))


def _write_tensor(file: BinaryIO, tensor: ir.TensorProtocol) -> list[str]:
    """Write a tensor's contents; return its name where they are not finite."""
    if sys.byteorder == "big" or tensor.dtype.bitwidth % 8:
        file.write(tensor.tobytes())
        return []
    finite = True
    for array in _parts(np.asarray(tensor.numpy())):
        file.write(array.view(np.uint8).data)
        finite = finite and _is_finite(array)
    return [] if finite else [tensor.name or ""]


def _parts(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Return an array's contents in order, flat; a copy is made of a part at a time."""
    if array.flags.c_contiguous or array.nbytes <= _PART:
        yield _in_order(array)
        return
    rows = max(1, _PART * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        yield _in_order(array[start : start + rows])


def _in_order(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array flat; PyTorch turns a matrix in a third of the time that numpy takes."""
    if array.flags.c_contiguous or array.ndim < 2 or min(array.strides) < 0:
        return np.ascontiguousarray(array).reshape(-1)
    bits = array.view(f"i{array.itemsize}") if array.itemsize <= 8 else array  # bfloat16 too
    made: npt.NDArray[Any] = torch.from_numpy(bits).contiguous().numpy()
    return made.view(array.dtype).reshape(-1)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    if array.dtype.kind in "biu":
        return True
    # NaN and infinity survive a sum, which is one pass and no memory; so does an overflow
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
