"""What a lowering writes into: an ONNX graph under construction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import nn

from netloft.errors import ExportError
from netloft.graph.annotation import Annotation, Dim, TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.dims import UNKNOWN, fold_dim
from netloft.graph.graph import Graph
from netloft_exporters.onnx.lowered import Origin, write_origin

__all__ = ["SMALL", "Context", "Unsupported", "dtype_of"]

_TYPES = {
    "float32": ir.DataType.FLOAT,
    "float64": ir.DataType.DOUBLE,
    "float16": ir.DataType.FLOAT16,
    "int64": ir.DataType.INT64,
    "int32": ir.DataType.INT32,
    "int16": ir.DataType.INT16,
    "int8": ir.DataType.INT8,
    "uint8": ir.DataType.UINT8,
    "bool": ir.DataType.BOOL,
}

SMALL = 2**14
"""Elements up to which a constant is worked out, and written, anew."""


_IN_FLOAT32 = ("add", "sub", "rsub", "mul", "div", "lerp", "softplus", "addcmul", "addcdiv")
"""Arithmetic that takes the numbers of a half-precision network in float32."""


def _names_of(module: nn.Module) -> Iterator[str]:
    for found in (module.named_parameters, module.named_buffers):
        yield from (name for name, _ in found(remove_duplicate=False))


def _require_range(value: Any, array: npt.NDArray[Any], dtype: str) -> None:
    """Refuse a number that a half-precision type makes infinite or zero.

    Raises:
        ExportError: It does; torch.onnx would write that.
    """
    if dtype not in ("float16", "bfloat16") or not isinstance(value, int | float):
        return
    held = float(array)
    if np.isfinite(value) and (not np.isfinite(held) or (value != 0 and held == 0)):
        raise ExportError(
            f"the number {value} is none in {dtype}, and PyTorch takes it in float32",
            remedy="compute that in float32: x.float()",
        )


class Unsupported(Exception):  # noqa: N818 - an answer, not a failure: another route is taken
    """A lowering does not cover this use of its operation; the text says which."""


def dtype_of(name: str) -> ir.DataType:
    """Return the ONNX element type of a torch dtype's name."""
    if name not in _TYPES:
        raise Unsupported(f"the element type {name}")
    return _TYPES[name]


def _attribute(name: str, value: Any) -> Any:
    """Say of a list of numbers what onnx_ir would take ten times as long to find out."""
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return ir.AttrInt64s(name, value)
    return value


