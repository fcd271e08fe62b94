"""One side of a comparison as a list of operations, written alike for modules and for files."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import fx

from netloft.comparing.arguments import Arguments, arguments_of, bound_arguments
from netloft.comparing.form import COMMUTES, Form
from netloft.comparing.forms import form_of
from netloft.comparing.plain import plain
from netloft.comparing.readers import Readers
from netloft.comparing.wiring import Read, Wiring, is_part
from netloft.graph.annotation import Annotation, Source
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph
from netloft.graph.ops import writes
from netloft.onnx_graph import WEIGHTS
from netloft.passes.affine import Affine

__all__ = ["EXACT", "Entry", "entries_of"]


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
        reads: The entries that it reads, in order.
        is_layer: Whether the path is that of a layer of its own.
        source: Line of the code that made it.
        arguments: What it is called with; None for a node of a file.
        exact: All that a file says of it, where its record holds that.
        form: What it does, spelled alike for modules and files.
        numbers: Single numbers that a node of a file is given, for what a module has as weights.
        types: Element types of what it gives.
        calls: The module that it lies in, whatever layer it is.
        turned: Whether a matrix stands as (inputs, outputs) where a module reads it.
    """

    position: int
    node: tuple[str, ...]
    path: str
    op: str
    family: str
    attributes: Mapping[str, object]
    shape: tuple[object, ...] | None
    weights: tuple[tuple[str, str], ...] = ()
    reads: tuple[Read, ...] = ()
    is_layer: bool = False
    source: Source | None = None
    arguments: Arguments | None = None
    exact: Hashable = None
    form: Form = field(default_factory=lambda: Form({}, whole=False))
    numbers: tuple[float, ...] = ()
    types: tuple[str, ...] = ()
    calls: str = ""
    turned: bool = False

    def __str__(self) -> str:
        return f"{self.path or self.node[0]} ({self.op})"


_LAYERS = ("conv", "linear", "norm", "embedding", "recurrent", "activation")
"""Families that own the weights they read, however they are written."""

_NAMED = ("conv", "linear", "norm", "embedding", "parameter", "activation")
"""Families whose weights have their roles by their order."""

_ROLES = ("weight", "bias", "running_mean", "running_var")

_OWN_NAMES = {"other": "weight", "mat2": "weight"}

# One name for what is done alike by several operations.
_SAME_OPS = {
    "flatten": "reshape", "unflatten": "reshape", "squeeze": "reshape", "unsqueeze": "reshape",
    "transpose": "permute", "t": "permute", "swapaxes": "permute", "movedim": "permute",
    "expand_as": "expand", "repeat": "expand", "select": "slice", "getitem": "slice",
    "narrow": "slice", "index_select": "slice", "addmm": "linear", "mm": "matmul",
    "bmm": "matmul", "chunk": "split", "hardtanh": "clamp", "type_as": "to", "float": "to",
    "constant": "parameter", "amax": "max", "amin": "min", "relu6": "clamp", "double": "to",
    "half": "to", "clamp_min": "clamp", "clamp_max": "clamp", "clip": "clamp",
}  # fmt: skip

EXACT = "netloft_exact"
"""Where the meta of a file's node holds all that the file says of it beside its wiring."""

_MATRICES = ("matmul", "mm", "bmm", "mv", "addmm")
"""Products whose right factor stands as (inputs, outputs) in a module."""


def entries_of(graph: Graph, readers: Readers | None = None) -> list[Entry]:
    """Return what there is to compare of a graph, in the order of its flow.

    Sums on lengths are left out; a weight belongs to the layer that reads it, and a bias behind a
    matrix product to the product.

    Args:
        graph: A module's, or a file's.
        readers: Of the file's tensors.
    """
    return _Entries(graph, readers).found


