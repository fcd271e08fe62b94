"""Lengths as a file writes them, as netloft writes them, and those that a reshape leaves open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import BATCH, UNKNOWN, symbols_of
from netloft.onnx_graph.step import Step

__all__ = ["Symbols", "settled", "time_first"]

_LONGEST = 80
"""Letters of a symbolic length that is kept."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPEN = re.compile(r"unk__\d+")
"""What shape inference calls a length that it does not know."""


class Symbols:
    """Lengths by name; the first axis of the first input is the batch, or that behind time."""

    def __init__(self, model: onnx.ModelProto, timed: frozenset[str] = frozenset()) -> None:
        weights = {tensor.name for tensor in model.graph.initializer}
        given = [v for v in model.graph.input if v.name not in weights]
        dims = list(given[0].type.tensor_type.shape.dim) if given else []
        behind = len(dims) > 1 and given[0].name in timed and dims[0].dim_param != BATCH
        self._batch = str(dims[int(behind)].dim_param) if dims else ""

    def length(self, dim: onnx.TensorShapeProto.Dimension) -> Dim:
        """Return a length as netloft writes it; `?` for one that is no sum of names."""
        if dim.WhichOneof("value") == "dim_value":
            return int(dim.dim_value) if dim.dim_value >= 0 else UNKNOWN
        text = str(dim.dim_param)
        if not text or len(text) > _LONGEST:
            return UNKNOWN
        if text == self._batch:
            return BATCH
        spelled = _WORD.sub(lambda found: self._symbol(found.group()), text)
        try:
            symbols_of(spelled)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return UNKNOWN
        return spelled

    def _symbol(self, name: str) -> str:
        if name == self._batch:
            return BATCH
        return f"{name}_" if name == BATCH else name


def time_first(model: onnx.ModelProto, steps: Sequence[Step]) -> frozenset[str]:
    """Return the inputs whose first axis is time, since a recurrent layer reads it as such."""
    source = {value.name: value.name for value in model.graph.input}
    found: set[str] = set()
    for step in steps:
        before = source.get(step.reads[0]) if step.reads else None
        if before is None or not step.gives:
            continue
        if step.op_type in _RECURRENT and step.values.get("layout", 0) == 0:
            found.add(before)
        elif step.op_type in _SAME_AXES:
            source[step.gives[0]] = before
    return frozenset(found)


_RECURRENT = ("LSTM", "GRU", "RNN")
_SAME_AXES = ("Identity", "Dropout", "Cast", "Relu", "Tanh", "Sigmoid", "LayerNormalization")


def settled(infos: Mapping[str, TensorInfo], steps: Sequence[Step]) -> dict[str, TensorInfo]:
    """Work out the lengths that shape inference leaves open, and that follow from elements.

    Given:
        Reshape from batch×512×1×1 to unk__0×512

    Result:
        batch×512, there and wherever unk__0 stands; `?` for what stays open
    """
    found: dict[str, Dim] = {}
    done = dict(infos)

    def known(name: str) -> tuple[Dim, ...] | None:
        info = done.get(name)
        return None if info is None else tuple(found.get(str(dim), dim) for dim in info.shape)

    for step in steps:
        name = step.gives[0] if step.gives else ""
        shape = known(name)
        if shape is None or not any(map(_is_open, shape)):
            continue
        operands = [known(read) or () for read in step.reads]
        if step.op_type == "Reshape" and operands:
            settled_shape = _reshaped(operands[0], shape)
        elif step.op_type in _BROADCAST:
            settled_shape = _broadcast(operands, shape, 2 if step.op_type == "MatMul" else 0)
        else:
            continue
        for dim, length in zip(shape, settled_shape, strict=True):
            if dim != length and dim != UNKNOWN:
                found[str(dim)] = length
        done[name] = TensorInfo(settled_shape, done[name].dtype)
    return {
        name: TensorInfo(tuple(_final(dim, found) for dim in info.shape), info.dtype)
        for name, info in done.items()
    }


_BROADCAST = ("Add", "Sub", "Mul", "Div", "Pow", "Where", "MatMul")


def _reshaped(before: Sequence[Dim], shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Work out the one length that a reshape leaves open."""
    open_ = [i for i, dim in enumerate(shape) if _is_open(dim)]
    rest = [dim for i, dim in enumerate(shape) if i not in open_]
    length = _quotient(before, rest) if len(open_) == 1 else None
    return shape if length is None else tuple(length if _is_open(dim) else dim for dim in shape)


def _broadcast(
    operands: Sequence[Sequence[Dim]], shape: tuple[Dim, ...], own: int
) -> tuple[Dim, ...]:
    """Work out lengths of a sum or a product; the last `own` axes are a matrix's."""
    result = list(shape)
    for back in range(1 + own, len(shape) + 1):
        lengths = {operand[-back] for operand in operands if len(operand) >= back} - {1}
        told = {dim for dim in lengths if not _is_open(dim)}
        if _is_open(result[-back]) and len(told) == 1:
            result[-back] = told.pop()
    return tuple(result)


def _is_open(dim: Dim) -> bool:
    return dim == UNKNOWN or bool(_OPEN.fullmatch(str(dim)))


def _final(dim: Dim, found: Mapping[str, Dim]) -> Dim:
    length = found.get(str(dim), dim)
    return UNKNOWN if _OPEN.search(str(length)) else length


def _quotient(whole: Sequence[Dim], part: Sequence[Dim]) -> Dim | None:
    """Return the length that makes of `part` as many elements as there are in `whole`."""
    if any(_is_open(dim) for dim in (*whole, *part)):
        return None
    over, under = Counter(map(str, _words(whole))), Counter(map(str, _words(part)))
    number, rest = _product(whole), over - under
    if under - over or not _product(part) or number % _product(part) or rest.total() > 1:
        return None
    number //= _product(part)
    if not rest:
        return number
    (word,) = rest
    plain = word if word.isidentifier() else f"({word})"
    return word if number == 1 else f"{number}*{plain}"


def _words(dims: Sequence[Dim]) -> list[Dim]:
    return [dim for dim in dims if not isinstance(dim, int)]


def _product(dims: Sequence[Dim]) -> int:
    product = 1
    for dim in dims:
        product *= dim if isinstance(dim, int) else 1
    return product
