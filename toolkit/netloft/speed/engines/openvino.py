"""OpenVINO on the CPU, compiled for the shapes: told to compute in float32, or as is its habit."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netloft.speed.contestants import Arrays, Contestant, Loads
from netloft.speed.engines.engine import Engine
from netloft.speed.measure import Run
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES", "compiled", "runner"]

_HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq")
_NAMES = {"u8": "int8", "i8": "int8"}
"""OpenVINO's words for kernels of the CPU, and for what they compute in."""


def _openvino(label: str, precision: str, source: FileSource, setup: Setup) -> Contestant:
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": setup.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    feeds = source.feeds(setup.provider, setup.batch)
    net = compiled(source.path, feeds, options)
    effective = net.get_property("INFERENCE_PRECISION_HINT").to_string()
    if precision and effective != precision:
        raise RuntimeError(f"it computes in {effective}, though {precision} was asked for")
    return Contestant(
        label,
        "cpu",
        setup.batch,
        setup.threads,
        functools.partial(runner(net), feeds),
        source.name,
        read_precision=functools.partial(_executed, net),
        loads=Loads(source.path, options, feeds, "openvino"),
        again=functools.partial(_again, source.path, feeds, options),
    )


def _again(path: Path, feeds: Arrays, options: Mapping[str, Any]) -> Run:
    return functools.partial(runner(compiled(path, feeds, options)), feeds)


def compiled(path: Path, feeds: Arrays, options: Mapping[str, Any]) -> Any:
    """Return a file compiled for the shapes of its inputs.

    Args:
        path: An `.onnx` file.
        feeds: Inputs by its names.
        options: Of `compile_model`.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({name: list(array.shape) for name, array in feeds.items()})
    return core.compile_model(model, "CPU", options)


def runner(net: Any) -> Callable[[Arrays], object]:
    """Return what runs a compiled file on inputs.

    Nothing is copied, as ONNX Runtime copies nothing; what it gives is valid until the next run.
    """
    request = net.create_infer_request()
    return functools.partial(request.infer, share_inputs=True, share_outputs=True)


def _executed(net: Any) -> str:
    """Return the types that a compiled network multiplies in, the one of most weights first.

    The hint tells of what a file has in float32; what it has in 8 bits runs on integers.
    """
    found: Counter[str] = Counter()
    for node in net.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _HEAVY and len(node.inputs()) > 1:
            shape = node.input(1).get_partial_shape()
            kind = facts["runtimePrecision"].astype(str)
            found[_NAMES.get(kind, kind)] += math.prod(shape.get_min_shape())
    return ", ".join(kind for kind, _ in found.most_common())


def _refuses(provider: str) -> str:
    return "" if provider == "cpu" else f"it runs on the CPU here, and not on {provider}"


def _engine(name: str, label: str, precision: str) -> Engine:
    make = functools.partial(_openvino, label, precision)
    return Engine(name, label, True, make, _refuses, package="openvino")


ENGINES = {
    "openvino": _engine("openvino", "OpenVINO, f32", "f32"),
    "openvino-default": _engine("openvino-default", "OpenVINO by default", ""),
}