class _Entries:
    def __init__(self, graph: Graph, readers: Readers | None) -> None:
        self._graph, self._readers = graph, readers
        self.found: list[Entry] = []
        self._at: dict[fx.Node, int] = {}
        self._wiring = Wiring(graph, self._at)
        for node, record in graph:
            if record.value is None and record.op != "output" and not self._writes(node):
                continue
            if record.family == "parameter" and node.users and all(_owns(u) for u in node.users):
                continue
            if record.op == "bias" or is_part(node, record):
                self._join(node)
            else:
                self._at[node] = len(self.found)
                self.found.append(self._entry(node, record))

    def _writes(self, node: fx.Node) -> bool:
        """Tell of what gives nothing and writes into a value, as `y[0] = 1` does."""
        return self._graph.file is None and writes(node, self._graph.module)

    def _join(self, node: fx.Node) -> None:
        """Count a node to the entry of what it reads first."""
        position = next((self._at[n] for n in node.all_input_nodes if n in self._at), -1)
        if position < 0:
            return
        owner = self.found[position]
        weights = (*owner.weights, *(("bias", name) for name in node.meta.get(WEIGHTS, ())))
        self._at[node] = position
        numbers = (*owner.numbers, *self._numbers(node, owner.family))
        self.found[position] = replace(
            owner,
            node=(*owner.node, node.name),
            weights=weights,
            numbers=numbers,
            exact=_both(owner.exact, node.meta.get(EXACT)),
        )

    def _numbers(self, node: fx.Node, family: str) -> tuple[float, ...]:
        if self._graph.file is None or family not in _NAMED:
            return ()
        return tuple(float(a) for a in node.args if isinstance(a, int | float))

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
        shape = self._shape(infos[0].shape) if len(infos) == 1 else None
        told = arguments_of(node, self._graph) if self._graph.file is None else None
        return Entry(
            position=len(self.found),
            node=(node.name,),
            path=path,
            op=_op(node, record),
            family=record.family,
            attributes=_attributes(node, record),
            shape=shape,
            weights=weights,
            reads=self._wiring.reads(node),
            is_layer=is_layer,
            source=record.source,
            arguments=told,
            exact=node.meta.get(EXACT),
            form=form_of(node, record, self._graph, told, shape, self._readers),
            numbers=self._numbers(node, record.family),
            types=tuple(info.dtype for info in infos),
            calls=str(record.calls[-1]) if record.calls else "",
            turned=record.op in _MATRICES,
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
        return tuple(self._read_by_a_function(node, record))

    def _read_by_a_function(self, node: fx.Node, record: Annotation) -> Iterator[tuple[str, str]]:
        """Yield the weights of a layer that is written as a function, called as it calls them."""
        if not _owns(node):
            return
        parameters = [n for n in node.all_input_nodes if n.op == "get_attr"]
        names = {v: k for k, v in bound_arguments(node).items() if isinstance(v, fx.Node)}
        own = {"input": "bias", "mat2": "weight"} if record.op == "addmm" else _OWN_NAMES
        for i, parameter in enumerate(parameters):
            name = names.get(parameter, "")
            role = own.get(name, name if name in _ROLES else f"weight {i}" if i else "weight")
            yield role, str(parameter.target)


def _both(one: Hashable, other: Hashable) -> Hashable:
    return one if other is None else (one, other)


def _op(node: fx.Node, record: Annotation) -> str:
    """Return the operation; a product with a matrix of weights on the right is a linear layer."""
    if record.op in ("matmul", "mm") and _owns(node) and len(node.args) == 2:
        right = node.args[1]
        if isinstance(right, fx.Node) and right.op == "get_attr":
            known = right.meta.get("netloft")
            if isinstance(known, Annotation) and len(known.shape or ()) == 2:
                return "linear"
    return _SAME_OPS.get(record.op, record.op)


def _owns(reader: fx.Node) -> bool:
    """Tell whether a node is a layer written as a function, which its weights belong to."""
    record = reader.meta.get("netloft")
    return isinstance(record, Annotation) and record.family in _LAYERS and reader.op != "output"


_WITHOUT_EFFECT = (
    "inplace", "bias", "weight_shape", "in_channels", "out_channels", "in_features",
    "out_features", "num_features", "num_embeddings", "embedding_dim", "training", "input",
    "matrix_elements", "attentions", "num_channels",
)  # fmt: skip
"""Attributes that shapes of weights tell, or that are told otherwise."""


def _attributes(node: fx.Node, record: Annotation) -> dict[str, object]:
    """Return what alignment goes by, and what is told of two nodes of files that differ."""
    found: dict[str, object] = {
        name: plain(name, value)
        for name, value in record.attributes.items()
        if name not in _WITHOUT_EFFECT and not (name == "p" and record.family == "identity")
    }
    if record.op.startswith("adaptive"):
        found["output_size"] = plain("output_size", record.attributes.get("output_size"))
    constants = [(i, arg) for i, arg in enumerate(node.args) if isinstance(arg, int | float)]
    if record.family == "merge" and constants:
        found = {name: value for name, value in found.items() if name not in ("a", "b", "other")}
        found["constant"] = tuple(plain("", constant) for _, constant in constants)
        if record.op not in COMMUTES:
            found["constant at"] = tuple(i for i, _ in constants)
    return found
