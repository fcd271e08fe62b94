"""Shapes with a symbolic batch, from two runs without data at two batch sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

from netloft.errors import TraceError
from netloft.graph.annotation import Dim, TensorInfo
from netloft.tracing.source import describe

__all__ = ["BATCH", "propagate_shapes", "resized"]

BATCH = "batch"
"""Name of the symbolic first axis, in the graph, the file and the manifest."""

_SIZES = (
    4,
    7,
)  # neither is 0 or 1, which PyTorch may treat apart, and no net is likely to have both
_Shapes = dict[str, tuple[tuple[tuple[int, ...], str], ...] | None]


class _Recorder(fx.Interpreter):
    """Run a graph on tensors without data and write down what each node gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: _Shapes = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note its result; an error is told with the node's line."""
        try:
            result = super().run_node(n)
        except Exception as error:
            raise TraceError(
                f"the graph does not run at every batch size: {str(error).splitlines()[0]}",
                node=n.name,
                source=describe(n.meta.get("netloft_source")),
                remedy="write sizes in terms of x.shape, or export with a fixed --batch N",
            ) from error
        self.shapes[n.name] = _flatten(result)
        return result


def _flatten(result: Any) -> tuple[tuple[tuple[int, ...], str], ...] | None:
    if isinstance(result, torch.Tensor):
        return ((tuple(result.shape), str(result.dtype).removeprefix("torch.")),)
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, tuple | list) and not isinstance(result, torch.Size):
        parts = [part for item in result for part in (_flatten(item) or ())]
        return tuple(parts) or None
    return None


def resized(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Return `tensor` with its first axis repeated or cut to `batch` items."""
    times = -(-batch // max(tensor.shape[0], 1))
    return tensor.repeat(times, *([1] * (tensor.dim() - 1)))[:batch]


def propagate_shapes(
    module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], batch: str | int
) -> dict[str, TensorInfo | tuple[TensorInfo, ...] | None]:
    """Return what each node gives; lengths that follow the batch are symbolic.

    Args:
        module: The traced graph.
        inputs: Example inputs by name, batch first.
        batch: `dynamic`, or a fixed size.

    Raises:
        TraceError: The graph fails at another batch size.
    """
    sizes = _SIZES if batch == "dynamic" else (next(iter(inputs.values())).shape[0],) * 2
    runs = [_run(module, inputs, size) for size in sizes]
    return {name: _joined(runs[0][name], runs[1][name], sizes) for name in runs[0]}


def _run(module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], size: int) -> _Shapes:
    recorder = _Recorder(module)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = [
            mode.from_tensor(
                tensor.new_empty((size, *tensor.shape[1:])) if tensor.dim() else tensor
            )
            for tensor in inputs.values()
        ]
        recorder.run(*fakes)
    return recorder.shapes


def _joined(
    first: tuple[tuple[tuple[int, ...], str], ...] | None,
    second: tuple[tuple[tuple[int, ...], str], ...] | None,
    sizes: tuple[int, int],
) -> TensorInfo | tuple[TensorInfo, ...] | None:
    if first is None or second is None:
        return None
    infos = tuple(
        TensorInfo(tuple(_dim(a, b, sizes) for a, b in zip(x[0], y[0], strict=True)), x[1])
        for x, y in zip(first, second, strict=True)
    )
    return infos[0] if len(infos) == 1 else infos


def _dim(at_first: int, at_second: int, sizes: tuple[int, int]) -> Dim:
    if at_first == at_second:
        return at_first
    factor = (at_second - at_first) // (sizes[1] - sizes[0])
    offset = at_first - factor * sizes[0]
    text = BATCH if factor == 1 else f"{factor}*{BATCH}"
    return f"{text}{offset:+d}" if offset else text
