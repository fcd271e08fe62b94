"""ONNX Runtime with the file that PyTorch's own exporter makes of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloft.speed.contestants import (
    ONNXRUNTIME,
    Contestant,
    Loads,
    timed_options,
    timed_session,
)
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup

if TYPE_CHECKING:
    from netloft.speed.sources import ModuleSource

__all__ = ["ENGINES"]

_LABEL = f"{ONNXRUNTIME}, torch.onnx"


def _exported(source: ModuleSource, setup: Setup) -> Contestant:
    import torch

    inputs = dict(source.make_inputs(setup.batch))
    program = torch.onnx.export(source.module, kwargs=inputs, dynamo=True, verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx.export gave nothing")
    model = program.model_proto.SerializeToString()
    session = timed_session(model, setup.provider, setup.threads)
    names = [value.name for value in session.get_inputs()]
    tensors = (tensor.detach().cpu().numpy() for tensor in inputs.values())
    feeds = dict(zip(names, tensors, strict=True))
    loads = Loads(model, timed_options(setup.threads))
    return in_onnxruntime(session, feeds, setup, source.name, _LABEL, model, loads=loads)


ENGINES = {"torch-onnx": Engine("torch-onnx", _LABEL, False, _exported)}
