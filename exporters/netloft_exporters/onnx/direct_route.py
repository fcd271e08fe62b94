"""Graph to ONNX, node by node, with our own lowerings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload

from netloft.graph.annotation import Annotation, TensorInfo
from netloft.graph.arguments import NUMPY_NAMES
from netloft.graph.cost import tensors
from netloft.graph.dims import UNKNOWN
from netloft.graph.graph import Graph, annotation
from netloft.passes.affine import Affine
from netloft_exporters.onnx.lowered import Lowered
from netloft_exporters.onnx.lowering import LOWERINGS, Context, Unsupported
from netloft_exporters.onnx.lowering.context import dtype_of
from netloft_exporters.onnx.lowering.modules import module_call

__all__ = ["lower_directly"]

# Calls whose result is only a number or nothing; the graph knows it already.
_SILENT = {"assert"}


def lower_directly(graph: Graph, opset: int) -> Lowered:
    """Lower a graph with the table of `netloft_exporters.onnx.lowering`.

    Args:
        graph: Functional: what `netloft.passes.run_passes` gave.
        opset: ONNX operator set to write.

    Raises:
        Unsupported: An operation, or a use of one, that the table does not cover.
    """
    model = _Lowering(graph, opset).run()
    RemoveUnusedNodesPass()(model)
    return Lowered(model, "netloft", ())


class _Lowering:
    """Walk a graph in order; `_values` holds what each node gave so far."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self._graph, self._context = graph, Context(graph, opset)
        self._values: dict[fx.Node, Any] = {}
        self._weights: dict[str, torch.Tensor | None] = {}

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
        self._values[node] = value

    def _called(self, node: fx.Node, record: Annotation) -> Any:
        args = self._resolved(list(node.args))
        kwargs = self._resolved(dict(node.kwargs))
        kwargs.pop("inplace", None)  # False: the graph is functional
        if kwargs.get("out", ()) is None:
            del kwargs["out"]
        kwargs = {NUMPY_NAMES.get(name, name): value for name, value in kwargs.items()}
        op = record.op
        if isinstance(node.target, OpOverload | HigherOrderOperator):
            # what torch.export wrote and no function of torch says orders its arguments otherwise
            raise Unsupported(f"the operation {node.target}")
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
            if name == "weight" and isinstance(module, Affine) and module.is_folded:
                found[name] = self._folded(full, module)
                continue
            # a parametrised weight is computed anew by each read
            tensor = self._weights.setdefault(full, getattr(module, name, None))
            found[name] = None if tensor is None else self._context.weight(full, tensor)
        return op, found

    def _folded(self, name: str, module: Affine) -> ir.Value:
        """Return a weight that others were folded into; it is worked out when it is written."""
        own = module.own_weight
        info = TensorInfo(tuple(own.shape), str(own.dtype).removeprefix("torch."))
        make = lambda: module.weight.detach().cpu().numpy()  # noqa: E731
        return self._context.derived(("folded", name), name, make, info, own=True)

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


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [part for item in value for part in _flat(item)]
    return [value]
