"""A bundle as `netloft bench --tune` found it best here, or as `netloft.runtime.load` has it."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

from netloft.errors import CheckError
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import process_cpus
from netloft.runtime.tuning import MODEL, TunedRow, row_for, rows_of, started_with
from netloft.speed.contestants import ONNXRUNTIME, Contestant, Loads, session_from
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES"]

_TUNED, _DEPLOYED = f"{ONNXRUNTIME}, tuned", "netloft, as deployed"


def _tuned(source: FileSource, setup: Setup) -> Contestant:
    row = row_for(rows_of(read_manifest(_bundle(source, "tuned"))), setup.provider, setup.batch)
    if row is None or row.batch != setup.batch:
        raise CheckError(
            "nothing is known to be better here than ONNX Runtime's own choice",
            remedy=f"netloft bench {source.name} --tune --batches {setup.batch} looks for it, and "
            "--engine deployed runs what there is",
        )
    if setup.threads != process_cpus():
        raise CheckError(
            f"it was tuned for {process_cpus()} threads, and {setup.threads} are asked for",
            remedy="leave out --threads",
        )
    return _started(source, setup, row, _TUNED)


def _deployed(source: FileSource, setup: Setup) -> Contestant:
    """Start what `load` starts: with `threads` where that is another number than of the CPUs."""
    rows = rows_of(read_manifest(_bundle(source, "deployed")))
    as_found = setup.threads == process_cpus()
    row = row_for(rows, setup.provider, setup.batch) if as_found else None
    return _started(source, setup, row, _DEPLOYED, None if as_found else setup.threads)


def _bundle(source: FileSource, what: str) -> Path:
    if not os.path.isdir(source.name):  # whose files were checked
        raise CheckError(f"only a bundle is {what}", remedy="name the folder of one")
    return source.path.parent


def _started(
    source: FileSource, setup: Setup, row: TunedRow | None, label: str, threads: int | None = None
) -> Contestant:
    """Start a bundle as a row says, or None as it is, with so many threads where that is told."""
    folder = source.path.parent
    file, options = started_with(row)
    options["resting"] = True  # or its threads would take the processor from whoever runs next
    options |= {"threads": threads} if threads is not None else {}
    feeds = source.feeds(setup.provider, setup.batch)
    huge = row is not None and row.huge_pages is not None
    loads = Loads(folder / file, options, feeds, huge_pages=huge)
    session = session_from(loads, setup.provider)
    own = row.threads if row else None
    model, level = (row.file, row.optimisation) if row else (MODEL, "all")
    made = in_onnxruntime(
        session,
        feeds,
        dataclasses.replace(setup, threads=own or setup.threads),
        source.name,
        label,
        folder / model,
        level,
        loads,
    )
    rounds = row is not None and row.options.get("use_tf32") == "1"
    read = functools.partial(_rounded, made.read_precision) if rounds else made.read_precision
    return dataclasses.replace(made, read_precision=read)


def _rounded(read: Callable[[], str]) -> str:
    """Return what a session computes in that may round float32 factors to TensorFloat-32."""
    return re.sub(r"\bf32\b", "tf32", read())


ENGINES = {
    "onnxruntime-tuned": Engine("onnxruntime-tuned", _TUNED, True, _tuned),
    "deployed": Engine("deployed", _DEPLOYED, True, _deployed),
}
