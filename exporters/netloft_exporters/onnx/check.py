"""Structural checks of a finished model, before anything is written under its name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import Message

from netloft.defaults import CLASS, LABELS, MODULE, OPSETS, SCOPE
from netloft.errors import CheckError, ExportError
from netloft.graph.dims import BATCH
from netloft.graph.graph import Graph, Value
from netloft.runtime.header import header_of

__all__ = ["IR_VERSION", "check_model"]

IR_VERSION = 10
"""What ONNX Runtime 1.18 and later read; onnx's own default is ahead of every runtime."""

_ABSOLUTE = re.compile(r"""(^|[\s"'(=,])(/[^/\s]|[A-Za-z]:[\\/]|\\\\)""")
_OWN_WORDS = {LABELS, MODULE, CLASS, SCOPE}
"""What the user called things, whatever it looks like; these are told because they were given."""


def check_opset(opset: int) -> None:
    """Refuse an opset that cannot be written or will not be read.

    Raises:
        ExportError: It lies outside `OPSETS`.
    """
    if opset not in OPSETS:
        raise ExportError(
            f"opset {opset} cannot be exported",
            remedy=f"give --opset {OPSETS.start} to {OPSETS.stop - 1}",
        )


def check_model(path: Path, graph: Graph, opset: int) -> onnx.ModelProto:
    """Read a written file back and check it: checker, strict shapes, versions, names, leaks.

    Args:
        path: The file; its weights are not read, wherever they lie.
        graph: What it was made from.
        opset: What it has to declare.

    Returns:
        The model as read back, without its weights.

    Raises:
        CheckError: The file is not what it should be.
    """
    try:
        data = header_of(path)
        _check_valid(path, data)
        header = onnx.load_from_string(data)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise CheckError(f"the exported model is not valid ONNX: {error}") from error
    _expect("opset", [i.version for i in header.opset_import if not i.domain], [opset])
    _expect("IR version", header.ir_version, IR_VERSION)
    _check_values("input", header.graph.input, graph.inputs)
    _check_values("output", header.graph.output, graph.outputs)
    _check_weights(path, header)
    _check_no_paths(header)
    return header


def _check_valid(path: Path, header: bytes) -> None:
    """Run ONNX's own checks, strict shape and type inference among them, on a file's header."""
    if len(header) == path.stat().st_size:
        onnx.checker.check_model(path, full_check=True)
        return
    # on disk, beside the file: the checker looks for the weights, which lie in it
    beside = path.with_name(f"{path.name}.header")
    try:
        beside.write_bytes(header)
        onnx.checker.check_model(beside, full_check=True)
    finally:
        beside.unlink(missing_ok=True)


def _check_weights(path: Path, header: onnx.ModelProto) -> None:
    """Each weight has as many bytes as its shape says, and they are there."""
    for tensor in header.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if not place:
            continue
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        length = int(place["length"])
        _expect(f"bytes of '{tensor.name}'", length, math.prod(tensor.dims) * width)
        end = int(place["offset"]) + length
        if end > path.with_name(place["location"]).stat().st_size:
            raise CheckError(f"the exported model lacks the weight '{tensor.name}'")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise CheckError(f"the exported model has {what} {found} instead of {wanted}")


def _check_values(
    kind: str, found: Iterable[onnx.ValueInfoProto], wanted: tuple[Value, ...]
) -> None:
    for proto, value in zip(found, wanted, strict=True):
        shape = tuple(d.dim_param or d.dim_value for d in proto.type.tensor_type.shape.dim)
        _expect(f"{kind} name", proto.name, value.name)
        # an output's inner symbols may be spelt otherwise, but its batch must not be baked in
        wanted_shape = value.info.shape
        fixed = kind == "input" or all(isinstance(d, int) for d in wanted_shape)
        leads = wanted_shape[:1] == (BATCH,) and shape[:1] != wanted_shape[:1]
        if fixed or leads:
            _expect(f"{kind} shape of '{value.name}'", shape, wanted_shape)


def _check_no_paths(model: onnx.ModelProto) -> None:
    """Metadata must not tell where the file was made, at whatever depth."""
    leaked = next((text for text in _texts(model) if _ABSOLUTE.search(text)), None)
    if leaked:
        raise CheckError(f"the exported model holds an absolute path: {leaked}")


def _texts(message: Message) -> Iterator[str]:
    """Return every metadata value and doc string below a message; weights are passed over."""
    for field, value in message.ListFields():
        if field.name in ("initializer", "raw_data"):
            continue
        if field.name == "metadata_props":
            yield from (prop.value for prop in value if prop.key not in _OWN_WORDS)
        elif field.name == "doc_string":
            yield value
        elif field.message_type is not None:
            parts = [value] if isinstance(value, Message) else list(value)
            for part in parts:
                yield from _texts(part)
