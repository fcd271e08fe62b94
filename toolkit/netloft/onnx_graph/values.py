"""Shapes and element types of a file's values, as far as they are told or can be inferred."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
import onnx.shape_inference
from onnx import numpy_helper

from netloft.errors import first_line
from netloft.graph.annotation import TensorInfo
from netloft.graph.cost import at_batch
from netloft.graph.dims import UNKNOWN, symbols_of
from netloft.onnx_graph.lengths import Symbols, settled, time_first
from netloft.onnx_graph.step import Step, cleaned
from netloft.runtime.header import SMALL

__all__ = ["LARGEST", "NO_SHAPE", "Values", "dtype_name", "infer", "item_bits", "sized"]

LARGEST = 1 << 62
"""Elements of a tensor; more are in no memory."""

NO_SHAPE = TensorInfo((UNKNOWN,), "float32")
"""What is said of a value of which the file says nothing."""

_DTYPES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E5M2": "float8_e5m2",
}  # fmt: skip


def dtype_name(kind: int) -> str:
    """Return the name of an ONNX element type as PyTorch has it: `float32` for FLOAT."""
    known = onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(kind) if kind in known else "UNDEFINED"
    return _DTYPES.get(name, name.lower())


def item_bits(dtype: str) -> int:
    """Return the bits of one element; a text counts none."""
    if dtype in ("string", "undefined"):
        return 0
    digits = re.search(r"\d+", dtype)
    return int(digits.group()) if digits else 8


@dataclass(frozen=True)
class Values:
    """What is known of each value of the flat graph.

    Attributes:
        infos: By name.
        batch: `dynamic`, or the length of the first axis of all inputs and outputs.
        note: Why shapes were not inferred, where they were not.
    """

    infos: Mapping[str, TensorInfo]
    batch: str | int
    note: str = ""

    @property
    def items(self) -> int:
        """How many items the shapes are of."""
        return self.batch if isinstance(self.batch, int) else 1

    def info(self, name: str) -> TensorInfo:
        """Return shape and type of a value; a length that is not known is `?`."""
        return self.infos.get(name, NO_SHAPE)


def infer(
    model: onnx.ModelProto, steps: Sequence[Step], known: Mapping[str, npt.NDArray[Any]]
) -> Values:
    """Work out the shapes of all values.

    Args:
        model: The file's structure.
        steps: Its nodes, those of functions in the place of their calls.
        known: Small constants, by name.
    """
    flat = _flat(model, steps, known)
    note = ""
    try:
        flat = _inferred(flat)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
        note = f"shapes are those that the file tells: {cleaned(first_line(error))}"
    timed = time_first(model, steps)
    symbols = Symbols(model, timed)
    told = [*flat.graph.input, *flat.graph.output, *flat.graph.value_info]
    infos = {v.name: _info(v.type, symbols) for v in told}
    for tensor in flat.graph.initializer:
        infos[tensor.name] = TensorInfo(tuple(tensor.dims), dtype_name(tensor.data_type))
    infos = {n: _possible(info) for n, info in settled(infos, steps).items()}
    weights = {tensor.name for tensor in model.graph.initializer}
    ends = [v.name for v in (*model.graph.input, *model.graph.output) if v.name not in weights]
    batch = "dynamic" if timed else _batch([infos[name] for name in ends])
    return Values(infos, batch, note)


def _inferred(flat: onnx.ModelProto) -> onnx.ModelProto:
    """Infer shapes, and from lengths that the network reads those that follow from them.

    The second takes memory for each element of each vector, and is left out where these are long.
    """
    found: onnx.ModelProto = onnx.shape_inference.infer_shapes(flat, strict_mode=False)
    if not any(node.op_type in ("Shape", "Size") for node in flat.graph.node):
        return found
    infos = (*found.graph.input, *found.graph.value_info, *found.graph.output)
    shapes = [value.type.tensor_type.shape.dim for value in infos]
    lengths = [int(shape[0].dim_value) for shape in shapes if len(shape) == 1]
    lengths += [int(t.dims[0]) for t in found.graph.initializer if len(t.dims) == 1]
    if sum(lengths) > _MAX_VECTORS:
        return found
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(
        found, strict_mode=False, data_prop=True
    )
    return inferred


_MAX_VECTORS = 4_000_000
"""Elements of all vectors of a file whose lengths are followed."""


def sized(info: TensorInfo) -> TensorInfo:
    """Return a shape whose open lengths are one."""
    lengths = {name: 1 for dim in info.shape for name in symbols_of(dim)}
    return TensorInfo(at_batch(info.shape, 1, lengths), info.dtype)


def _possible(info: TensorInfo) -> TensorInfo:
    """Return nothing for lengths that no tensor has."""
    lengths = [int(dim) for dim in sized(info).shape]
    fits = math.prod(map(float, lengths)) <= LARGEST and max(lengths, default=0) <= LARGEST
    return info if fits else TensorInfo((UNKNOWN,), info.dtype)


def _flat(
    model: onnx.ModelProto, steps: Sequence[Step], known: Mapping[str, npt.NDArray[Any]]
) -> onnx.ModelProto:
    """Return the model without functions: what is inferred of a function is not given back.

    Constants that were worked out stand in it as weights, since not all of them are inferred; so do
    large constants, without their contents, which a function would copy into each of its calls.
    """
    flat = onnx.ModelProto()
    flat.CopyFrom(model)
    del flat.functions[:]
    del flat.graph.node[:]
    for step in steps:
        if step.reads and step.gives and step.gives[0] in known and len(step.gives) == 1:
            flat.graph.initializer.append(
                numpy_helper.from_array(known[step.gives[0]], step.gives[0])
            )
            continue
        tensor = _large(step)
        if tensor is not None:
            flat.graph.initializer.append(tensor)
            continue
        node = flat.graph.node.add()
        node.CopyFrom(step.proto)
        node.input[:], node.output[:] = step.reads, step.gives
        del node.attribute[:]
        for name, attribute in step.attributes.items():
            node.attribute.add().CopyFrom(attribute)
            node.attribute[-1].name = name
    flat.ir_version = max(flat.ir_version, 4)  # before, all weights were inputs too
    domains = {entry.domain for entry in flat.opset_import}
    for entry in (e for function in model.functions for e in function.opset_import):
        if entry.domain not in domains:
            flat.opset_import.add(domain=entry.domain, version=entry.version)
            domains.add(entry.domain)
    return flat


def _large(step: Step) -> onnx.TensorProto | None:
    """Return a large constant as a weight that lies elsewhere."""
    if step.op_type != "Constant" or not step.known or len(step.gives) != 1 or not step.gives[0]:
        return None
    held = [a.t for a in step.attributes.values() if a.type == onnx.AttributeProto.TENSOR]
    if len(held) != 1 or held[0].ByteSize() <= SMALL:
        return None
    tensor = onnx.TensorProto(name=step.gives[0], data_type=held[0].data_type, dims=held[0].dims)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere")
    return tensor


def _batch(infos: Sequence[TensorInfo]) -> str | int:
    """Return the length that all inputs and outputs begin with."""
    firsts = {info.shape[0] if info.shape else None for info in infos}
    (first, *rest) = firsts or {None}
    return first if isinstance(first, int) and first and not rest else "dynamic"


def _info(kind: onnx.TypeProto, symbols: Symbols) -> TensorInfo:
    """Return what a type says; a sequence or an optional tells of what is in it."""
    which = kind.WhichOneof("value")
    for _ in range(8):
        if which not in ("sequence_type", "optional_type"):
            break
        kind = getattr(kind, which).elem_type
        which = kind.WhichOneof("value")
    if which not in ("tensor_type", "sparse_tensor_type"):
        return NO_SHAPE
    tensor = getattr(kind, which)
    dtype = dtype_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return TensorInfo((UNKNOWN,), dtype)
    return TensorInfo(tuple(symbols.length(dim) for dim in tensor.shape.dim), dtype)
