"""All that a file says of a node beside its wiring, so that two files can be compared exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache

import numpy as np
import onnx
from google.protobuf.message import Message

from netloft.onnx_graph.constants import Constant
from netloft.onnx_graph.step import Step, attribute_value

__all__ = ["EXACT", "Exact"]

EXACT = "netloft_exact"
"""Where a node's meta holds what the file says of it: a tuple that can be hashed."""

_LONGEST = 400
"""Letters of an attribute that is told as it stands."""

_FEW = 16
"""Elements of a constant that are told one by one."""


class Exact:
    """What each node says, and how constants and lengths are worked out.

    Two nodes that do the same with the same kinds of operands, whatever their values are called,
    are told alike.
    """

    def __init__(self, model: onnx.ModelProto, constants: Mapping[str, Constant]) -> None:
        self._constants = constants
        self._recipes = {
            sparse.values.name: _digest(sparse.SerializeToString(deterministic=True))
            for sparse in model.graph.sparse_initializer
        }
        self._parts: dict[str, int] = {}
        self._contents: dict[int, tuple[Message, str]] = {}

    def of(self, step: Step, weights: Iterable[str], *, hidden: bool) -> tuple[Hashable, ...]:
        """Return what a node says; each node is asked for after those that it reads.

        Args:
            step: The node.
            weights: The tensors that are compared by themselves, and not here.
            hidden: Whether the node is worked out, and is no part of the flow.

        Returns:
            Pairs of a name and what stands there: `operator`, `domain`, `overload`, `version`
            (of the operator's definition), `attributes`, `operands` and `captured`.
        """
        own = frozenset(weights)
        told = (
            ("operator", step.op_type),
            ("domain", step.domain),
            ("overload", step.overload),
            ("version", _version(step.op_type, step.domain, step.opset)),
            ("attributes", self._attributes(step)),
            ("operands", tuple(self.operand(name, own) for name in step.reads)),
            ("captured", tuple(self.operand(name, own) for name in step.captured)),
            ("results", tuple(bool(name) for name in step.gives)),
        )
        recipe = _digest(repr(told).encode()) if hidden else ""
        for part, name in enumerate(step.gives):
            if name:
                self._parts[name] = part
                if hidden:
                    self._recipes[name] = f"{recipe}:{part}"
        return told

    def operand(self, name: str, weights: frozenset[str]) -> Hashable:
        """Return what an operand is: None where it is left out, else its kind and contents."""
        constant, recipe = self._constants.get(name), self._recipes.get(name, "")
        if not name:
            return None
        if constant is None:
            return ("length", recipe) if recipe else ("value", self._parts.get(name, 0))
        if constant.names and weights.issuperset(constant.names):
            # by its own name, the file holds several constants of functions
            plain = constant.is_listed and "#" not in name
            return ("weight", constant.dtype, constant.shape, "" if plain else recipe)
        array = constant.array
        if array is None:
            return ("constant", constant.dtype, constant.shape, recipe)
        few = array.size <= _FEW
        values = repr(array.reshape(-1).tolist()) if few else _array_digest(array)
        return ("constant", constant.dtype, constant.shape, values)

    def recipe(self, name: str) -> str:
        """Return a digest of how a constant is worked out; empty for one that is not."""
        constant = self._constants.get(name)
        return "" if constant is None or constant.is_listed else self._recipes.get(name, "")

    def _attributes(self, step: Step) -> tuple[tuple[str, Hashable], ...]:
        found: dict[str, Hashable] = dict(_defaults(step.op_type, step.domain, step.opset))
        for name, attribute in step.attributes.items():
            value = attribute_value(attribute)
            plain = repr(value)
            if value is None:
                plain = self._content(attribute)
            found[name] = plain if len(plain) <= _LONGEST else _digest(plain.encode())
        return tuple(sorted(found.items()))

    def _content(self, attribute: onnx.AttributeProto) -> str:
        """Return a digest of a tensor or a graph; one that many calls share is read once."""
        kept = self._contents.get(id(attribute))
        if kept is None:
            kept = (attribute, _attribute_digest(attribute))
            self._contents[id(attribute)] = kept
        return kept[1]


def _attribute_digest(attribute: onnx.AttributeProto) -> str:
    if attribute.HasField("t"):
        return _tensor_digest(attribute.t)
    graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
    if graphs:
        return _digest(repr([_graph(graph, {}) for graph in graphs]).encode())
    plain = onnx.AttributeProto()
    plain.CopyFrom(attribute)
    plain.name = plain.doc_string = ""
    return _digest(plain.SerializeToString(deterministic=True))


def _graph(graph: onnx.GraphProto, outer: Mapping[str, str]) -> tuple[object, ...]:
    """Return a graph with its values called by number, and those from outside by first use."""
    names = dict(outer)

    def call(name: str, kind: str) -> str:
        return names.setdefault(name, f"{kind} {len(names)}") if name else ""

    for value in graph.input:
        names[value.name] = f"input {len(names)}"
    for tensor in graph.initializer:
        names[tensor.name] = f"constant {_tensor_digest(tensor)}"
    nodes: list[object] = []
    for node in graph.node:
        inner: list[object] = []
        for attribute in sorted(node.attribute, key=lambda a: str(a.name)):
            graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            value = attribute_value(attribute)
            if graphs:
                value = [_graph(held, names) for held in graphs]
            elif value is None:
                value = _attribute_digest(attribute)
            inner.append((attribute.name, attribute.ref_attr_name, value))
        reads = [call(name, "outside") for name in node.input]
        for name in filter(None, node.output):
            names[name] = f"value {len(names)}"
        gives = [names.get(name, "") for name in node.output]
        nodes.append((node.op_type, node.domain, reads, gives, inner))
    return (nodes, [call(value.name, "outside") for value in graph.output])


def _tensor_digest(tensor: onnx.TensorProto) -> str:
    """Return the same for the same contents, whichever field of the message they stand in."""
    head = f"{tensor.data_type} {list(tensor.dims)} ".encode()
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        try:
            array = np.asarray(onnx.numpy_helper.to_array(tensor))
            return _digest(head + _bytes(array))
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # fewer bytes than its shape says, or an odd type
    plain = onnx.TensorProto()
    plain.CopyFrom(tensor)
    plain.name = plain.doc_string = ""
    return _digest(head + plain.SerializeToString(deterministic=True))


def _array_digest(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return _digest(_bytes(array))


def _bytes(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes()


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


@lru_cache(maxsize=4096)
def _schema(op_type: str, domain: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, opset or onnx.defs.onnx_opset_version(), domain)
    except (onnx.defs.SchemaError, TypeError, ValueError):
        return None


def _version(op_type: str, domain: str, opset: int) -> int:
    """Return since when the operator is what it is: sets that do not differ in it are alike."""
    schema = _schema(op_type, domain, min(opset, 1 << 30))
    return opset if schema is None else int(schema.since_version)


@lru_cache(maxsize=4096)
def _defaults(op_type: str, domain: str, opset: int) -> tuple[tuple[str, str], ...]:
    """Return the attributes that a node has where it does not say them."""
    schema = _schema(op_type, domain, min(opset, 1 << 30))
    given = {} if schema is None else schema.attributes
    values = {name: attribute_value(a.default_value) for name, a in given.items()}
    return tuple((name, repr(value)) for name, value in values.items() if value is not None)
