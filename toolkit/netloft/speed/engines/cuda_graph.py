"""ONNX Runtime on CUDA with all launches of a run recorded once, and sent as one from then on.

Source: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html, "Using CUDA
Graphs": inputs and outputs stay where they are in the device's memory.
"""

from __future__ import annotations

from netloft.runtime.providers import start_session
from netloft.speed.contestants import ONNXRUNTIME, Contestant, bound, timed_options
from netloft.speed.engines.engine import Engine
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]

_LABEL = f"{ONNXRUNTIME}, CUDA graph"


def _recorded(source: FileSource, setup: Setup) -> Contestant:
    feeds = source.feeds(setup.provider, setup.batch)
    usual = source.sessions[setup.provider]
    names = [output.name for output in usual.get_outputs()]
    shaped = dict(zip(names, usual.run(names, dict(feeds)), strict=True))
    session = start_session(
        source.path,
        setup.provider,
        **timed_options(setup.threads),
        provider_options={"enable_cuda_graph": "1"},
    )
    where = setup.provider, setup.batch, setup.threads
    return Contestant(_LABEL, *where, bound(session, feeds, shaped), source.name)


def _refuses(provider: str) -> str:
    return "" if provider == "cuda" else f"it runs on CUDA, and not on {provider}"


ENGINES = {
    "onnxruntime-cuda-graph": Engine("onnxruntime-cuda-graph", _LABEL, True, _recorded, _refuses)
}
