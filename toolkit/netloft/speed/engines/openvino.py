"""OpenVINO on the CPU: told to compute in float32, or as is its habit."""

from __future__ import annotations

import functools

from netloft.speed.contestants import Contestant
from netloft.speed.engines.engine import Engine
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]


def _openvino(label: str, precision: str, source: FileSource, setup: Setup) -> Contestant:
    import openvino

    options = {"INFERENCE_NUM_THREADS": setup.threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    core = openvino.Core()
    model = core.read_model(str(source.path))
    net = core.compile_model(model, "CPU", options)
    effective = net.get_property("INFERENCE_PRECISION_HINT").to_string()
    if precision and effective != precision:
        raise RuntimeError(f"it computes in {effective}, though {precision} was asked for")
    request, feeds = net.create_infer_request(), source.feeds(setup.provider, setup.batch)
    return Contestant(
        label,
        "cpu",
        setup.batch,
        setup.threads,
        lambda: request.infer(feeds),
        source.name,
        precision=effective,
    )


def _refuses(provider: str) -> str:
    return "" if provider == "cpu" else f"it runs on the CPU here, and not on {provider}"


def _engine(name: str, label: str, precision: str) -> Engine:
    make = functools.partial(_openvino, label, precision)
    return Engine(name, label, True, make, _refuses, package="openvino")


ENGINES = {
    "openvino": _engine("openvino", "OpenVINO, f32", "f32"),
    "openvino-default": _engine("openvino-default", "OpenVINO by default", ""),
}
