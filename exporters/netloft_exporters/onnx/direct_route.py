"""Graph to ONNX, node by node, with our own lowerings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from onnxscript.optimizer import optimize
from torch import fx, nn

from netloft.graph.annotation import Annotation
from netloft.graph.cost import tensors
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import Graph, annotation
from netloft.graph.ops import is_inplace
from netloft_exporters.onnx.lowered import Lowered, PassRow, write_origin
from netloft_exporters.onnx.lowering import LOWERINGS, Context, Unsupported
from netloft_exporters.onnx.lowering.context import dtype_of
from netloft_exporters.onnx.lowering.modules import module_call
from netloft_exporters.onnx.origins import OriginFinder, weight_path
from netloft_exporters.onnx.quiet import quiet

__all__ = ["lower_directly"]

# Calls whose result is only a number or nothing; the graph knows it already.
_SILENT = {"assert"}

# What a view shares its memory with; a write to one of them changes the other.
_VIEWS = {
    "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "swapaxes",
    "getitem", "select", "chunk", "split", "tensor_split", "unbind", "expand", "expand_as",
    "identity", "dropout", "feature_dropout", "stochastic_depth", "narrow", "to", "float", "double",
    "half", "type", "type_as",
}  # fmt: skip


def lower_directly(
    graph: Graph, module: nn.Module, inputs: Mapping[str, torch.Tensor], opset: int
) -> Lowered:
    """Lower a graph with the table of `netloft_exporters.onnx.lowering`.

    Args:
        graph: The proven graph.
        module: Not used: the graph holds the weights.
        inputs: Not used: the graph knows its shapes.
        opset: ONNX operator set to write.

    Raises:
        Unsupported: An operation, or a use of one, that the table does not cover.
    """
    model = _Lowering(graph, opset).run()
    row = _optimise(model)
    finder = OriginFinder(graph)
    for node in model.graph:
        path = weight_path(node)
        if "pkg.onnxscript.rewriter.rule_name" in node.metadata_props and path:
            # a fused convolution is the convolution that holds its weight
            write_origin(node, finder.find(path, node.op_type, None))
    return Lowered(model, "netloft", (row,))


def _optimise(model: ir.Model) -> PassRow:
    before = len(model.graph)
    with quiet():
        optimize(model)
    rule = "onnxscript optimiser: constants folded, conv+BN and pad+conv merged"
    return PassRow(rule, before, len(model.graph), "parity of the written file")


class _Lowering:
    """Walk a graph in order; `_values` holds what each node gave so far."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self._graph, self._context = graph, Context(graph, opset)
        self._values: dict[fx.Node, Any] = {}
        self._weights: dict[str, torch.Tensor | None] = {}
        self._order = {node: i for i, node in enumerate(graph.module.graph.nodes)}
        self._memory: dict[fx.Node, fx.Node] = {}  # which node's memory a node's result lives in

    def run(self) -> ir.Model:
        """Lower every node."""
        placeholders = iter(self._context.inputs)
        outputs: list[ir.Value] = []
        for node, record in self._graph:
            self._context.record = record
            if node.op == "placeholder":
                self._values[node] = next(placeholders)
            elif node.op == "output":
                outputs = _flat(self._resolved(node.args[0]))
            elif record.op not in _SILENT and tensors(record.value):
                self._lower_or_say(node, record)
        return self._model(outputs)

    def _model(self, outputs: list[ir.Value]) -> ir.Model:
        if not all(isinstance(value, ir.Value) for value in outputs):
            raise Unsupported("an output that is not a tensor")
        context = self._context
        graph = ir.Graph(
            context.inputs,
            outputs,
            nodes=context.nodes,
            initializers=list(context.initializers.values()),
            opset_imports={"": context.opset},
            name=self._graph.name,
        )
        for value, wanted in zip(outputs, self._graph.outputs, strict=True):
            # an unnamed symbol where the length is not known, which ONNX's inference fills in
            dims = [
                d if isinstance(d, int) else ir.SymbolicDim(None if d == UNKNOWN else d)
                for d in wanted.info.shape
            ]
            value.shape = ir.Shape(dims)
            value.type = ir.TensorType(dtype_of(wanted.info.dtype))
        return ir.Model(graph, ir_version=10)

    def _lower_or_say(self, node: fx.Node, record: Annotation) -> None:
        try:
            self._lower(node, record)
        except Unsupported as reason:
            where = f" at {record.source}" if record.source else ""
            raise Unsupported(f"{reason} (%{node.name}{where})") from reason

    def _lower(self, node: fx.Node, record: Annotation) -> None:
        if node.op == "get_attr":
            self._values[node] = self._weight(str(node.target))
            return
        value = self._called(node, record)
        for part, info in zip(_flat(value), tensors(record.value), strict=True):
            self._context.know(part, info)
        self._store(node, record, value)

    def _called(self, node: fx.Node, record: Annotation) -> Any:
        args = self._resolved(list(node.args))
        kwargs = self._resolved(dict(node.kwargs))
        kwargs.pop("inplace", None)
        op = record.op
        if node.op == "call_module":
            op, more = self._module_arguments(str(node.target))
            kwargs = {**kwargs, **more}
        if op not in LOWERINGS:
            raise Unsupported(f"the operation {op}")
        try:
            return LOWERINGS[op](self._context, *args, **kwargs)
        except TypeError as error:
            raise Unsupported(f"these arguments of {op}: {error}") from error

    def _module_arguments(self, path: str) -> tuple[str, dict[str, Any]]:
        module = self._graph.module.get_submodule(path)
        op, plain, weights = module_call(module)
        found: dict[str, Any] = dict(plain)
        for name in weights:
            full = f"{path}.{name}"
            # a parametrised weight is computed anew by each read
            tensor = self._weights.setdefault(full, getattr(module, name, None))
            found[name] = None if tensor is None else self._context.weight(full, tensor)
        return op, found

    def _weight(self, target: str) -> ir.Value:
        path, _, name = target.rpartition(".")
        tensor = getattr(self._graph.module.get_submodule(path), name)
        if not isinstance(tensor, torch.Tensor):
            raise Unsupported(f"the attribute {target}, which is not a tensor")
        return self._context.weight(target, tensor)

    def _resolved(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            if argument in self._values:
                return self._values[argument]
            return annotation(argument).plain
        if isinstance(argument, tuple):
            return tuple(self._resolved(item) for item in argument)
        if isinstance(argument, list):
            return [self._resolved(item) for item in argument]
        if isinstance(argument, dict):
            return {key: self._resolved(item) for key, item in argument.items()}
        if isinstance(argument, slice):
            parts = (argument.start, argument.stop, argument.step)
            return slice(*(self._resolved(part) for part in parts))
        return argument

    def _store(self, node: fx.Node, record: Annotation, value: Any) -> None:
        """Keep a node's value; a write in place is seen by every node of the same memory.

        A value that no node reads any more needs no update; one that lives in the same memory
        through a view, and is read later, is more than this route covers.
        """
        self._values[node] = value
        operand = node.all_input_nodes[0] if node.all_input_nodes else None
        if operand is None:
            return
        if is_inplace(node, self._graph.module):
            for other in self._sharing(operand):
                if other is not operand and self._read_after(other, node) and other is not node:
                    if not self._is_whole(other, operand):
                        raise Unsupported(f"a write in place that a view sees ({node.name})")
                    self._values[other] = value
            self._values[operand] = value
            self._memory[node] = self._root(operand)
        elif record.op in _VIEWS:
            self._memory[node] = self._root(operand)

    def _root(self, node: fx.Node) -> fx.Node:
        return self._memory.get(node, node)

    def _sharing(self, node: fx.Node) -> list[fx.Node]:
        root = self._root(node)
        return [root, *(other for other, home in self._memory.items() if home is root)]

    def _is_whole(self, first: fx.Node, second: fx.Node) -> bool:
        """Tell whether two nodes of one memory are the very same tensor, written in place."""
        chain = [first, second]
        return all(n is self._root(n) or is_inplace(n, self._graph.module) for n in chain)

    def _read_after(self, node: fx.Node, writer: fx.Node) -> bool:
        return any(self._order[user] > self._order[writer] for user in node.users)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [part for item in value for part in _flat(item)]
    return [value]
