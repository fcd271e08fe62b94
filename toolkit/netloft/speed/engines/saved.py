"""ONNX Runtime with a file that it optimised before and saved: it starts sooner."""

from __future__ import annotations

from netloft.runtime.providers import start_session
from netloft.speed.contestants import ONNXRUNTIME, Contestant, Loads, ScratchFolder, timed_options
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]

_LABEL = f"{ONNXRUNTIME}, saved"


def _saved(source: FileSource, setup: Setup) -> Contestant:
    folder = ScratchFolder()
    path = folder.path / "saved.onnx"
    start_session(source.path, setup.provider, threads=setup.threads, save_to=path)
    options = timed_options(setup.threads) | {"optimisation": "none"}
    session = start_session(path, setup.provider, **options)
    feeds = source.feeds(setup.provider, setup.batch)
    loads = Loads(path, options, kept=folder)
    return in_onnxruntime(session, feeds, setup, source.name, _LABEL, source.path, loads=loads)


ENGINES = {"onnxruntime-saved": Engine("onnxruntime-saved", _LABEL, True, _saved)}
