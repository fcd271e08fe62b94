"""Graph to ONNX through `torch.onnx.export(dynamo=True)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from netloft.errors import ExportError
from netloft.graph.dims import BATCH
from netloft.graph.graph import Graph
from netloft.passes.record import PassRow
from netloft.tracing.quiet import quiet
from netloft.tracing.shapes import resized
from netloft.tracing.source import describe, frame_in
from netloft_exporters.onnx.lowered import Lowered, Origin, write_origin
from netloft_exporters.onnx.origins import OriginFinder, weight_path

__all__ = ["lower_with_torch"]

_PREFIX = "pkg.torch.onnx."
_NOWHERE = "_empty_nn_module_stack"  # what torch.export calls the module of nodes of its own
_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


def lower_with_torch(
    graph: Graph, module: nn.Module, inputs: Mapping[str, torch.Tensor], opset: int
) -> Lowered:
    """Lower a network with PyTorch's own exporter.

    Args:
        graph: The proven graph; it names the inputs and outputs.
        module: The network it was traced from, in eval mode.
        inputs: Example inputs by parameter name of `forward`.
        opset: ONNX operator set to write.

    Raises:
        ExportError: The exporter refuses the network, or writes another opset than asked for.
    """
    model, before = _export(graph, module, inputs, opset)
    written = model.opset_imports.get("", 0)
    if written != opset:
        raise ExportError(
            f"opset {opset} was asked for and torch.onnx writes opset {written}",
            remedy=f"export with --opset {max(written, 18)} or later",
        )
    if graph.program is not None:
        _name_lengths(model, graph)
    finder = OriginFinder(graph)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        write_origin(node, _origin(node, finder))
    rule = "torch.onnx optimiser: constants folded, conv+BN and pad+conv merged, dead nodes dropped"
    row = PassRow(rule, before, len(model.graph), "parity of the written file")
    return Lowered(model, "torch.onnx", (row,))


def _export(
    graph: Graph, module: nn.Module, inputs: Mapping[str, torch.Tensor], opset: int
) -> tuple[ir.Model, int]:
    """Return the optimised model, and how many nodes it had before."""
    what = _network(graph, module, inputs) if graph.program is None else {"model": graph.program}
    try:
        with quiet():
            program: Any = torch.onnx.export(
                **what,
                dynamo=True,
                opset_version=opset,
                optimize=False,
                verify=False,
                verbose=False,
            )
            before = len(program.model.graph)
            program.optimize()
            return program.model, before
    except Exception as error:
        raise ExportError(
            f"torch.onnx cannot export {graph.class_name}: {_reason(error)}",
            source=_blamed_line(error, graph),
            remedy="change that line to operators that ONNX has, or export with a fixed --batch N",
        ) from error


def _network(graph: Graph, module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return a network that is not captured yet, with example inputs and their open axes."""
    # an example of one item would make the exporter specialise on it
    size = graph.batch if isinstance(graph.batch, int) else 2
    kwargs = {name: resized(t, size) if t.dim() else t for name, t in inputs.items()}
    opened = {name: dict(graph.axes.get(name, {})) for name in kwargs}
    if graph.batch == "dynamic":
        opened = {n: {0: BATCH, **opened[n]} if t.dim() else {} for n, t in kwargs.items()}
    symbols = {symbol for axes in opened.values() for symbol in axes.values()}
    lengths = {symbol: torch.export.Dim(symbol) for symbol in symbols}
    dynamic = {
        name: {axis: lengths[symbol] for axis, symbol in axes.items()}
        for name, axes in opened.items()
    }
    return {
        "model": module,
        "kwargs": kwargs,
        "dynamic_shapes": dynamic if symbols else None,
    }


def _name_lengths(model: ir.Model, graph: Graph) -> None:
    """Put the graph's names of open lengths in place of the symbols that torch.export made up."""
    names: dict[str, str] = {}
    for value, wanted in zip(model.graph.inputs, graph.inputs, strict=True):
        for found, dim in zip(value.shape or (), wanted.info.shape, strict=True):
            if isinstance(found, ir.SymbolicDim) and isinstance(dim, str):
                names[str(found.value)] = dim
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    for value in (*model.graph.inputs, *(value for node in nodes for value in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape([_named(dim, names) for dim in value.shape])


def _named(dim: int | ir.SymbolicDim, names: Mapping[str, str]) -> int | ir.SymbolicDim:
    if isinstance(dim, int) or dim.value is None:
        return dim
    return ir.SymbolicDim(re.sub(r"\w+", lambda match: names.get(match[0], match[0]), dim.value))


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, the innermost first."""
    chain = [error]
    while (cause := chain[0].__cause__) is not None:
        chain.insert(0, cause)
    return chain


def _reason(error: BaseException) -> str:
    innermost = _chain(error)[0]
    missing = _MISSING.search(str(innermost))
    if missing:
        return f"{missing[1]} has no ONNX counterpart"
    lines = [line for line in str(innermost).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(innermost).__name__


def _blamed_line(error: BaseException, graph: Graph) -> str:
    """Find the user's line: in the exporter's words, or by the operator that it lacks."""
    chain = _chain(error)
    sources = (frame_in(str(link)) for link in chain)
    source = next((source for source in sources if source), None)
    missing = _MISSING.search(str(chain[0]))
    if source is None and missing:
        name = missing[1].rpartition(".")[2].strip("_")
        records = (record for _, record in graph if record.op.startswith(name))
        source = next((record.source for record in records), None)
    return describe(source)


def _origin(node: ir.Node, finder: OriginFinder) -> Origin:
    """Match a node by the module path that the exporter left in its metadata."""
    scopes = [name for name in _names(node, "name_scopes") if not name.startswith(_NOWHERE)]
    path = scopes[-2] if len(scopes) > 1 else ""
    source = frame_in(node.metadata_props.get(f"{_PREFIX}stack_trace", ""))
    return finder.find(weight_path(node) or path, node.op_type, source)


def _names(node: ir.Node, key: str) -> list[str]:
    text = node.metadata_props.get(_PREFIX + key)
    return [str(item) for item in ast.literal_eval(text)] if text else []