class Context:
    """An ONNX graph that grows one node at a time.

    Attributes:
        opset: ONNX operator set that is written.
        record: Annotation of the graph node that is being lowered.
        inputs: The graph's inputs, in order.
        nodes: What has been written.
        initializers: Weights and constants, by name.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        self.opset = opset
        self.record = Annotation("", "other")
        self.nodes: list[ir.Node] = []
        self.initializers: dict[str, ir.Value] = {}
        self._infos: dict[int, TensorInfo] = {}
        # a tensor is kept while its identity is a key: a parametrised one is made for one read
        self._weights: dict[int, tuple[torch.Tensor, ir.Value]] = {}
        self._derived: dict[Hashable, ir.Value] = {}
        self._own_names = frozenset(_names_of(graph.module))
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._lengths: dict[str, ir.Value] = {}
        self._scalars: dict[tuple[str, str], ir.Value] = {}
        self.inputs = [self._input(v.name, v.info) for v in graph.inputs]

    def _input(self, name: str, info: TensorInfo) -> ir.Value:
        shape = ir.Shape([d if isinstance(d, int) else ir.SymbolicDim(d) for d in info.shape])
        value = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype_of(info.dtype)))
        return self.know(value, info)

    # what the graph knows

    @property
    def results(self) -> tuple[TensorInfo, ...]:
        """The tensors that the node being lowered gives."""
        return tensors(self.record.value)

    @property
    def result(self) -> TensorInfo:
        """The one tensor that the node being lowered gives."""
        return self.results[0]

    def know(self, value: ir.Value, info: TensorInfo) -> ir.Value:
        """Remember shape and element type of a value."""
        self._infos[id(value)] = info
        return value

    def info_of(self, value: ir.Value) -> TensorInfo:
        """Return shape and element type of a value that a graph node gave."""
        return self._infos[id(value)]

    def size_of(self, value: ir.Value, axis: int) -> int:
        """Return one length of a value, which has to be a number."""
        return self.fixed([self.shape_of(value)[axis]])[0]

    def shape_of(self, value: ir.Value) -> tuple[Dim, ...]:
        """Return the shape of a value that a graph node gave."""
        return self.info_of(value).shape

    def fixed(self, dims: Sequence[Dim]) -> list[int]:
        """Return lengths that have to be numbers."""
        if not all(isinstance(dim, int) for dim in dims):
            raise Unsupported(f"{self.record.op} over a length that follows the batch")
        return [int(dim) for dim in dims]

    # what is written

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Add a node of one output and return that.

        Args:
            op_type: ONNX operator.
            inputs: Values; None for an optional one left out.
            attributes: By ONNX name; None for one left out.
        """
        return self.ops(op_type, *inputs, outputs=1, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: ir.Value | None, outputs: int, **attributes: Any
    ) -> tuple[ir.Value, ...]:
        """Add a node of several outputs and return them; see `op`."""
        given = {k: _attribute(k, value) for k, value in attributes.items() if value is not None}
        operands = list(inputs)
        while operands and operands[-1] is None:
            operands.pop()
        node = ir.node(op_type, operands, given, num_outputs=outputs)
        self.nodes.append(node)
        call = self.record.calls[-1] if self.record.calls else None
        name = call.class_name if call else ""
        write_origin(node, Origin(str(call or ""), name, self.record.source))
        return tuple(node.outputs)

    def weight(self, name: str, tensor: torch.Tensor) -> ir.Value:
        """Return the initializer of a parameter or buffer; a shared tensor is written once."""
        if id(tensor) not in self._weights:
            dtype = str(tensor.dtype).removeprefix("torch.")
            dtype_of(dtype)
            array = tensor.detach().cpu().numpy()
            value = self.know(self._add(name, array), TensorInfo(tuple(tensor.shape), dtype))
            self._weights[id(tensor)] = tensor, value
        return self._weights[id(tensor)][1]

    def constant(self, value: Any, dtype: str) -> ir.Value:
        """Return an initializer that holds a number, a list or an array; equal ones are shared."""
        with np.errstate(over="ignore"):
            array = np.asarray(value).astype(dtype_of(dtype).numpy(), order="C")
        if self.record.op in _IN_FLOAT32:
            _require_range(value, array, dtype)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            made = self._add(self._free(f"constant_{len(self._constants)}"), array)
            self._constants[key] = self.know(made, TensorInfo(array.shape, dtype))
        return self._constants[key]

    def ints(self, values: Sequence[int]) -> ir.Value:
        """Return an int64 vector."""
        return self.constant(np.asarray(list(values), dtype=np.int64), "int64")

    def like(self, number: float) -> ir.Value:
        """Return a number in the element type of the result."""
        return self.constant(number, self.result.dtype)

    def _free(self, name: str) -> str:
        """Return a name that neither a weight of the network nor another initializer has."""
        while name in self._own_names or name in self.initializers:
            name = f"{name}_"
        return name

    def _add(self, name: str, data: npt.NDArray[Any] | ir.LazyTensor) -> ir.Value:
        if name in self.initializers:
            name = self._free(name)
        tensor = data if isinstance(data, ir.LazyTensor) else ir.Tensor(data, name=name)
        kind = ir.TensorType(tensor.dtype)
        value = ir.Value(name=name, shape=tensor.shape, type=kind, const_value=tensor)
        self.initializers[name] = value
        return value

    def array_of(self, value: ir.Value) -> npt.NDArray[Any] | None:
        """Return the contents of a weight or a constant; None for a value that is computed."""
        return None if value.const_value is None else value.const_value.numpy()

    def _small(self, value: ir.Value) -> npt.NDArray[Any] | None:
        """Return the contents of a constant that is small enough to be worked on here and now."""
        tensor = value.const_value
        return None if tensor is None or tensor.size > SMALL else tensor.numpy()

    def transposed(self, weight: ir.Value) -> ir.Value:
        """Return a matrix with its axes swapped; a weight is swapped once, as it is written."""
        info, tensor = self.info_of(weight), weight.const_value
        turned = TensorInfo(info.shape[::-1], info.dtype)
        if tensor is None:
            return self.know(self.op("Transpose", weight, perm=[1, 0]), turned)
        key = ("transposed", id(weight))
        return self.derived(key, f"{weight.name}_transposed", lambda: tensor.numpy().T, turned)

    def derived(
        self,
        key: Hashable,
        name: str,
        make: Callable[[], npt.NDArray[Any]],
        info: TensorInfo,
        *,
        own: bool = False,
    ) -> ir.Value:
        """Return an initializer that is worked out from weights.

        Args:
            key: What it is worked out from, and how: of one key there is one initializer. Values
                of this context may be told by their `id`.
            name: Name in the file, where that is free.
            make: Works it out, anew each time it is read, so that no copy is kept.
            info: What that gives.
            own: The name is that of the weight of the network which this takes the place of.
        """
        if key not in self._derived:
            shape, dtype = ir.Shape(self.fixed(info.shape)), dtype_of(info.dtype)
            name = name if own and name not in self.initializers else self._free(name)
            data = ir.LazyTensor(lambda: ir.Tensor(make()), dtype, shape, name=name)
            self._derived[key] = self.know(self._add(name, data), info)
        return self._derived[key]

    def reshape(self, value: ir.Value, shape: Sequence[Dim]) -> ir.Value:
        """Return a value in another shape; itself where it has that already."""
        given, wanted = self.shape_of(value), tuple(shape)
        if given == wanted:
            return value
        array = self._small(value)
        if array is not None:
            return self.constant(array.reshape(self.fixed(wanted)), self.info_of(value).dtype)
        maker = value.producer()
        source = maker.inputs[0] if maker and maker.op_type == "Reshape" else None
        if source is not None and id(source) in self._infos:
            return self.reshape(source, wanted)  # two in a row are one
        # an open length that stays where it is, is 0 to Reshape; one other is -1
        open_ = [axis for axis, dim in enumerate(wanted) if not isinstance(dim, int)]
        moved = [
            i for i in open_ if i >= len(given) or given[i] != wanted[i] or wanted[i] == UNKNOWN
        ]
        if 0 in wanted or len(moved) > 1:
            target, empty = self.dims(wanted), 1
        else:
            inferred = moved or open_[:1]
            numbers = [-1 if axis in inferred else dim for axis, dim in enumerate(wanted)]
            target = self.ints([dim if isinstance(dim, int) else 0 for dim in numbers])
            empty = None
        made = self.op("Reshape", value, target, allowzero=empty)
        return self.know(made, TensorInfo(wanted, self.info_of(value).dtype))

    # operands

    def cast(self, value: ir.Value, dtype: str) -> ir.Value:
        """Return a value in another element type; itself where it has that already."""
        info = self.info_of(value)
        if info.dtype == dtype:
            return value
        array = self._small(value)
        if array is not None:
            return self.constant(array, dtype)
        return self.know(self.op("Cast", value, to=dtype_of(dtype)), TensorInfo(info.shape, dtype))

    def as_result(self, value: ir.Value) -> ir.Value:
        """Return an operand in the element type of the result, as torch promotes it."""
        return self.cast(value, self.result.dtype)

    def operands(self, *values: Any) -> list[ir.Value]:
        """Return tensors and numbers as values of the result's element type."""
        return [self._operand(value, self.result.dtype) for value in values]

    def promoted(self, *values: Any) -> list[ir.Value]:
        """Return tensors and numbers in the type that torch compares them in."""
        samples = [self._sample(value) for value in values]
        dtype = str(torch.result_type(*samples)).removeprefix("torch.")
        return [self._operand(value, dtype) for value in values]

    def _sample(self, value: Any) -> Any:
        if not isinstance(value, ir.Value):
            return 0 if isinstance(value, str) else value
        info = self.info_of(value)
        return torch.empty([1] * len(info.shape), dtype=getattr(torch, info.dtype))

    def _operand(self, value: Any, dtype: str) -> ir.Value:
        if isinstance(value, ir.Value):
            return self.cast(value, dtype)
        if isinstance(value, bool | int | float):
            return self.constant(value, dtype)
        if isinstance(value, str):
            return self.scalar(value, dtype)
        raise Unsupported(f"the operand {value!r} of {self.record.op}")

    # lengths that follow the batch, or another axis left open

    def dims(self, shape: Sequence[Dim]) -> ir.Value:
        """Return a shape as an int64 vector; lengths that are not numbers are computed."""
        if all(isinstance(dim, int) for dim in shape):
            return self.ints([int(dim) for dim in shape])
        parts = [self.length(dim) for dim in shape]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def length(self, dim: Dim) -> ir.Value:
        """Return one length as an int64 vector of one element."""
        if isinstance(dim, int):
            return self.ints([dim])
        if dim == UNKNOWN:
            raise Unsupported("a length that follows the batch in an unknown way")
        if dim not in self._lengths:
            binary = self._floored if "-" in dim else self._binary
            self._lengths[dim] = fold_dim(
                dim, lambda number: self.ints([number]), self._symbol, binary
            )
        return self._lengths[dim]

    def scalar(self, dim: Dim, dtype: str = "int64") -> ir.Value:
        """Return one length as a tensor without axes."""
        if isinstance(dim, int):
            return self.constant(dim, dtype)
        if (dim, dtype) not in self._scalars:
            value = self.op("Squeeze", self.length(dim), self.ints([0]))
            self._scalars[dim, dtype] = self.cast(self.know(value, TensorInfo((), "int64")), dtype)
        return self._scalars[dim, dtype]

    def _symbol(self, name: str) -> ir.Value:
        if name not in self._lengths:
            found = (
                (value, axis)
                for value in self.inputs
                for axis, dim in enumerate(self.shape_of(value))
                if dim == name
            )
            value, axis = next(found, (None, 0))
            if value is None:
                raise Unsupported(f"a length '{name}' that no input has")
            self._lengths[name] = self.op("Shape", value, start=axis, end=axis + 1)
        return self._lengths[name]

    def _binary(self, operator: str, a: ir.Value, b: ir.Value) -> ir.Value:
        names = {"+": "Add", "-": "Sub", "*": "Mul", "//": "Div", "%": "Mod"}
        return self.op(names[operator], a, b)

    def _floored(self, operator: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """Divide as Python does where a part may be negative; ONNX's Div truncates."""
        if operator != "//":
            return self._binary(operator, a, b)
        return self.op("Div", self.op("Sub", a, self.op("Mod", a, b)), b)
