"""ONNX's reference evaluator, with what it does not do right by itself; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_resize import Resize as _Resize

__all__ = ["evaluator"]


class Resize(_Resize):
    """Resize with axes that are counted from the end, which onnx 1.23 does not know."""

    def _run(  # type: ignore[override] # attributes come by name
        self, x: npt.NDArray[Any], *given: Any, axes: Sequence[int] | None = None, **rest: Any
    ) -> tuple[npt.NDArray[Any], ...]:
        counted = None if axes is None else [axis % x.ndim for axis in axes]
        own = super()._run(x, *given, axes=counted, **rest)  # type: ignore[misc]
        return tuple(map(np.asarray, own))


def evaluator(model: onnx.ModelProto, others: Sequence[type[OpRun]] = ()) -> ReferenceEvaluator:
    """Return an evaluator of a model.

    Args:
        model: With its weights.
        others: More operators to use in the place of the evaluator's own.
    """
    return ReferenceEvaluator(model, new_ops=[Resize, *others])
