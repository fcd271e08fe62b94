"""What an engine is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.speed.contestants import (
    Contestant,
    Loads,
    on_gpu,
    onnxruntime_contestant,
    run_of,
    session_from,
)
from netloft.speed.measure import Run
from netloft.speed.setup import Setup

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["Engine", "in_onnxruntime"]


def _takes(_: str) -> str:
    return ""


@dataclass(frozen=True)
class Engine:
    """Something that runs a file or a module.

    Attributes:
        name: On the command line.
        label: In tables.
        takes_files: Whether it runs files, or modules.
        make: Makes a contestant of a source, which runs as the setup says; what it raises is the
            reason why it does not take part.
        refuses: Why it runs on no such provider; empty where it does.
        package: That it needs; empty where netloft's own requirements bring it.
    """

    name: str
    label: str
    takes_files: bool
    make: Callable[[Any, Setup], Contestant]
    refuses: Callable[[str], str] = _takes
    package: str = ""


def in_onnxruntime(
    session: ort.InferenceSession,
    feeds: Mapping[str, Any],
    setup: Setup,
    target: str,
    label: str,
    model: Path | bytes,
    optimisation: str = "all",
    loads: Loads | None = None,
) -> Contestant:
    """Return a session as a contestant.

    Args:
        session: It runs as the setup says.
        feeds: Inputs by its names.
        setup: How it runs.
        target: What the file is.
        label: The engine's.
        model: What the session was started with.
        optimisation: How far it was optimised.
        loads: How it was started, where its file stays; the inputs are put to it.
    """
    made = onnxruntime_contestant(
        session,
        feeds,
        provider=setup.provider,
        batch=setup.batch,
        threads=setup.threads,
        target=target,
        engine=label,
    )
    read = functools.partial(_precision, model, setup.provider, optimisation)
    if loads is None:
        return dataclasses.replace(made, read_precision=read)
    fed = dataclasses.replace(loads, feeds=feeds)
    again = None if on_gpu(setup.provider) else functools.partial(_again, fed, setup.provider)
    return dataclasses.replace(made, read_precision=read, loads=fed, again=again)


def _again(loads: Loads, provider: str) -> Run:
    return run_of(session_from(loads, provider), loads.feeds, provider)


def _precision(model: Path | bytes, provider: str, optimisation: str) -> str:
    """Read it back where `onnx` is installed: the smaller distribution comes without."""
    if find_spec("onnx") is None:
        return ""
    from netloft.speed.precision import precision_of

    return precision_of(model, provider, optimisation)
