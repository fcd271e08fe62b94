"""Everything that a target can run in, by the name that it is asked for with.

One file for each kind; each gives a table of `Engine`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from netloft.errors import MissingError, UsageError
from netloft.speed.engines import (
    cuda_graph,
    onnxruntime_levels,
    onnxslim,
    openvino,
    pytorch,
    saved,
    torch_onnx,
    tuned,
)
from netloft.speed.engines.engine import Engine
from netloft.speed.sources import FileSource, Source

__all__ = ["DEFAULT", "ENGINES", "Engine", "chosen", "engines_for"]

ENGINES: Mapping[str, Engine] = {
    **onnxruntime_levels.ENGINES,
    **saved.ENGINES,
    **tuned.ENGINES,
    **cuda_graph.ENGINES,
    **onnxslim.ENGINES,
    **openvino.ENGINES,
    **pytorch.ENGINES,
    **torch_onnx.ENGINES,
}
"""Those of files first, then those of modules."""

DEFAULT = ("onnxruntime", "eager")


def chosen(names: Sequence[str]) -> tuple[Engine, ...]:
    """Return engines by name; `all` is every one, and none is ONNX Runtime and PyTorch eager.

    Raises:
        UsageError: There is none of this name.
        MissingError: The package of one that is named is not installed.
    """
    unknown = [name for name in names if name not in {*ENGINES, "all"}]
    if unknown:
        raise UsageError(
            f"there is no engine '{unknown[0]}'", remedy=f"use one of {', '.join(ENGINES)}, or all"
        )
    if "all" in names:
        return tuple(ENGINES.values())
    found = tuple(ENGINES[name] for name in dict.fromkeys(names or DEFAULT))
    for engine in found:
        if engine.package and importlib.util.find_spec(engine.package) is None:
            raise MissingError(
                f"the engine {engine.name} needs the package {engine.package}, which is not here",
                remedy=f"pip install {engine.package}",
            )
    return found


def engines_for(source: Source, engines: Sequence[Engine]) -> list[Engine]:
    """Return the engines that take a source."""
    is_file = isinstance(source, FileSource)
    return [engine for engine in engines if engine.takes_files == is_file]
