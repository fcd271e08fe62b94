"""What became of a network on its way through trace, lowering and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import torch
from torch import nn

from netloft.defaults import DEFAULT_OPSET
from netloft.errors import TraceError, first_line
from netloft.graph.graph import Graph
from netloft.parity.compare import measure
from netloft.parity.inputs import Case
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.reference import Reference
from netloft.passes import NotFunctionalError, run_passes
from netloft.runtime.providers import start_session
from netloft.tracing import trace
from netloft_exporters.onnx.check import IR_VERSION
from netloft_exporters.onnx.direct_route import lower_directly
from netloft_exporters.onnx.lowered import Lowered
from netloft_exporters.onnx.lowering import Unsupported
from netloft_exporters.onnx.naming import name_model

__all__ = ["Inputs", "Outcome", "filled", "judge", "own_route"]

Array = npt.NDArray[Any]
Inputs = Mapping[str, torch.Tensor]
Kind = Literal["right", "refused", "wrong", "crashed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one network, and why."""

    kind: Kind
    reason: str = ""


def own_route(graph: Graph, module: nn.Module, example: Inputs, opset: int) -> Lowered:
    """Lower by netloft's own table, whatever the module."""
    return lower_directly(run_passes(graph).graph, opset)


def filled(module: nn.Module) -> nn.Module:
    """Give weights and statistics values that show a mistake and keep numbers in range."""
    generator = torch.Generator().manual_seed(0)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.dim() > 1:
                noise *= (tensor.numel() / tensor.shape[0]) ** -0.5
            elif name.endswith("weight"):
                noise = 1 + 0.3 * noise
            elif name.endswith("running_var"):
                noise = 0.5 + noise.abs()
            tensor.copy_(noise)
    return module


def judge(
    module: nn.Module,
    example: Inputs,
    batch: str | int,
    cases: Iterable[Inputs],
    *,
    absolute: float = 0.0,
    lower: Callable[..., Lowered] = own_route,
    opset: int = DEFAULT_OPSET,
) -> Outcome:
    """Take a network all the way, and hold what comes out against the network in float64.

    Args:
        module: The network.
        example: What it is traced with.
        batch: `dynamic`, or one size.
        cases: Inputs that it is compared on.
        absolute: An absolute error that is right in any case.
        lower: How the graph is lowered.
        opset: ONNX operator set to write.
    """
    try:
        graph = trace(module, example, batch, prove=False)
        session = _session(lower(graph, module, example, opset), graph)
        found = _compared(Reference(module, graph), session, cases, absolute)
    except (TraceError, Unsupported, NotFunctionalError) as refusal:
        return Outcome("refused", first_line(refusal))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        found = Outcome("crashed", f"{type(error).__name__}: {first_line(error)}")
    return found if found.kind == "right" else _refusal(module, example, batch) or found


def _refusal(module: nn.Module, example: Inputs, batch: str | int) -> Outcome | None:
    """Return the refusal of the trace's proof, which takes its time, if it does refuse."""
    try:
        trace(module, example, batch)
    except TraceError as refusal:
        return Outcome("refused", first_line(refusal))
    return None


def _compared(
    reference: Reference, session: Any, cases: Iterable[Inputs], absolute: float
) -> Outcome:
    for inputs in cases:
        made = _run(session, inputs)
        problem = _difference(reference, Case("", 0, inputs), made, absolute)
        if problem:
            return Outcome("wrong", problem)
    return Outcome("right")


def _session(lowered: Lowered, graph: Graph) -> Any:
    model = name_model(lowered, graph)
    model.ir_version = IR_VERSION
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return start_session(proto.SerializeToString(), "cpu", threads=1)


def _run(session: Any, inputs: Inputs) -> dict[str, Array]:
    values = zip(session.get_inputs(), inputs.values(), strict=True)
    names = [value.name for value in session.get_outputs()]
    made = session.run(names, {value.name: tensor.numpy() for value, tensor in values})
    return dict(zip(names, made, strict=True))


def _difference(
    reference: Reference, case: Case, made: Mapping[str, Array], absolute: float
) -> str:
    """Return what is wrong, or nothing."""
    expected = reference.run(case)
    for name, single in expected.float32.items():
        actual = made[name]
        if (actual.dtype, actual.shape) != (single.dtype, single.shape):
            return f"{actual.dtype}{actual.shape} instead of {single.dtype}{single.shape}"
        if not np.issubdtype(single.dtype, np.floating):
            if not np.array_equal(actual, single):
                return f"{actual.ravel()[:4]} instead of {single.ravel()[:4]}"
            continue
        double = expected.float64[name]
        if not _is_near(actual, single, double, absolute):
            runs = [run[name] for run in reference.rounded_runs(case)]
            if not any(_is_near(actual, run, double, absolute) for run in runs):
                error = measure(actual, double, nonfinite_like=single)
                where = f"{name}{list(error.index)}"
                return f"{error.actual:.9g} instead of {error.expected:.9g} at {where}"
    return ""


def _is_near(actual: Array, single: Array, double: Array, absolute: float) -> bool:
    """Tell whether a result is as near to float64 as PyTorch's in float32, to a small factor.

    Where float64 takes another branch than float32 (of a quotient that is almost whole, say),
    what PyTorch gives in float32 is right too.
    """
    own = measure(single, double, nonfinite_like=single).scaled
    error = measure(actual, double, nonfinite_like=single)
    floor = DEFAULT_POLICY.floor(own, [own], single.dtype.name)
    if DEFAULT_POLICY.status(error.scaled, floor) == "pass" or error.max_abs <= absolute:
        return True
    least = DEFAULT_POLICY.floor(0.0, [0.0], single.dtype.name)
    near = measure(actual, single, nonfinite_like=single).scaled
    return near <= DEFAULT_POLICY.factor * least
