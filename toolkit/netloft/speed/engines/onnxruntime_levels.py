"""ONNX Runtime, with all of its optimisations or some."""

from __future__ import annotations

import functools

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


def _at_level(level: str, label: str, source: FileSource, setup: Setup) -> Contestant:
    session = (
        source.sessions[setup.provider]
        if level == "all"
        else timed_session(source.path, setup.provider, setup.threads, optimisation=level)
    )
    feeds = source.feeds(setup.provider, setup.batch)
    options = timed_options(setup.threads) | {"optimisation": level}
    loads = Loads(source.path, options)
    return in_onnxruntime(session, feeds, setup, source.name, label, source.path, level, loads)


def _engine(name: str, label: str, level: str) -> Engine:
    return Engine(name, label, True, functools.partial(_at_level, level, label))


ENGINES = {
    "onnxruntime": _engine("onnxruntime", ONNXRUNTIME, "all"),
    "onnxruntime-extended": _engine("onnxruntime-extended", f"{ONNXRUNTIME}, extended", "extended"),
    "onnxruntime-basic": _engine("onnxruntime-basic", f"{ONNXRUNTIME}, basic", "basic"),
    "onnxruntime-none": _engine("onnxruntime-none", f"{ONNXRUNTIME}, none", "none"),
}
