"""Small files, rewritten and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import numpy_helper, parser

from netloft.rewrites import rewrite

Array = npt.NDArray[Any]


def written(
    lines: str,
    tensors: Mapping[str, Array | Sequence[int]],
    x: str = "batch, 8, 9, 8",
    opset: int = 20,
) -> onnx.ModelProto:
    """Return a file.

    Args:
        lines: Its nodes, from `x` to `y`, as the ONNX parser reads them.
        tensors: Weights, or their shapes: they are drawn then. The file has those that it reads.
        x: Lengths of its input.
        opset: Of its operators.
    """
    head = f'<ir_version: 10, opset_import: ["" : {opset}]> net (float[{x}] x) => (float[] y)'
    model = parser.parse_model(f"{head} {{ {lines} }}")
    read = {name for node in model.graph.node for name in node.input}
    model.graph.output[0].type.tensor_type.ClearField("shape")
    generator = np.random.default_rng(0)
    for name, tensor in tensors.items():
        drawn = tensor if isinstance(tensor, np.ndarray) else generator.standard_normal(tensor)
        exact = drawn.astype(np.float32) if drawn.dtype.kind == "f" else drawn
        if name in read:
            model.graph.initializer.append(numpy_helper.from_array(exact, name))
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def rewritten(model: onnx.ModelProto) -> tuple[int, onnx.ModelProto]:
    """Rewrite all that can be."""
    held = ir.from_proto(model)
    number = rewrite(held)
    made = ir.to_proto(held)
    onnx.checker.check_model(made, full_check=True)
    return number, made


def run(model: onnx.ModelProto, x: Array) -> Array:
    """Run a file on the CPU."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])
