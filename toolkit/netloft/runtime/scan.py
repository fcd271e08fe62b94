"""What can be said of an ONNX file before anything runs it: how large it is, and what it reads.

The file may be anybody's. It is read field by field within a budget, and its weights are looked at
where they lie; a field of another wire type than its schema says is refused, since other readers
pass over what this one would read. Source: onnx.proto; onnx's docs/ExternalData.md.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import IntegrityError
from netloft.runtime.tensor import DTYPES, TensorHeader, array_of, tensor_header
from netloft.runtime.wire import BYTES, NUMBER, Field, fields, number_at, require_kind

__all__ = ["DEFAULT_BUDGET", "Budget", "Scan", "scan"]

# field numbers in onnx.proto
_IR_VERSION, _GRAPH, _OPSETS, _TRAINING, _FUNCTIONS = 1, 7, 8, 20, 25
_NODE, _INITIALIZER, _VALUES, _SPARSE_INITIALIZER = 1, 5, (11, 12, 13), 15
_FUNCTION_NODE, _FUNCTION_ATTRIBUTE, _OPERATOR, _ATTRIBUTE = 7, 11, 4, 5
_FUNCTION_DOMAIN, _NODE_DOMAIN = 10, 7
_FLOAT, _TENSOR, _SUBGRAPH, _FLOATS, _TENSORS, _SUBGRAPHS = 2, 5, 6, 7, 10, 11
_SPARSE, _SPARSES, _SPARSE_PARTS = 22, 23, (1, 2)
_TYPE, _TENSOR_TYPE, _SHAPE, _DIM, _DIM_VALUE = 2, 1, 2, 1, 1
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

_KEYS = {"location", "offset", "length", "checksum"}
_BFLOAT16 = 16
_UNREADABLE = {17, 18, 19, 20, 23, 24}  # kinds of float8 and float4, and what is yet to come
_STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
_LONGEST = 64  # letters of a domain that are told
_PIECE = 1 << 22  # elements that are looked at in one go


@dataclass(frozen=True)
class Budget:
    """How large a file may be.

    Attributes:
        nodes: In all graphs and functions together.
        depth: Of graphs within graphs.
        elements: Of one weight, or of a value whose shape is declared.
        bytes: Of the file, and of each file that its weights lie in.
    """

    nodes: int = 100_000
    depth: int = 32
    elements: int = 1 << 33
    bytes: int = 1 << 36


DEFAULT_BUDGET = Budget()
"""Ten times what the largest networks of torchvision need."""


@dataclass
class Scan:
    """What a file says.

    Attributes:
        ir_version: Version of the format.
        opsets: Version by domain; the usual one is empty.
        nodes: In all graphs and functions together.
        weights: Tensors, those inside of nodes among them.
        weight_bytes: That they take.
        nan: Names of the weights that hold NaN.
        infinite: Names of those that hold infinities and no NaN.
        unread: How many are of a kind that is not looked into.
        outside: Files that weights lie in, by name.
        outside_bytes: That weights take in these; a part that several share counts once.
        foreign: Nodes whose domain is neither of ONNX nor of a function in the file, by domain:
            onnx.checker passes over them.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    nodes: int = 0
    weights: int = 0
    weight_bytes: int = 0
    nan: list[str] = field(default_factory=list)
    infinite: list[str] = field(default_factory=list)
    unread: int = 0
    outside: list[str] = field(default_factory=list)
    outside_bytes: int = 0
    foreign: dict[str, int] = field(default_factory=dict)


def scan(path: Path, budget: Budget = DEFAULT_BUDGET, *, values: bool = True) -> Scan:
    """Read a file within a budget.

    Args:
        path: An `.onnx` file.
        budget: How large it may be.
        values: Look for NaN and infinities in the weights too.

    Raises:
        IntegrityError: It is no ONNX file, is beyond the budget, or reads what is not its own.
    """
    reader = _Reader(path, budget, values=values)
    try:
        reader.read()
    except (ValueError, OSError, OverflowError) as error:
        raise IntegrityError(f"{path.name} is not an ONNX file: {error}") from error
    if not reader.found.ir_version:
        raise IntegrityError(f"{path.name} is not an ONNX file: it has no IR version")
    return reader.found


