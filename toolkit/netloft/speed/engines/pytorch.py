"""PyTorch: eager, with the channels last in memory, and compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from netloft.speed.contestants import Contestant
from netloft.speed.engines.engine import Engine
from netloft.speed.setup import Setup

if TYPE_CHECKING:
    from netloft.speed.sources import ModuleSource

__all__ = ["ENGINES"]


def _in_torch(maker: str, source: ModuleSource, setup: Setup) -> Contestant:
    from netloft.speed import torch_contestants

    make: Callable[..., Contestant] = getattr(torch_contestants, maker)
    return make(
        source.module,
        source.make_inputs(setup.batch),
        device=setup.provider,
        batch=setup.batch,
        threads=setup.threads,
        target=source.name,
    )


def _refuses(provider: str) -> str:
    from netloft.speed.torch_contestants import no_device_reason

    if provider not in ("cpu", "cuda"):
        return f"a module runs in PyTorch, which has no {provider}"
    return no_device_reason(provider)


def _not_compilable(provider: str) -> str:
    from netloft.speed.torch_contestants import not_compilable

    return _refuses(provider) or not_compilable()


def _engine(name: str, label: str, maker: str, refuses: Callable[[str], str]) -> Engine:
    # by name: measuring files imports no torch
    return Engine(name, label, False, functools.partial(_in_torch, maker), refuses)


ENGINES = {
    "eager": _engine("eager", "PyTorch eager", "torch_eager", _refuses),
    "channels-last": _engine(
        "channels-last", "PyTorch eager, channels last", "torch_channels_last", _refuses
    ),
    "compile": _engine("compile", "torch.compile", "torch_compiled", _not_compilable),
}
