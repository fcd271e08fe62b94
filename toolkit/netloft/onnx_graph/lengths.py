"""Lengths as a file writes them, as netloft writes them, and those that a reshape leaves open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx

from netloft.graph.annotation import Dim, TensorInfo
from netloft.graph.dims import BATCH, UNKNOWN, symbols_of
from netloft.onnx_graph.step import Step

__all__ = ["Symbols", "settled"]

_LONGEST = 80
"""Letters of a symbolic length that is kept."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPEN = re.compile(r"unk__\d+")
"""What shape inference calls a length that it does not know."""


class Symbols:
    """Lengths by name; the first axis of the first input is the batch."""

    def __init__(self, model: onnx.ModelProto) -> None:
        weights = {tensor.name for tensor in model.graph.initializer}
        given = [v for v in model.graph.input if v.name not in weights]
        dims = given[0].type.tensor_type.shape.dim if given else ()
        self._batch = str(dims[0].dim_param) if dims else ""

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


def settled(infos: Mapping[str, TensorInfo], steps: Sequence[Step]) -> dict[str, TensorInfo]:
    """Work out the lengths that shape inference leaves open and a reshape tells.

    Given:
        Reshape from batch×512×1×1 to unk__0×512

    Result:
        batch×512, there and wherever unk__0 stands; `?` for what stays open
    """
    found: dict[str, Dim] = {}
    done: dict[str, TensorInfo] = {}
    for step in steps:
        if step.op_type != "Reshape" or not step.reads or not step.gives:
            continue
        before, after = infos.get(step.reads[0]), infos.get(step.gives[0])
        if before is None or after is None:
            continue
        known = tuple(found.get(str(dim), dim) for dim in before.shape)
        open_ = [i for i, dim in enumerate(after.shape) if _is_open(found.get(str(dim), dim))]
        if len(open_) != 1:
            continue
        (at,) = open_
        rest = [found.get(str(d), d) for i, d in enumerate(after.shape) if i != at]
        length = _quotient(known, rest)
        if length is not None and after.shape[at] != UNKNOWN:
            found[str(after.shape[at])] = length
        elif length is not None:
            whole = (*after.shape[:at], length, *after.shape[at + 1 :])
            done[step.gives[0]] = TensorInfo(whole, after.dtype)
    return {
        name: TensorInfo(tuple(_final(dim, found) for dim in info.shape), info.dtype)
        for name, info in {**infos, **done}.items()
    }


def _is_open(dim: Dim) -> bool:
    return dim == UNKNOWN or bool(_OPEN.fullmatch(str(dim)))


def _final(dim: Dim, found: Mapping[str, Dim]) -> Dim:
    settled_ = found.get(str(dim), dim)
    return UNKNOWN if _OPEN.search(str(settled_)) else settled_


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
