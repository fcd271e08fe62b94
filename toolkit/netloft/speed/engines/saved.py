"""ONNX Runtime with a file that it optimised before and saved: it starts sooner."""

from __future__ import annotations

import tempfile
from pathlib import Path

from netloft.runtime.providers import start_session
from netloft.speed.contestants import ONNXRUNTIME, Contestant, timed_session
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]

_LABEL = f"{ONNXRUNTIME}, saved"


def _saved(source: FileSource, setup: Setup) -> Contestant:
    # it lies in memory once the session has started, and the folder can go
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.onnx")
        start_session(source.path, setup.provider, threads=setup.threads, save_to=path)
        session = timed_session(path, setup.provider, setup.threads, optimisation="none")
    feeds = source.feeds(setup.provider, setup.batch)
    return in_onnxruntime(session, feeds, setup, source.name, _LABEL, source.path)


ENGINES = {"onnxruntime-saved": Engine("onnxruntime-saved", _LABEL, True, _saved)}
