"""What is measured as deployed is what a program gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netloft.runtime import load, placed, start_session, tuning
from netloft.runtime.manifest import sealed
from netloft.runtime.providers import process_cpus
from netloft.speed.engines import ENGINES
from netloft.speed.setup import Setup
from netloft.speed.sources import source_of

TUNED = {
    "provider": "cpu", "batch": 4, "threads": 1, "spinning": False, "arena": False,
    "file": "model.onnx", "p50_ms": 1.0, "ratio": 0.9, "ratio_low": 0.8, "ratio_high": 0.95,
}  # fmt: skip


def test_what_is_deployed_is_what_the_runtime_loads(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batch, the number of threads and the rows, but for the rest between two runs."""
    asked: list[tuple[Path, dict[str, Any]]] = []

    def watched(path: Path, *_: Any, **options: Any) -> Any:
        asked.append((path, {**options, "resting": True}))
        return start_session(path, **options)

    monkeypatch.setattr(placed, "start_session", watched)
    cpus = process_cpus()
    here = dict(zip(("cpu", "cpus", "onnxruntime"), tuning.machine(), strict=True))
    row = {**TUNED, **here}
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    for rows in ([], [row], [{**row, "cpu": "another"}]):
        (bundle / "manifest.json").write_bytes(sealed({**manifest, "tuning": rows}))
        for threads, batch in ((cpus, 1), (cpus, 4), (cpus + 1, 4)):
            own = threads if threads != cpus else None
            tuned = load(bundle, batch=batch, threads=own).tuned
            loaded = asked[-1]
            assert (tuned is not None) == (rows == [row] and threads == cpus)
            source, setup = source_of(bundle, ["cpu"], threads), Setup("cpu", batch, threads)
            made = ENGINES["deployed"].make(source, setup)
            assert made.loads is not None
            assert (made.loads.file, made.loads.options) == loaded
            assert made.threads == (1 if tuned else threads)
            assert (made.engine, made.batch) == ("netloft, as deployed", batch)
            made.run()
