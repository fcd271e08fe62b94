"""Graph in, checked ONNX file out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from netloft.defaults import DEFAULT_OPSET
from netloft.errors import ExportError
from netloft.graph.graph import Graph
from netloft.passes import DEFAULT, NotFunctionalError, Pass, PassRow, run_passes
from netloft_exporters.onnx.check import IR_VERSION, check_model, check_opset
from netloft_exporters.onnx.direct_route import lower_directly
from netloft_exporters.onnx.functions import gather_functions
from netloft_exporters.onnx.lowered import Lowered
from netloft_exporters.onnx.lowering import Unsupported
from netloft_exporters.onnx.naming import name_model
from netloft_exporters.onnx.torch_route import lower_with_torch
from netloft_exporters.onnx.writing import parts_of, write_parts

__all__ = ["Written", "write_onnx"]


@dataclass(frozen=True)
class Written:
    """A model file that passed the structural checks.

    Attributes:
        path: The `.onnx` file; past the protobuf limit its weights lie beside it.
        opset: Operator set read back from the file.
        ir_version: Format version read back from the file.
        nodes: Number of ONNX nodes, those inside of functions as often as they are called.
        route: How the graph was lowered.
        passes: What was done on the way.
        notes: What is odd about the weights.
    """

    path: Path
    opset: int
    ir_version: int
    nodes: int
    route: str
    passes: tuple[PassRow, ...]
    notes: tuple[str, ...] = ()


def write_onnx(
    graph: Graph,
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    path: Path,
    opset: int = DEFAULT_OPSET,
    *,
    passes: Sequence[Pass] = DEFAULT,
    prove: bool = True,
    timed: bool = True,
    metadata: Mapping[str, str] | None = None,
    functions: bool = False,
) -> Written:
    """Lower a graph, write it and check what was written.

    Args:
        graph: The proven graph.
        module: The network it was traced from.
        inputs: Example inputs by parameter name of `forward`.
        path: A file in a folder of our own: a failure leaves what was written so far.
        opset: ONNX operator set.
        passes: What to run over the graph first, in order.
        prove: Run the graph before and after each pass, and take a pass back that changes a result.
        timed: Say how long these runs take, which takes twice as long.
        metadata: What the file tells beside its graph, by key.
        functions: Gather the nodes of each module call into an ONNX function.

    Raises:
        ExportError: The graph cannot be written.
        CheckError: What was written is not right.
    """
    check_opset(opset)
    lowered = lower(graph, module, inputs, opset, passes, prove=prove, timed=timed)
    model = name_model(lowered, graph, metadata)
    model.ir_version = IR_VERSION
    parts, own = parts_of(model), _names(module)
    nodes = len(parts.shell.graph.node)
    if functions:
        gather_functions(parts, graph, own)
    odd = write_parts(parts, path)
    header = check_model(path, graph, opset)
    return Written(
        path=path,
        opset=opset,
        ir_version=header.ir_version,
        nodes=nodes,
        route=lowered.route,
        passes=lowered.passes,
        notes=_notes(odd, own),
    )


def lower(
    graph: Graph,
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    opset: int,
    passes: Sequence[Pass] = DEFAULT,
    *,
    prove: bool = True,
    timed: bool = True,
) -> Lowered:
    """Lower a graph by the first route that covers it; the route says why it was not an earlier.

    Raises:
        ExportError: No route covers it.
    """
    try:
        passed = run_passes(graph, passes, example=inputs if prove else None, timed=timed)
        return replace(lower_directly(passed.graph, opset), passes=passed.rows)
    except (Unsupported, NotFunctionalError) as reason:
        if isinstance(reason, NotFunctionalError) and not prove:
            # torch.onnx takes such memory for shared or not as it is in the example
            raise ExportError(
                f"writes in place do not become values: {reason}",
                remedy="export with proofs, with a fixed --batch, or write into a .clone()",
            ) from reason
        lowered = lower_with_torch(graph, module, inputs, opset)
        return replace(lowered, route=f"torch.onnx, since netloft's own route lacks {reason}")


def _names(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in (*module.named_parameters(), *module.named_buffers()))


def _notes(odd: Sequence[str], own: tuple[str, ...]) -> tuple[str, ...]:
    """Name the module's tensors that are not finite; a constant of -inf, for a mask, is meant."""
    made_of = tuple(f"{name}_" for name in own)
    names = [name for name in odd if name in own or name.startswith(made_of)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    told = ", ".join(names[:3]) + more
    return (f"NaN or infinity in the weights: {told}",) if names else ()
