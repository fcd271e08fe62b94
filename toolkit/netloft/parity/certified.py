"""What a module gives, as known results that any runtime is held against."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from netloft.parity.expected import Expected
from netloft.parity.flat import flat_header
from netloft.parity.judge import judged
from netloft.parity.known import Arrays, Known, Run
from netloft.parity.session import FileRunner

__all__ = ["known_results"]


def known_results(expected: Expected, path: Path) -> Known:
    """Return the inputs of a certificate with the module's results on them.

    Args:
        expected: What the module gives.
        path: The file.
    """
    header = flat_header(path)

    def start(provider: str, threads: int | None = None, **session: Any) -> Run:
        return FileRunner(path, header, expected.taps, provider, threads, **session).run

    def rows(index: int, by: str, given: Arrays) -> list[dict[str, Any]]:
        return [dataclasses.asdict(r) for r in judged(expected, index, {by: dict(given)})]

    return Known(
        path,
        [run.feeds for run in expected.runs],
        [run.case.usual for run in expected.runs],
        [output.name for output in expected.graph.outputs],
        {tap.name: tap.value for tap in expected.taps},
        expected.graph.batch == "dynamic",
        start,
        rows,
    )
