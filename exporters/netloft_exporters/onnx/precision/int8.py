"""A float32 file as one of 8-bit integers, by ONNX Runtime's own quantizer.

Weights are rounded to S8, symmetric and by channel, in steps that overflow on no processor (`steps`
says why), activations to U8; the format is QDQ, which any runtime reads. Weights that have no such
steps get 7 bits.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx

from netloft.errors import ExportError, first_line
from netloft.runtime.providers import PROVIDERS
from netloft_exporters.onnx.precision.layers import float_tail, weight_layers
from netloft_exporters.onnx.precision.likeness import write_like
from netloft_exporters.onnx.precision.steps import overrides

__all__ = ["Executed", "executed", "quantise"]

Arrays = Mapping[str, npt.NDArray[Any]]

_QUANTISED = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Relu", "Clip", "LeakyRelu",
    "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Reshape", "Transpose", "Flatten",
    "Squeeze", "Unsqueeze", "Pad", "Resize", "Slice", "Split",
)  # fmt: skip
"""What is linear or moves values; a curve such as a sigmoid keeps its float32."""

_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")
"""Metadata by which the quantizer knows that shapes are inferred; without it, it warns."""


def quantise(
    source: Path, target: Path, batches: Iterable[Arrays], keep: Collection[str] = ()
) -> None:
    """Write a quantised file; the same bytes for the same inputs.

    Args:
        source: A float32 file as netloft writes them.
        target: A file in a folder of our own.
        batches: Inputs by name, to take the ranges of all values from.
        keep: Names of nodes that stay in float32, beside those from a saturating head on.

    Raises:
        ExportError: There is nothing to quantise, or the quantizer gives up.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = onnx.load(source)
    if not weight_layers(model):
        raise ExportError(
            "there is nothing to quantise: the graph has no convolution and no matrix product "
            "with weights",
            remedy="export it with --precision fp32",
        )
    excluded = [*float_tail(model), *keep]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.metadata_props.add(key=_PREPARED[0], value=_PREPARED[1])
    try:
        quantize_static(
            onnx.shape_inference.infer_shapes(whole, strict_mode=True, data_prop=True),
            target,
            _reader(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            per_channel=True,
            reduce_range=True,  # of what has no step
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            extra_options={"TensorQuantOverrides": overrides(model, excluded)},
            calibrate_method=CalibrationMethod.MinMax,
            calibration_providers=[PROVIDERS["cpu"]],
        )
    except Exception as error:  # the quantizer has no kind of its own
        raise ExportError(
            f"ONNX Runtime cannot quantise this graph: {first_line(error)}",
            remedy="export it with --precision fp32 or fp16",
        ) from error
    write_like(onnx.load(target), model, target)


def _reader(batches: Iterable[Arrays]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else dict(batch)

    return Reader()


@dataclass(frozen=True)
class Executed:
    """What a runtime makes of a quantised file.

    Attributes:
        integer: Names of the weight layers that run on integers.
        real: Names of those that run in float32.
        operators: How many nodes of each kind run.
    """

    integer: tuple[str, ...]
    real: tuple[str, ...]
    operators: Mapping[str, int]


_REAL = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


def executed(source: Path, path: Path, scratch: Path) -> Executed:
    """Let ONNX Runtime optimise a file, and look at what it will run.

    Layers are told apart by their weights: fused nodes have other names. A layer that was kept in
    float32 between two rounded values gets its weights rounded by the runtime itself.

    Args:
        source: The float32 file.
        path: The quantised file that was made from it.
        scratch: An existing folder of our own.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    # the level after it lays weights out for this processor, under names of its own
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(scratch / "optimised.onnx")
    ort.InferenceSession(str(path), options, providers=[PROVIDERS["cpu"]])
    nodes = onnx.load(scratch / "optimised.onnx").graph.node
    weighted = weight_layers(onnx.load(source))
    layers = {name: node.name for node in weighted for name in node.input}
    weights = {
        name.removesuffix("_DequantizeLinear_Output")
        for node in nodes if node.op_type in _REAL for name in node.input[:2]
    }  # fmt: skip
    real = {layers[name] for name in weights if name in layers}
    names = [node.name for node in weighted]
    return Executed(
        integer=tuple(name for name in names if name not in real),
        real=tuple(name for name in names if name in real),
        operators=collections.Counter(node.op_type for node in nodes),
    )
