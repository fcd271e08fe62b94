"""ONNX Runtime with what onnxslim leaves of a file."""

from __future__ import annotations

from netloft.speed.contestants import (
    ONNXRUNTIME,
    Contestant,
    Loads,
    timed_options,
    timed_session,
)
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]

_LABEL = f"{ONNXRUNTIME}, onnxslim"


def _slimmed(source: FileSource, setup: Setup) -> Contestant:
    import onnx
    import onnxslim

    model = onnxslim.slim(onnx.load(source.path)).SerializeToString()
    session = timed_session(model, setup.provider, setup.threads)
    feeds = source.feeds(setup.provider, setup.batch)
    loads = Loads(model, timed_options(setup.threads))
    return in_onnxruntime(session, feeds, setup, source.name, _LABEL, model, loads=loads)


ENGINES = {"onnxslim": Engine("onnxslim", _LABEL, True, _slimmed, package="onnxslim")}