class _Reader:
    def __init__(self, path: Path, budget: Budget, *, values: bool) -> None:
        self._path, self._budget, self._values = path, budget, values
        self._outside: dict[str, mmap.mmap] = {}
        self._seen = set[tuple[str, int, int]]()
        self._domains = Counter[str]()
        self._own = set[str](_STANDARD)
        self.found = Scan()

    def read(self) -> None:
        size = self._path.stat().st_size
        self._require(size <= self._budget.bytes, f"it has {size} bytes")
        if not size:
            raise ValueError("it is empty")
        with self._path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for each in fields(data, 0, size):
            if each.number == _IR_VERSION:
                require_kind(each, NUMBER)
                self.found.ir_version = number_at(data, each.contents)
            elif each.number == _OPSETS:
                domain, version = _opset(data, each)
                self.found.opsets[domain] = version
            elif each.number == _GRAPH:
                self._graph(data, each, 1)
            elif each.number == _FUNCTIONS:
                self._function(data, each)
            elif each.number == _TRAINING:
                raise ValueError("it holds instructions for training, which nothing here reads")
        for domain in sorted(set(self._domains) - self._own):
            told = domain[:_LONGEST]
            self.found.foreign[told] = self.found.foreign.get(told, 0) + self._domains[domain]

    def _function(self, data: mmap.mmap, function: Field) -> None:
        for each in _inside(data, function):
            if each.number == _FUNCTION_NODE:
                self._node(data, each, 1)
            elif each.number == _FUNCTION_ATTRIBUTE:
                self._attribute(data, each, 1)
            elif each.number == _FUNCTION_DOMAIN:
                self._own.add(_text(data, each))

    def _require(self, held: bool, what: str) -> None:
        if not held:
            raise IntegrityError(
                f"{self._path.name} is beyond what is read of a file: {what}",
                remedy="netloft.runtime.scan.scan takes a larger budget",
            )

    def _graph(self, data: mmap.mmap, graph: Field, depth: int) -> None:
        self._require(depth <= self._budget.depth, f"graphs are nested {depth} deep")
        for each in _inside(data, graph):
            if each.number == _NODE:
                self._node(data, each, depth)
            elif each.number == _INITIALIZER:
                self._tensor(data, each)
            elif each.number == _SPARSE_INITIALIZER:
                self._sparse(data, each)
            elif each.number in _VALUES:
                self._declared(data, each)

    def _node(self, data: mmap.mmap, node: Field, depth: int) -> None:
        self.found.nodes += 1
        most = self._budget.nodes
        self._require(self.found.nodes <= most, f"it has more than {most} nodes")
        domain = ""
        for each in _inside(data, node):
            if each.number == _ATTRIBUTE:
                self._attribute(data, each, depth)
            elif each.number == _NODE_DOMAIN:
                domain = _text(data, each)
            elif each.number == _OPERATOR and data[each.contents : each.end] == b"EPContext":
                raise ValueError("it has a node that loads a compiled engine from another file")
        self._domains[domain] += 1

    def _attribute(self, data: mmap.mmap, attribute: Field, depth: int) -> None:
        single = set[int]()
        for each in _inside(data, attribute):
            if each.number in (_TENSOR, _SUBGRAPH, _SPARSE):
                if each.number in single:  # other readers would make one of the two
                    raise ValueError("an attribute is there twice")
                single.add(each.number)
            if each.number in (_TENSOR, _TENSORS):
                self._tensor(data, each)
            elif each.number in (_SUBGRAPH, _SUBGRAPHS):
                self._graph(data, each, depth + 1)
            elif each.number in (_SPARSE, _SPARSES):
                self._sparse(data, each)
            elif each.number in (_FLOAT, _FLOATS):
                values = np.frombuffer(data[each.contents : each.end], "<f4")
                if self._values and np.isnan(values).any():
                    self.found.nan.append("an attribute")

    def _sparse(self, data: mmap.mmap, sparse: Field) -> None:
        for each in _inside(data, sparse):
            if each.number in _SPARSE_PARTS:
                self._tensor(data, each)

    def _declared(self, data: mmap.mmap, value: Field) -> None:
        """Look at the shape that an input, an output or a value between is said to have."""
        lengths = [
            number_at(data, length.contents)
            for kind in _inside(data, value, _TYPE)
            for tensor in _inside(data, kind, _TENSOR_TYPE)
            for shape in _inside(data, tensor, _SHAPE)
            for dim in _inside(data, shape, _DIM)
            for length in _inside(data, dim, _DIM_VALUE)
        ]
        self._lengths(lengths)

    def _lengths(self, lengths: list[int] | tuple[int, ...]) -> None:
        elements, most = 1, self._budget.elements
        for length in lengths:  # one by one: the product of a million lengths takes minutes
            elements *= length
            self._require(
                0 <= elements <= most and len(lengths) <= 64,
                f"a value of {' × '.join(map(str, lengths[:8]))} elements",
            )

    def _tensor(self, data: mmap.mmap, tensor: Field) -> None:
        require_kind(tensor, BYTES)
        header = tensor_header(data, tensor.contents, tensor.end)
        self._lengths(header.dims)
        self.found.weights += 1
        if header.external is not None:
            placed = self._placed(header)
            if placed is None:
                return  # looked at before
            data, header = placed
        dtype = DTYPES.get(header.type)
        if header.raw is not None:
            size = header.raw[1] - header.raw[0]
            self.found.weight_bytes += size
            if dtype is not None and size != header.elements * np.dtype(dtype).itemsize:
                raise ValueError(f"'{header.name}' has {size} bytes for {list(header.dims)}")
        if self._values:
            self._look(data, header, dtype)

    def _look(self, data: mmap.mmap, header: TensorHeader, dtype: str | None) -> None:
        if header.type == _BFLOAT16 and header.raw is not None:
            # the upper half of a float32
            bits = np.frombuffer(data, "<u2", (header.raw[1] - header.raw[0]) // 2, header.raw[0])
            self._look_into(header.name, (bits.astype(np.uint32) << 16).view(np.float32))
        elif dtype is not None and dtype.startswith(("float", "complex")):
            self._look_into(header.name, array_of(data, header).reshape(-1))
        elif header.type in _UNREADABLE or header.type == _BFLOAT16:
            self.found.unread += 1

    def _look_into(self, name: str, values: npt.NDArray[Any]) -> None:
        infinite = False
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE]
            if not np.isfinite(piece).all():
                infinite = True
                if np.isnan(piece).any():
                    self.found.nan.append(name)
                    return
        if infinite:
            self.found.infinite.append(name)

    def _placed(self, header: TensorHeader) -> tuple[mmap.mmap, TensorHeader] | None:
        """Return the file that a weight lies in, and where; None for a part that was looked at.

        The file has to be one of the model's own.
        """
        entries = header.external or {}
        strange = sorted(set(entries) - _KEYS)
        if strange:
            raise ValueError(f"'{header.name}' lies outside with an unknown key '{strange[0]}'")
        location = entries.get("location", "")
        data = self._file(location)
        offset = _whole(entries.get("offset", "0"))
        length = _whole(entries["length"]) if "length" in entries else len(data) - offset
        if length < 0 or offset + length > len(data):
            raise ValueError(f"the file '{location}' ends within '{header.name}'")
        part = location, offset, length
        if part in self._seen:
            return None
        self._seen.add(part)
        self.found.outside_bytes += length
        self._require(
            self.found.outside_bytes <= self._budget.bytes, "weights of more than all of its files"
        )
        place = offset, offset + length
        return data, TensorHeader(header.name, header.dims, header.type, place)

    def _file(self, location: str) -> mmap.mmap:
        if location not in self._outside:
            path = PurePosixPath(location)
            plain = len(path.parts) == 1 and ".." not in path.parts and not path.is_absolute()
            if not plain or "\\" in location or "\0" in location or ":" in location:
                raise ValueError(f"its weights lie in '{location}', which is not beside it")
            self._outside[location] = self._opened(self._path.parent / location)
            self.found.outside.append(location)
        return self._outside[location]

    def _opened(self, path: Path) -> mmap.mmap:
        """Map a file that nobody else can have put another file's name on."""
        if path.is_symlink():
            raise ValueError(f"its weights lie in '{path.name}', which is a link")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError(f"'{path.name}' is no file")
            if facts.st_nlink > 1:
                raise ValueError(f"'{path.name}' is a hard link: it may be another file's name")
            self._require(facts.st_size <= self._budget.bytes, f"{path.name} is too large")
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)


def _inside(data: mmap.mmap, outer: Field, number: int | None = None) -> Iterator[Field]:
    require_kind(outer, BYTES)
    for each in fields(data, outer.contents, outer.end):
        if number is None or each.number == number:
            yield each


def _opset(data: mmap.mmap, outer: Field) -> tuple[str, int]:
    domain, version = "", 0
    for each in _inside(data, outer):
        if each.number == _OPSET_DOMAIN:
            domain = _text(data, each)
        elif each.number == _OPSET_VERSION:
            version = number_at(data, each.contents)
    return domain, version


def _text(data: mmap.mmap, field: Field) -> str:
    require_kind(field, BYTES)
    return data[field.contents : field.end].decode("utf-8", "replace")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"'{text[:40]}' is no place in a file")
    return int(text)
