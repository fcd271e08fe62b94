"""What ONNX Runtime computes in, read from the file that it makes of a file before it runs."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

import onnx

from netloft.errors import NetloftError
from netloft.runtime.providers import start_session

__all__ = ["precision_of"]

_HEAVY = re.compile(r".*(Conv|ConvTranspose|MatMul|Gemm|LSTM|GRU|RNN|Attention)\w*")

_NAMES = {
    onnx.TensorProto.FLOAT: "f32",
    onnx.TensorProto.DOUBLE: "f64",
    onnx.TensorProto.FLOAT16: "f16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
}


def precision_of(model: Path | bytes, provider: str, optimisation: str = "all") -> str:
    """Return the types of the weights that a session multiplies with, the most of them first.

    A file's types are not what it runs in: on the CPU float16 is turned into float32 when it is
    loaded, and the int8 of a file without its optimisations is turned back for every run. So the
    optimised file is written down and read.

    Args:
        model: An `.onnx` file, or its bytes.
        provider: Where it runs.
        optimisation: As of `start_session`.

    Returns:
        Such as `f32` or `int8, f32`; empty where nothing is multiplied by weights, or where the
        session cannot write down what it runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optimised.onnx")
        try:
            start_session(model, provider, threads=1, optimisation=optimisation, save_to=path)
        except NetloftError:  # kernels that a provider has compiled cannot be written
            return ""
        graph = onnx.load(path, load_external_data=False).graph
    weights = _Weights(graph)
    found: Counter[str] = Counter()
    for node in graph.node:
        if _HEAVY.fullmatch(node.op_type):
            for name in node.input[1:]:
                kind, size = weights.of(name)
                found[kind] += size
    return ", ".join(kind for kind, _ in found.most_common() if kind)


class _Weights:
    """Types and sizes of what nodes read."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._held = {tensor.name: tensor for tensor in graph.initializer}
        self._made = {name: node for node in graph.node for name in node.output}

    def of(self, name: str) -> tuple[str, int]:
        """Return the type and the number of elements of a matrix of weights; of others, no type."""
        tensor = self._held.get(name)
        if tensor is not None:
            size = 1
            for length in tensor.dims:
                size *= length
            return (_NAMES.get(tensor.data_type, "") if len(tensor.dims) > 1 else ""), size
        node = self._made.get(name)
        if node is None or node.op_type not in ("Cast", "DequantizeLinear"):
            return "", 0
        _, size = self.of(node.input[0])
        if node.op_type == "Cast":
            kind = next(a.i for a in node.attribute if a.name == "to")
        else:  # as wide as its scale
            scale = self._held.get(node.input[1])
            kind = scale.data_type if scale is not None else 0
        return _NAMES.get(kind, ""), size
