"""What a file is stressed with: all that the module, the runtime and this machine take.

What is left out is measured here, and told with its reason: a runtime that loses NaN in an
operation of its own does so for every file, which says nothing of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from netloft.errors import ParityError, first_line
from netloft.graph.graph import Graph
from netloft.parity.flat import flat_header
from netloft.parity.inputs import feeds_of
from netloft.parity.session import FileRunner
from netloft.parity.stressing.stress import NOT_NUMBERS, REAL, WHOLE, Stress
from netloft.runtime.providers import start_session
from netloft.tracing.faithful import fresh_inputs

__all__ = ["lost_nan", "plan_stress"]

_LARGE = 32
"""Items in the large batch."""
_MOST_BYTES, _MOST_MACS = 2**30, 10**11
"""Memory and multiply-adds that the large batch may take: seconds on two cores."""

_PROBES: Mapping[str, Mapping[str, Any]] = {
    "MaxPool": {"kernel_shape": [3, 3]},
    "GlobalMaxPool": {},
    "ReduceMax": {},
    "ReduceMin": {},
    "Relu": {},
    "Clip": {},
    "HardSigmoid": {},
    "HardSwish": {},
    "LeakyRelu": {},
}
"""Operations that compare, each of which gives NaN for a picture that holds one, and attributes."""


def plan_stress(
    graph: Graph,
    example: Mapping[str, torch.Tensor],
    path: Path,
    providers: Sequence[str],
    threads: int | None = None,
) -> tuple[Stress, tuple[Mapping[str, str], ...]]:
    """Choose the whole set for a file.

    Args:
        graph: Of the module, with the file's names.
        example: Inputs of the right shapes, by name.
        path: The file.
        providers: That are to run it.
        threads: For one operation.

    Returns:
        What to stress it with; and what is left out, as `what` and `reason`.
    """
    header, left = flat_header(path), dict[str, str]()
    kinds = WHOLE
    if any(tensor.dtype.is_floating_point for tensor in example.values()):
        kinds += REAL
        lost = {p: lost_nan({node.op_type for node in header.graph.node}, p) for p in providers}
        if any(lost.values()):
            kinds = tuple(kind for kind in kinds if kind not in NOT_NUMBERS)
            told = "; ".join(f"{' and '.join(ops)} on {p}" for p, ops in lost.items() if ops)
            left["stress: NaN and infinities"] = (
                "ONNX Runtime gives a number where the largest of numbers and NaN is asked for, in "
                f"any file: measured for {told}"
            )
    batches = list[int]()
    if isinstance(graph.batch, int):
        left["stress: batches"] = f"the file takes {graph.batch} at a time"
    else:
        for batch, reason in (
            (0, _refused(graph, example, path, header, providers, threads)),
            (_LARGE, _too_much(graph)),
        ):
            if reason:
                left[f"stress: batch {batch}"] = reason
            else:
                batches.append(batch)
    missing = tuple({"what": what, "reason": reason} for what, reason in left.items())
    return Stress(kinds, batches=tuple(batches)), missing


def lost_nan(operations: set[str], provider: str) -> tuple[str, ...]:
    """Return those operations in which a provider loses NaN, by a run of each alone.

    Args:
        operations: Types of ONNX nodes.
        provider: That starts here.
    """
    picture = np.zeros((1, 1, 4, 4), np.float32)
    picture[0, 0, 1, 1] = np.nan
    found = []
    for name in sorted(operations & set(_PROBES)):
        session = start_session(_alone(name), provider, threads=1)
        (given,) = session.run(None, {"x": picture})
        if not np.isnan(given).any() or (given.shape == (1, 1, 2, 2) and not np.isnan(given).all()):
            found.append(name)
    return tuple(found)


def _alone(operation: str) -> bytes:
    node = helper.make_node(operation, ["x"], ["y"], **_PROBES[operation])
    value: Callable[..., onnx.ValueInfoProto] = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "probe",
        [value("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [value("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _refused(
    graph: Graph,
    example: Mapping[str, torch.Tensor],
    path: Path,
    header: onnx.ModelProto,
    providers: Sequence[str],
    threads: int | None,
) -> str:
    """Return why a file is not compared without items; empty where it is.

    No result is wrong there, and none can be: that it does not run is told, and is no failure.
    """
    feeds = feeds_of(graph, fresh_inputs(example, 0, 0))
    for provider in providers:
        try:
            runner = FileRunner(path, header, (), provider, threads)
            given = runner.run(feeds)
        except ParityError as error:
            return f"not served on {provider}: {first_line(error.__cause__ or error)}"
        filled = [name for name, value in given.items() if value.size]
        if filled:
            return (
                f"'{filled[0]}' has values even then, and ONNX leaves open what the mean or the "
                "maximum of nothing is"
            )
    return ""


def _too_much(graph: Graph) -> str:
    """Return why a large batch is not run; empty where it is."""
    macs, held = graph.totals.macs * _LARGE, 2 * graph.totals.peak_activation_bytes * _LARGE
    if macs > _MOST_MACS:
        return f"{macs:.1e} multiply-adds are more than {_MOST_MACS:.0e}"
    if held > _MOST_BYTES:  # twice what float32 takes: in float64
        return f"its values take {held / 2**30:.1f} GiB, more than {_MOST_BYTES / 2**30:.0f}"
    return ""
