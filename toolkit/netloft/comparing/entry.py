"""One side of a comparison as a list of operations, written alike for modules and for files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import fx

from netloft.graph.annotation import Annotation, Source
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph
from netloft.onnx_graph import WEIGHTS
from netloft.passes.affine import Affine

__all__ = ["Entry", "comparable", "entries_of"]


@dataclass(frozen=True)
class Entry:
    """One operation.

    Attributes:
        position: Its place in the list.
        node: Names of its nodes in the graph, the one that names it first.
        path: The layer it is, or the module that it lies in, with the number of the call.
        op: Operation, spelled alike for all ways to write it.
        family: Kind of operation.
        attributes: What there is to compare of it.
        shape: Shape of what it gives, the batch as `batch`; None for several values or none.
        weights: Its tensors: what each is to it, and its name.
        reads: Positions of the entries that it reads, in order.
        is_layer: Whether the path is that of a layer of its own.
        source: Line of the code that made it.
    """

    position: int
    node: tuple[str, ...]
    path: str
    op: str
    family: str
    attributes: Mapping[str, object]
    shape: tuple[object, ...] | None
    weights: tuple[tuple[str, str], ...] = ()
    reads: tuple[int, ...] = ()
    is_layer: bool = False
    source: Source | None = None

    def __str__(self) -> str:
        return f"{self.path or self.node[0]} ({self.op})"


_LAYERS = ("conv", "linear", "norm", "embedding", "recurrent", "activation")
"""Families that own the weights they read, however they are written."""

_NAMED = ("conv", "linear", "norm", "embedding", "parameter")
"""Families whose weights have their roles by their order."""

_ROLES = ("weight", "bias", "running_mean", "running_var")

# One name for what is done alike by several operations.
_SAME_OPS = {
    "flatten": "reshape", "unflatten": "reshape", "squeeze": "reshape", "unsqueeze": "reshape",
    "transpose": "permute", "t": "permute", "swapaxes": "permute", "movedim": "permute",
    "expand_as": "expand", "repeat": "expand", "select": "slice", "getitem": "slice",
    "narrow": "slice", "index_select": "slice", "addmm": "linear", "mm": "matmul",
    "bmm": "matmul", "chunk": "split", "hardtanh": "clamp", "type_as": "to", "float": "to",
    "constant": "parameter", "amax": "max", "amin": "min",
}  # fmt: skip

# Hyper-parameters that mean something for what a file holds too; the rest follows from weights.
_KNOWN = {
    "conv": ("stride", "padding", "dilation", "groups"),
    "pool": ("kernel_size", "stride", "padding", "ceil_mode", "output_size"),
    "norm": ("eps", "num_groups"),
    "activation": ("dim", "negative_slope", "alpha", "approximate", "min", "max"),
    "merge": ("dim",),
    "reduce": ("dim", "keepdim"),
    "pad": ("pad", "mode", "value"),
    "resample": ("scale_factor", "mode", "upscale_factor"),
    "recurrent": ("hidden_size", "bidirectional"),
    "attention": ("num_heads",),
}

_WITHOUT_EFFECT = (
    "inplace", "bias", "weight_shape", "in_channels", "out_channels", "in_features",
    "out_features", "num_features", "num_embeddings", "embedding_dim", "p", "training", "input",
    "matrix_elements", "attentions", "padding_mode", "output_padding", "num_channels",
)  # fmt: skip
"""Attributes that shapes of weights tell, or that say nothing when a network is evaluated."""


def entries_of(graph: Graph) -> list[Entry]:
    """Return what there is to compare of a graph, in the order of its flow.

    Sums on lengths are left out; a weight belongs to the layer that reads it, and a bias behind a
    matrix product to the product.
    """
    return _Entries(graph).found


class _Entries:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.found: list[Entry] = []
        self._at: dict[fx.Node, int] = {}
        for node, record in graph:
            if record.value is None and record.op != "output":
                continue
            if record.family == "parameter" and node.users and all(_owns(u) for u in node.users):
                continue
            if record.op == "bias" or _is_part(node, record):
                self._join(node)
            else:
                self._at[node] = len(self.found)
                self.found.append(self._entry(node, record))

    def _join(self, node: fx.Node) -> None:
        """Count a node to the entry of what it reads first."""
        position = next((self._at[n] for n in node.all_input_nodes if n in self._at), -1)
        if position < 0:
            return
        owner = self.found[position]
        weights = (*owner.weights, *(("bias", name) for name in node.meta.get(WEIGHTS, ())))
        self._at[node] = position
        self.found[position] = replace(owner, node=(*owner.node, node.name), weights=weights)

    def _entry(self, node: fx.Node, record: Annotation) -> Entry:
        is_layer = node.op == "call_module"
        path = str(record.calls[-1]) if record.calls else ""
        weights = self._weights(node, record)
        if record.family == "parameter":
            path, is_layer = weights[0][1] if weights else node.name, True
        owners = {name.rpartition(".")[0] for _, name in weights if name.endswith(".weight")}
        if not is_layer and len(owners) == 1 and self._graph.file is None:
            path, is_layer = owners.pop(), True  # a layer written as a function
        infos = tensors(record.value)
        return Entry(
            position=len(self.found),
            node=(node.name,),
            path=path,
            op=_SAME_OPS.get(record.op, record.op),
            family=record.family,
            attributes=_attributes(node, record),
            shape=self._shape(infos[0].shape) if len(infos) == 1 else None,
            weights=weights,
            reads=tuple(self._at[n] for n in _operands(node) if n in self._at),
            is_layer=is_layer,
            source=record.source,
        )

    def _shape(self, shape: tuple[int | str, ...]) -> tuple[object, ...]:
        batch = self._graph.batch
        return ("batch", *shape[1:]) if shape[:1] == (batch,) else shape

    def _weights(self, node: fx.Node, record: Annotation) -> tuple[tuple[str, str], ...]:
        if self._graph.file is not None:
            names = node.meta.get(WEIGHTS, ())
            roles = _ROLES if record.family in _NAMED else ()
            told = [*roles, *(f"weight {i}" for i in range(len(roles), len(names)))]
            return tuple(zip(told, names, strict=False))
        target = str(node.target)
        if node.op == "get_attr":
            return (("weight", target),)
        if node.op == "call_module":
            module = self._graph.module.get_submodule(target)
            if isinstance(module, Affine):  # its weights are worked out as they are read
                held = ["weight"] if module.bias is None else ["weight", "bias"]
                return tuple((name, f"{target}.{name}") for name in held)
            named = [*module.named_parameters(), *module.named_buffers()]
            held = [name for name, _ in named if not name.endswith("num_batches_tracked")]
            return tuple((name, f"{target}.{name}") for name in held)
        parameters = [n for n in node.all_input_nodes if n.op == "get_attr" and _owns(node)]
        return tuple(zip(_ROLES, (str(n.target) for n in parameters), strict=False))


def _owns(reader: fx.Node) -> bool:
    """Tell whether a node is a layer written as a function, which its weights belong to."""
    record = reader.meta.get("netloft")
    return isinstance(record, Annotation) and record.family in _LAYERS and reader.op != "output"


def _is_part(node: fx.Node, record: Annotation) -> bool:
    """Taking one of several results is no operation of its own."""
    if record.op != "getitem" or not node.all_input_nodes:
        return False
    before = node.all_input_nodes[0].meta.get("netloft")
    if not isinstance(before, Annotation):
        return False
    # the second result of an attention may be nothing at all
    return isinstance(before.value, tuple) or before.family in ("attention", "recurrent")


def _operands(node: fx.Node) -> list[fx.Node]:
    """Return operands in order; one that is read twice is there twice."""
    found: list[fx.Node] = []

    def take(operand: fx.Node) -> fx.Node:
        found.append(operand)
        return operand

    fx.node.map_arg((node.args, node.kwargs), take)
    return found


def _attributes(node: fx.Node, record: Annotation) -> dict[str, object]:
    found: dict[str, object] = {
        name: _plain(name, value)
        for name, value in record.attributes.items()
        if name not in _WITHOUT_EFFECT and not name.startswith("arg")
    }
    if record.op.startswith("adaptive"):
        found["output_size"] = _plain("output_size", record.attributes.get("output_size"))
    constants = [arg for arg in node.args if isinstance(arg, int | float)]
    parts = [n.args[1] for n in _operands(node) if _is_part(n, n.meta["netloft"])]
    if parts:
        found["part"] = tuple(parts)
    if record.family == "merge" and constants:
        found = {name: value for name, value in found.items() if name not in ("a", "b", "other")}
        found["constant"] = tuple(float(f"{constant:.6g}") for constant in constants)
    return found


def _plain(name: str, value: object) -> object:
    """Write (2, 2) and 2 alike, and numbers as a file in float32 holds them."""
    if isinstance(value, tuple | list):
        items = tuple(_plain(name, item) for item in value)
        is_size = name in ("kernel_size", "stride", "padding", "dilation", "output_size", "dim")
        return items[0] if is_size and len(set(items)) == 1 else items
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def comparable(a: Entry, b: Entry, *, alike: bool) -> list[tuple[str, object, object]]:
    """Return the hyper-parameters in which two operations differ.

    Args:
        a: The first.
        b: The second, of the same operation.
        alike: Both were written in the same way, so that what one lacks is a difference.
    """
    known = _KNOWN.get(a.family, ())
    same_way = alike and a.op == b.op
    names = dict.fromkeys((*a.attributes, *b.attributes))
    return [
        (name, a.attributes.get(name), b.attributes.get(name))
        for name in names
        if a.attributes.get(name) != b.attributes.get(name)
        and (name == "constant" or name in known or same_way)
        and (same_way or (name in a.attributes and name in b.attributes))
    ]
