"""A bundle with the file and the session options that `netloft bench --tune` found best here."""

from __future__ import annotations

import dataclasses
import os

from netloft.errors import CheckError
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import process_cpus, start_session
from netloft.runtime.tuning import row_for, rows_of, started_with
from netloft.speed.contestants import ONNXRUNTIME, Contestant, Loads
from netloft.speed.engines.engine import Engine, in_onnxruntime
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource

__all__ = ["ENGINES", "NOTHING_BETTER"]

NOTHING_BETTER = "nothing is known to be better here than ONNX Runtime's own choice"

_LABEL = f"{ONNXRUNTIME}, tuned"


def _tuned(source: FileSource, setup: Setup) -> Contestant:
    folder = source.path.parent
    if not os.path.isdir(source.name):  # whose files were checked
        raise CheckError("only a bundle is tuned", remedy="name the folder of one")
    row = row_for(rows_of(read_manifest(folder)), setup.provider, setup.batch)
    if row is None or row.batch != setup.batch:
        raise CheckError(
            NOTHING_BETTER,
            remedy=f"netloft bench {source.name} --tune --batches {setup.batch}",
        )
    if setup.threads != process_cpus():
        raise CheckError(
            f"it was tuned for {process_cpus()} threads, and {setup.threads} are asked for",
            remedy="leave out --threads",
        )
    file, options = started_with(row)
    options["resting"] = True  # or its threads would take the processor from whoever runs next
    session = start_session(folder / file, setup.provider, **options)
    feeds = source.feeds(setup.provider, setup.batch)
    as_tuned = dataclasses.replace(setup, threads=row.threads or setup.threads)
    return in_onnxruntime(
        session,
        feeds,
        as_tuned,
        source.name,
        _LABEL,
        folder / row.file,
        row.optimisation,
        Loads(folder / file, options),
    )


ENGINES = {"onnxruntime-tuned": Engine("onnxruntime-tuned", _LABEL, True, _tuned)}
