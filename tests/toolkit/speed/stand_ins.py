"""Times that are said and not measured, and files of one operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from netloft.speed.measure import Plan, Samples

__all__ = ["Measure", "one_operation", "taking"]

Measure = Callable[..., list[Samples]]


def taking(*factors: float) -> Measure:
    """Stand in for measuring: the time of each, over the first; the last one is for all others."""

    def measured(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        for run in runs:
            run()
        jitter = np.random.default_rng(0).normal(1, 0.005, (len(runs), 40))
        each = (1.0, *factors, *[factors[-1]] * len(runs))
        rows = [(f * j).tolist() for f, j in zip(each, jitter, strict=False)]
        return [Samples(tuple(int(1e7 * t) for t in row), (1,) * 40) for row in rows]

    return measured


def one_operation(
    path: Path, *shape: int | str, kind: int = TensorProto.FLOAT, operation: str = "Abs"
) -> Path:
    """Write a file of one operation, from `x` to `y` of the same shape."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name in "xy"]
    node = helper.make_node(operation, ["x"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path
